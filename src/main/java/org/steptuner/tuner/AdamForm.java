// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
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
    if (rule instanceof AdamW adamW) return new AdamForm(adamW.beta1(), adamW.beta2(), adamW.epsilon(), 0, adamW.weightDecay());
    if (rule instanceof Adam adam) return new AdamForm(adam.beta1(), adam.beta2(), adam.epsilon(), adam.weightDecay(), 0);
    throw new IllegalArgumentException("the rule must be Adam or AdamW, not " + rule);
  }

  /** {@code sqrt(1 - beta2^t) / (1 - beta1^t)}: what bias correction multiplies the rate of step t by. */
  double biasCorrection(long t) {
    return Math.sqrt(1 - Math.pow(beta2, t)) / (1 - Math.pow(beta1, t));
  }
}
