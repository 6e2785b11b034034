// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.rule.Rule;

/**
 * What MoMo takes from a rule: its averages, and D, by which the average of gradients is divided. With {@code v <- squareRetention v +
 * squareGain g^2}, D is 1 ("momentum"), {@code sqrt(v) / sqrt(1 - squareRetention^t) + epsilon} ("adam") or {@code sqrt(v + epsilonInside)
 * + epsilon} ("rmsprop").
 *
 * @param kernel the form of the sweeps
 * @param beta the weight of the old average of gradients; NaN where the rule has none
 */
record MoMoForm(String kernel, double beta, double squareRetention, double squareGain, double epsilonInside, double epsilon) {
  /** @throws IllegalArgumentException if MoMo has no form for the rule */
  static MoMoForm of(Rule rule) {
    final Hyperparameters of = Hyperparameters.of(rule);
    return switch (rule.kernel()) {
      case "sgd", "momentum" -> momentum(rule, of);
      case "adam" -> adam(rule, of);
      case "rmsprop", "rmsprop_momentum" ->
          new MoMoForm("rmsprop", of.orZero("momentum"), of.get("alpha"), of.get("oneMinusAlpha"), of.get("epsilonInside"),
              of.get("epsilonOutside"));
      case "adagrad" -> adaGrad(rule, of);
      default -> throw new IllegalArgumentException("MoMo knows SGD, RMSProp, AdaGrad, Adam and AdamW, not " + rule);
    };
  }

  /** What is added to the root: epsilon, or the least one where that, or the one inside of the root, is less. */
  double epsilonOutside(double least) {
    return Math.sqrt(epsilonInside) < least ? Math.max(epsilon, least) : epsilon;
  }

  private static MoMoForm momentum(Rule rule, Hyperparameters of) {
    if (of.orZero("gradientWeight") != 0) throw new IllegalArgumentException("MoMo has no form with Nesterov's momentum: " + rule);
    return new MoMoForm("momentum", of.orZero("momentum"), 0, 0, 0, 0);
  }

  private static MoMoForm adam(Rule rule, Hyperparameters of) {
    if (rule.coupledDecay() != 0) throw new IllegalArgumentException("MoMo's decay is decoupled: use AdamW instead of " + rule);
    final double beta2 = of.get("beta2");
    return new MoMoForm("adam", of.get("beta1"), beta2, 1 - beta2, 0, of.get("epsilon"));
  }

  private static MoMoForm adaGrad(Rule rule, Hyperparameters of) {
    if (Hyperparameters.of(rule, 2).get("rate") != 1)
      throw new IllegalArgumentException("MoMo finds the rate: rateDecay must be 0 in " + rule + "; a schedule limits the rate");
    return new MoMoForm("rmsprop", Double.NaN, 1, 1, 0, of.get("epsilon"));
  }

  /** Whether D is not 1. */
  boolean divides() {
    return !kernel.equals("momentum");
  }

  /** Whether D is that of Adam, whose averages start at 0 and are corrected for it. */
  boolean corrects() {
    return kernel.equals("adam");
  }

  /** Decoupled in MoMo, whatever the rule does with it. */
  static double weightDecay(Rule rule) {
    return rule.coupledDecay() + rule.decoupledDecay();
  }
}
