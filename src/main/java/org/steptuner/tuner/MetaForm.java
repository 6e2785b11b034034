// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Set;
import org.steptuner.ParameterSet;
import org.steptuner.rule.Coefficients;
import org.steptuner.rule.Rule;
import org.steptuner.rule.RuleStep;

/**
 * The rules as MetaOptimize takes them: at the rate 1, without decay; and the coefficients of the forms in the paper's code ({@code
 * rules/paper.h}).
 */
final class MetaForm {
  /** The formulas of the base rules. */
  static final Set<String> BASE_RULES = Set.of("sgd", "momentum", "rmsprop", "adam", "lion");
  /** The formulas of the meta rules. */
  static final Set<String> META_RULES = Set.of("sgd", "rmsprop", "adam", "lion");

  private static final double USUAL_EPSILON = 1e-8; // of RMSProp, Adam and AdamW

  private MetaForm() {}

  /** A rule's decay, of either kind: here it is decoupled. */
  static double decay(Rule rule) {
    return rule.coupledDecay() + rule.decoupledDecay();
  }

  static boolean hasMomentum(Rule meta) {
    return meta.kernel().equals("adam") || meta.kernel().equals("lion");
  }

  static boolean hasSquare(Rule meta) {
    return meta.kernel().equals("adam") || meta.kernel().equals("rmsprop");
  }

  /** mu = (1 - discount) / (1 - discount^t): it makes a weighted mean of a discounted sum. */
  static double correction(double discount, long step) {
    return (1 - discount) / (1 - Math.pow(discount, step));
  }

  /**
   * Puts the coefficients of a rule's form in the paper's code.
   *
   * @param of the rule's own
   * @param step at the rate 1
   */
  static void put(Rule rule, Hyperparameters of, double epsilon, RuleStep step, Coefficients to) {
    switch (rule.kernel()) {
      case "momentum" -> {
        final double momentum = of.get("momentum") * step.momentumFactor();
        to.put("momentum", momentum).put("oneMinusMomentum", 1 - momentum);
      }
      case "rmsprop" -> {
        final double alpha = of.get("alpha");
        to.put("discount", alpha).put("correction", correction(alpha, step.number())).put("epsilon", epsilon);
      }
      case "adam" -> {
        final double beta2 = of.get("beta2");
        to.put("momentum", of.get("beta1") * step.momentumFactor()).put("discount", beta2);
        to.put("correction", correction(beta2, step.number())).put("epsilon", epsilon);
      }
      default -> rule.coefficients(step, to);
    }
  }

  /** The paper's forms have one epsilon, and not the rule's: a rule to which one was given is refused, not misunderstood. */
  static void checkEpsilon(Rule rule) {
    if (!hasSquare(rule)) return;
    final Hyperparameters of = Hyperparameters.of(rule);
    if (of.orZero("epsilon") + of.orZero("epsilonInside") + of.orZero("epsilonOutside") != USUAL_EPSILON)
      throw new IllegalArgumentException(
          "variant PAPER_CODE has its epsilon inside of the root, see MetaOptimize.epsilon, and does not take that of " + rule);
  }

  /** Whether a variant tunes a base rule. */
  static void checkBase(Rule base, MetaOptimize.Variant variant) {
    if (!BASE_RULES.contains(base.kernel()))
      throw new IllegalArgumentException("MetaOptimize tunes SGD, RMSProp without momentum, Adam, AdamW and Lion, not " + base);
    if (variant != MetaOptimize.Variant.PAPER_CODE) return;
    if (Hyperparameters.of(base).orZero("gradientWeight") != 0)
      throw new IllegalArgumentException("variant PAPER_CODE has no Nesterov momentum; PACKAGE has");
    checkEpsilon(base);
  }

  /** Whether what was asked of the curvature goes together, and the trainer can supply it. */
  static void checkCurvature(MetaOptimize settings, ParameterSet parameters) {
    if (!settings.curved()) {
      if (settings.approximation != MetaOptimize.Approximation.L)
        throw new IllegalArgumentException(
            "approximation " + settings.approximation + " needs a curvature; without one it is the same as L");
      if (settings.stepSizeFirst) throw new IllegalArgumentException("stepSizeFirst needs a curvature");
      return;
    }
    if (settings.variant != MetaOptimize.Variant.PAPER_CODE)
      throw new IllegalArgumentException("curvature " + settings.curvature + " is of variant PAPER_CODE, not of " + settings.variant);
    if (!settings.rule.kernel().equals("sgd"))
      throw new IllegalArgumentException(
          "curvature " + settings.curvature + " is for the base rule SGD without momentum, not for " + settings.rule);
    if (settings.approximation == MetaOptimize.Approximation.TWO_BY_TWO && hasSquare(settings.meta))
      throw new IllegalArgumentException("approximation TWO_BY_TWO is of the meta rules SGD and Lion, not of " + settings.meta);
    if (settings.stepSizeFirst && !settings.perWeight) throw new IllegalArgumentException("stepSizeFirst is of step sizes per weight");
    if (settings.stepSizeFirst && settings.twoByTwo())
      throw new IllegalArgumentException("stepSizeFirst goes with approximation L, not with " + settings.approximation);
    for (ParameterSet.Tensor tensor : parameters.tensors())
      if (tensor.count() > 0 && tensor.updateAddress() == 0)
        throw new IllegalArgumentException(
            "curvature " + settings.curvature + " needs an updateAddress for every tensor, and '" + tensor.name() + "' has none");
  }
}
