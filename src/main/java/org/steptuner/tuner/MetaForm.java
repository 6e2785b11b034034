// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.List;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;

/**
 * The rules as MetaOptimize takes them: at the rate 1, without decay; and the coefficients of the forms in the paper's code ({@code
 * rules/metaoptimize.h}).
 */
final class MetaForm {
  private static final List<String> MOMENTUM = List.of("momentum", "oneMinusMomentum");
  private static final List<String> RMSPROP = List.of("discount", "correction", "epsilon");
  private static final List<String> ADAM = List.of("momentum", "discount", "correction", "epsilon");

  private MetaForm() {}

  static double decay(Rule rule) {
    if (rule instanceof SGD sgd) return sgd.weightDecay();
    if (rule instanceof RMSProp rms) return rms.weightDecay();
    if (rule instanceof Adam adam) return adam.weightDecay();
    if (rule instanceof AdamW adam) return adam.weightDecay();
    return ((Lion) rule).weightDecay();
  }

  static Rule withoutDecay(Rule rule) {
    if (rule instanceof SGD sgd) return sgd.weightDecay(0);
    if (rule instanceof RMSProp rms) return rms.weightDecay(0);
    if (rule instanceof Adam adam) return adam.weightDecay(0);
    if (rule instanceof AdamW adam) return adam.weightDecay(0);
    return ((Lion) rule).weightDecay(0);
  }

  /** mu = (1 - discount) / (1 - discount^t): it makes a weighted mean of a discounted sum. */
  static double correction(double discount, long step) {
    return (1 - discount) / (1 - Math.pow(discount, step));
  }

  /** The names of a rule's coefficients in the paper's form. */
  static List<String> names(Rule rule) {
    if (rule instanceof SGD sgd && sgd.momentum() != 0) return MOMENTUM;
    if (rule instanceof RMSProp) return RMSPROP;
    if (rule instanceof Adam || rule instanceof AdamW) return ADAM;
    return rule.coefficientNames();
  }

  /** Their values. */
  static void fill(Rule rule, double epsilon, long step, double[] values) {
    if (rule instanceof SGD sgd && sgd.momentum() != 0) {
      values[0] = sgd.momentum();
      values[1] = 1 - sgd.momentum();
    } else if (rule instanceof RMSProp rms) {
      values[0] = rms.alpha();
      values[1] = correction(rms.alpha(), step);
      values[2] = epsilon;
    } else if (rule instanceof Adam adam) {
      adam(values, adam.beta1(), adam.beta2(), epsilon, step);
    } else if (rule instanceof AdamW adam) {
      adam(values, adam.beta1(), adam.beta2(), epsilon, step);
    } else {
      rule.coefficients(1, step, values);
    }
  }

  private static void adam(double[] values, double beta1, double beta2, double epsilon, long step) {
    values[0] = beta1;
    values[1] = beta2;
    values[2] = correction(beta2, step);
    values[3] = epsilon;
  }

  /** The paper's forms have one epsilon, and not the rule's: a rule to which one was given is refused, not misunderstood. */
  static void checkEpsilon(Rule rule) {
    final boolean given =
        rule instanceof RMSProp rms && rms.epsilon() != RMSProp.defaults().epsilon()
            || rule instanceof Adam adam && adam.epsilon() != Adam.defaults().epsilon()
            || rule instanceof AdamW adamW && adamW.epsilon() != AdamW.defaults().epsilon();
    if (given)
      throw new IllegalArgumentException(
          "variant PAPER_CODE has its epsilon inside of the root, see MetaOptimize.epsilon, and does not take that of " + rule);
  }
}
