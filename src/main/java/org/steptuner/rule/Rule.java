// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * A base update formula with its hyperparameters: gradient and state in, step out. Used alone at a fixed rate, or under a tuner.
 * Rules are immutable records; {@code defaults()} gives the usual values and the methods named after a component change one.
 *
 * <p>The rate is not a hyperparameter of the rule: the tuner passes it in at every step. The methods below tell a tuner all that it must
 * know of a rule.
 */
public sealed interface Rule
    permits SGD, PrimalAveraging, RMSProp, AdaGrad, Adam, AdamW, AdEMAMix, Adan, Lion, ModernizedDualAveraging, MADGRAD, MirrorMADGRAD,
    ScheduleFree, SuppliedUpdate {
  /** The name of the native formula. */
  String kernel();

  /**
   * Puts the coefficients of a step, all of them.
   *
   * @param step the number of this step, its rate, and what schedules multiply momentum and weight decay by
   * @param to takes the coefficients by name
   */
  void coefficients(RuleStep step, Coefficients to);

  /**
   * The value that all elements of a state slot have before the first step.
   *
   * @param slot the name of one of the rule's slots
   */
  default double initialValue(String slot) {
    return 0;
  }

  /**
   * Whether the first step puts the parameters into a state slot, or a point that begins at them. A tensor that joins a run after the first
   * step starts with its own parameters there.
   *
   * @param slot the name of one of the rule's slots
   */
  default boolean followsParameters(String slot) {
    return false;
  }

  /**
   * What the elements of a state slot are, which says how they may be stored. A slot that {@linkplain #followsParameters follows the
   * parameters} is a copy of them by default, and any other slot a statistic.
   *
   * @param slot the name of one of the rule's slots
   */
  default StateKind stateKind(String slot) {
    return followsParameters(slot) ? StateKind.COPY : StateKind.STATISTIC;
  }

  /**
   * Whether what the state means depends on a component of the rule, so that the component must be the same in a checkpoint and in the
   * optimizer that takes it. The others may change from one part of a run to the next.
   *
   * @param component the name of one of the record's components
   */
  default boolean fixesState(String component) {
    return false;
  }

  /**
   * What a schedule of the momentum multiplies, see {@link RuleStep#momentumFactor}: the momentum, or beta1 where there are several betas,
   * as PyTorch's schedulers do. 0 where there is none.
   */
  default double momentum() {
    return 0;
  }

  /** Whether a step may have a value in the place of {@link #momentum}; those in [0, 1) by default. */
  default boolean allowsMomentum(double value) {
    return value >= 0 && value < 1;
  }

  /**
   * The slot that makes the parameters in training the point that the rule answers for, {@code x + averageFactor slot}; null for rules that
   * answer for the parameters themselves. A rule that has it keeps an average of iterates, and not every tuner can go over it.
   */
  default String averageSlot() {
    return null;
  }

  /** The factor of {@link #averageSlot}. */
  default double averageFactor() {
    return 0;
  }

  /**
   * The weight of a step's iterate in the average that the rule keeps, before it is divided by the sum of all; 0 for rules that keep none.
   *
   * @param number the step's number, from 1
   * @param largestRate the largest rate of all steps so far, this one included
   */
  default double iterateWeight(long number, double largestRate) {
    return 0;
  }

  /**
   * Puts those of the {@link #coefficients} that move the iterates and their average, for a tuner that finds the direction itself; none for
   * rules that keep no average.
   *
   * @param step as in {@link #coefficients}, with the weight of its iterate
   * @param to takes the coefficients by name
   */
  default void averageCoefficients(RuleStep step, Coefficients to) {}

  /** The weight decay that the rule adds to the gradient, times the parameter; 0 for none. */
  default double coupledDecay() {
    return 0;
  }

  /** The weight decay by which the rule shrinks the parameter, times the rate; 0 for none. */
  default double decoupledDecay() {
    return 0;
  }

  /** The same rule without weight decay of either kind. */
  default Rule withoutDecay() {
    return this;
  }

  /**
   * Whether the step at a rate is that rate times the step at the rate 1, with the same state after it. If not, tuners that look along the
   * step multiply the step at the rate 1.
   */
  default boolean stepIsMultipleOfRate() {
    return true;
  }

  /** Whether the rule divides its direction by a root of the slot {@code square}; {@link #preconditioner} then says how. */
  default boolean preconditions() {
    return false;
  }

  /**
   * Puts what the rule divides by, {@code factor (sqrt(square + epsilonInside) rootCorrection + epsilonOutside)}, after a step.
   *
   * @param step the last step
   * @param to takes {@code factor}, {@code rootCorrection}, {@code epsilonInside} and {@code epsilonOutside}
   * @throws IllegalStateException if the rule does not precondition
   */
  default void preconditioner(RuleStep step, Coefficients to) {
    throw new IllegalStateException(this + " does not divide by a root of squares");
  }
}
