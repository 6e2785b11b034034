// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

import java.util.List;

/**
 * AdaGrad, the diagonal form.
 *
 * <pre>
 * d = g + weightDecay x
 * v &lt;- v + d^2                     (v starts at initialAccumulator)
 * x &lt;- x - rate / (1 + (t - 1) rateDecay) d / (sqrt(v) + epsilon)
 * </pre>
 *
 * State: one word per element. Duchi, Hazan and Singer (2011), algorithm 1.
 *
 * @param rateDecay not negative
 * @param epsilon not negative
 * @param weightDecay added to the gradient, not negative
 * @param initialAccumulator not negative
 */
public record AdaGrad(double rateDecay, double epsilon, double weightDecay, double initialAccumulator) implements Rule {
  private static final List<String> NAMES = List.of("rate", "weightDecay", "epsilon");

  public AdaGrad {
    Check.notNegative("rateDecay", rateDecay);
    Check.notNegative("epsilon", epsilon);
    Check.notNegative("weightDecay", weightDecay);
    Check.notNegative("initialAccumulator", initialAccumulator);
  }

  /** No decay of any kind, epsilon 1e-10, accumulator from 0. */
  public static AdaGrad defaults() {
    return new AdaGrad(0, 1e-10, 0, 0);
  }

  public AdaGrad rateDecay(double value) {
    return new AdaGrad(value, epsilon, weightDecay, initialAccumulator);
  }

  public AdaGrad epsilon(double value) {
    return new AdaGrad(rateDecay, value, weightDecay, initialAccumulator);
  }

  public AdaGrad weightDecay(double value) {
    return new AdaGrad(rateDecay, epsilon, value, initialAccumulator);
  }

  public AdaGrad initialAccumulator(double value) {
    return new AdaGrad(rateDecay, epsilon, weightDecay, value);
  }

  @Override
  public String kernel() {
    return "adagrad";
  }

  @Override
  public List<String> coefficientNames() {
    return NAMES;
  }

  @Override
  public void coefficients(double rate, long step, double[] values) {
    values[0] = rate / (1 + (step - 1) * rateDecay);
    values[1] = weightDecay;
    values[2] = epsilon;
  }

  @Override
  public double initialValue(String slot) {
    return slot.equals("square") ? initialAccumulator : 0;
  }
}
