// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.List;
import org.steptuner.ParameterSet;
import org.steptuner.StepReport.Hold;

/** What a tuner says of itself, and does when it is asked to. */
abstract class TunerHooks {
  /** No part of the data in particular. */
  protected static final int NO_PART = -1;

  protected final Plan plan;
  protected final Report report;

  TunerHooks(Engine engine) {
    plan = engine.plan;
    report = engine.report;
  }

  /** The tensors, where they are now. */
  protected final ParameterSet parameters() {
    return plan.parameters();
  }

  /** Whether a segment is of another group than the one before it: only then do the coefficients of its rule differ. */
  protected final boolean startsGroup(int segment) {
    return segment == 0 || plan.group(segment) != plan.group(segment - 1);
  }

  /** Names the scalars that make a resumed run equal an uninterrupted one. */
  protected abstract void name(Scalars scalars);

  /** The current scale of the steps of a scope; 1 where nothing is learned. */
  protected double learnedScale(int scope) {
    return 1;
  }

  /** Takes the sums of the last step, where they are taken late; the report may be read after the optimizer is closed. */
  protected void settle() {}

  /** Whether {@link #learnedScale} waits for sums that are taken late: reading it from a report then takes them. */
  protected boolean learnsLate() {
    return false;
  }

  /** Forgets what the last step left to be taken late: the scalars have been restored. */
  protected void restored() {}

  /**
   * Brings scalars that are sums over tensors up to date: parameters, state and scalars have been restored from a checkpoint that has other
   * tensors, other tensors are in the coming steps, or parameters have been written.
   *
   * @param changed by scope: whether its sums are others
   */
  protected void tensorsChanged(boolean[] changed) {}

  /**
   * The trainer has written the parameters of the tensors that sweeps go over now. Puts stored points from which x is rebuilt, or to which
   * it is led, where the next step starts at x as it is. By default there are none; the rule's own points are not the tuner's business.
   *
   * <p>At least one step has been made, and late sums have been taken.
   */
  protected void rebase() {}

  /**
   * The tensors that sweeps go over now come back, after steps of others of their scopes. Does the same where scalars have changed that x
   * is rebuilt with.
   */
  protected void rejoin() {}

  /**
   * Makes step {@code step}.
   *
   * @return false if it must be skipped, with nothing changed; the guard has noted why
   */
  protected abstract boolean advance(long step);

  /** The rate that a schedule multiplies. */
  protected abstract double baseRate();

  /** Words of the sweeps of {@link #advance}, per element. */
  protected abstract int sweepWords();

  /**
   * Sweeps that put into the rule's slots what the rule alone would have in them at {@link #learnedRate}; their coefficients are set. None
   * where that is there already.
   */
  protected List<Sweep> stateOfRule() {
    return List.of();
  }

  /** Why a step with gradients was made at a rate of 0 that is the tuner's own. */
  protected Hold hold() {
    return Hold.RATE_IS_ZERO;
  }

  /** Whether the slot of {@link #averageSlot} holds something for a segment: by default since the first step. */
  protected boolean hasAverage(int segment) {
    return report.step > 0;
  }

  /**
   * What the step that was made multiplied the rule's direction by, without the factor of a group. Tuners whose scale has changed since
   * then keep it.
   */
  protected double effectiveRate(int scope) {
    return report.rate * learnedScale(scope);
  }

  /** What steps at the rate that has been learned so far would multiply the rule's direction by, without schedule and factors of groups. */
  protected double learnedRate(int scope) {
    return baseRate() * learnedScale(scope);
  }

  /** The name of a tuner that cannot make a step without the loss; null for the others. */
  protected String lossNeededBy() {
    return null;
  }

  /**
   * How a device can compute the scalars of the coming steps alone; null if it cannot.
   *
   * @see org.steptuner.Optimizer#capturable()
   */
  protected DeviceScalars onDevice() {
    return null;
  }

  /** Why {@link #onDevice} gives nothing. */
  protected String whyNotOnDevice() {
    return "its scalars are computed by Java";
  }
}
