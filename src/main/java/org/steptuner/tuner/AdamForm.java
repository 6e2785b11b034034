// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.rule.Rule;

/**
 * What tuners with a formula of their own take from an Adam or AdamW rule.
 *
 * @param coupledDecay added to the gradient (Adam)
 * @param decoupledDecay shrinks the parameters (AdamW)
 */
record AdamForm(double beta1, double beta2, double epsilon, double coupledDecay, double decoupledDecay) {
  /** The values of a rule, which must be Adam or AdamW. */
  static AdamForm of(Rule rule) {
    if (!fits(rule)) throw new IllegalArgumentException("the rule must be Adam or AdamW, not " + rule);
    final Hyperparameters of = Hyperparameters.of(rule);
    return new AdamForm(of.get("beta1"), of.get("beta2"), of.get("epsilon"), rule.coupledDecay(), rule.decoupledDecay());
  }

  /**
   * The same, or the values of Schedule-Free AdamW, whose average takes the place of a momentum: beta1 is 0 then, and the decay is
   * decoupled.
   */
  static AdamForm orScheduleFree(Rule rule) {
    if (!scheduleFree(rule)) return of(rule);
    final Hyperparameters of = Hyperparameters.of(rule);
    return new AdamForm(0, of.get("beta2"), of.get("epsilon"), 0, rule.decoupledDecay());
  }

  static boolean fits(Rule rule) {
    return rule.kernel().equals("adam");
  }

  static boolean scheduleFree(Rule rule) {
    return rule.kernel().equals("schedule_free_adamw");
  }

  /**
   * {@code sqrt(1 - beta2^t) / (1 - b^t)}: what bias correction multiplies the rate of step t by.
   *
   * @param momentumFactor b / beta1
   */
  double biasCorrection(long t, double momentumFactor) {
    return Math.sqrt(1 - Math.pow(beta2, t)) / (1 - Math.pow(beta1 * momentumFactor, t));
  }
}
