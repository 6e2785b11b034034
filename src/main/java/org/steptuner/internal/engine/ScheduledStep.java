// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import org.steptuner.rule.RuleStep;

/** The step of an optimizer, in one object that it uses again and again, so that a step allocates nothing. */
public final class ScheduledStep implements RuleStep {
  private final double leastEpsilon;
  private final boolean bounds; // whether decay is lowered where it would shrink parameters to less than nothing
  private long number;
  private double rate;
  private double multiplier = 1;
  private double momentumFactor = 1;
  private double decayFactor = 1;
  private double averagingWeight;
  private boolean bounded;

  ScheduledStep(double leastEpsilon, boolean bounds) {
    this.leastEpsilon = leastEpsilon;
    this.bounds = bounds;
  }

  /** Begins step {@code newNumber}, with the factors that schedules give for it. */
  void begin(long newNumber, double newMomentumFactor, double newDecayFactor) {
    number = newNumber;
    multiplier = 1;
    momentumFactor = newMomentumFactor;
    decayFactor = newDecayFactor;
    averagingWeight = 0;
    bounded = false;
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

  /** From now on, what the tuner multiplies the rule's step by. */
  void multiplied(double by) {
    multiplier = by;
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

  @Override
  public double leastEpsilon() {
    return leastEpsilon;
  }

  @Override
  public double decay(double weightDecay) {
    final double decay = weightDecay * decayFactor;
    if (!outOfBounds(weightDecay)) return decay;
    bounded = true;
    final double by = rate * multiplier;
    return by > 0 ? Math.max(0, Math.nextDown(1 / by)) : 0; // rounded down: the product must not be more than 1
  }

  @Override
  public double proximalDecay(double weightDecay) {
    return multiplier == 1 ? weightDecay * decayFactor : decay(weightDecay);
  }

  /** Whether {@link #decay} must be lowered at this rate. */
  boolean outOfBounds(double weightDecay) {
    final double shrinkage = rate * multiplier * (weightDecay * decayFactor);
    return bounds && (shrinkage > 1 || shrinkage < 0);
  }

  /** A shrinkage that a tuner has computed itself, lowered to 1 if it is more. */
  double bounded(double shrinkage) {
    if (!bounds || shrinkage <= 1) return shrinkage;
    bounded = true;
    return 1;
  }

  /** Notes that a decay has been lowered in this step. */
  void noteBounded() {
    bounded = true;
  }

  /** Whether a decay has been lowered in this step. */
  boolean isBounded() {
    return bounded;
  }
}
