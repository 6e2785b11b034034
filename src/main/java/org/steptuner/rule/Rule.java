// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

import java.util.List;

/**
 * A base update formula with its hyperparameters: gradient and state in, step out. Used alone at a fixed rate, or under a tuner.
 * Rules are immutable records; {@code defaults()} gives the usual values and the methods named after a component change one.
 *
 * <p>A rate is not among them: it belongs to the tuner, which hands it in for every step.
 */
public sealed interface Rule permits SGD, RMSProp, AdaGrad, Adam, AdamW, Lion, MADGRAD, MirrorMADGRAD, SuppliedUpdate {
  /** The name of the native formula. */
  String kernel();

  /** The names of the formula's coefficients, in the order of {@link #coefficients(double, long, double[])}. */
  List<String> coefficientNames();

  /**
   * The coefficients of a step.
   *
   * @param rate the rate of this step, 0 or more
   * @param step the number of this step, from 1
   * @param values receives them
   */
  void coefficients(double rate, long step, double[] values);

  /** What a slot holds before the first step. */
  default double initialValue(String slot) {
    return 0;
  }
}
