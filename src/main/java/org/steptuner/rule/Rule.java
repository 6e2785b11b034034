// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * A base update formula with its hyperparameters: gradient and state in, step out. Used alone at a fixed rate, or under a tuner.
 * Rules are immutable records; {@code defaults()} gives the usual values and the methods named after a component change one.
 *
 * <p>The rate is not a hyperparameter of the rule: the tuner passes it in at every step. The methods below tell a tuner all that it must
 * know of a rule.
 */
public sealed interface Rule permits SGD, RMSProp, AdaGrad, Adam, AdamW, AdEMAMix, Lion, MADGRAD, MirrorMADGRAD, SuppliedUpdate {
  /** The name of the native formula. */
  String kernel();

  /**
   * Puts the coefficients of a step, all of them.
   *
   * @param rate the rate of this step, 0 or more
   * @param step the number of this step, from 1
   * @param to takes the coefficients by name
   */
  void coefficients(double rate, long step, Coefficients to);

  /**
   * The value that all elements of a state slot have before the first step.
   *
   * @param slot the name of one of the rule's slots
   */
  default double initialValue(String slot) {
    return 0;
  }

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
   * @param step the number of the last step, 1 or more
   * @param to takes {@code factor}, {@code rootCorrection}, {@code epsilonInside} and {@code epsilonOutside}
   * @throws IllegalStateException if the rule does not precondition
   */
  default void preconditioner(long step, Coefficients to) {
    throw new IllegalStateException(this + " does not divide by a root of squares");
  }
}
