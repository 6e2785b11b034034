// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import org.steptuner.rule.RuleStep;

/** The step of an optimizer, in one object that it uses again and again, so that a step allocates nothing. */
public final class ScheduledStep implements RuleStep {
  private long number;
  private double rate;
  private double momentumFactor = 1;
  private double decayFactor = 1;
  private double averagingWeight;

  /** Begins step {@code newNumber}, with the factors that schedules give for it. */
  void begin(long newNumber, double newMomentumFactor, double newDecayFactor) {
    number = newNumber;
    momentumFactor = newMomentumFactor;
    decayFactor = newDecayFactor;
    averagingWeight = 0;
  }

  /** Begins a step without schedules. */
  public ScheduledStep begin(long newNumber) {
    begin(newNumber, 1, 1);
    return this;
  }

  /** The same step at another rate. */
  public ScheduledStep at(double newRate) {
    rate = newRate;
    return this;
  }

  /** The same step with another weight in the average that the rule keeps. */
  public ScheduledStep averaging(double newAveragingWeight) {
    averagingWeight = newAveragingWeight;
    return this;
  }

  @Override
  public double rate() {
    return rate;
  }

  @Override
  public long number() {
    return number;
  }

  @Override
  public double momentumFactor() {
    return momentumFactor;
  }

  @Override
  public double decayFactor() {
    return decayFactor;
  }

  @Override
  public double averagingWeight() {
    return averagingWeight;
  }
}
