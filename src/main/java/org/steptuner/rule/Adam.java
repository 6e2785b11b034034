// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

import java.util.List;

/**
 * Adam, with weight decay added to the gradient.
 *
 * <pre>
 * d = g + weightDecay x
 * m &lt;- beta1 m + (1 - beta1) d
 * v &lt;- beta2 v + (1 - beta2) d^2
 * x &lt;- x - rate / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
 * </pre>
 *
 * State: two words per element. Kingma and Ba (2015), algorithm 1.
 *
 * @param beta1 in [0, 1)
 * @param beta2 in [0, 1)
 * @param epsilon not negative
 * @param weightDecay not negative
 */
public record Adam(double beta1, double beta2, double epsilon, double weightDecay) implements Rule {
  static final List<String> NAMES =
      List.of(
          "stepSize", "shrinkage", "coupledDecay", "beta1", "oneMinusBeta1", "beta2", "oneMinusBeta2", "rootCorrection",
          "epsilon");

  public Adam {
    check(beta1, beta2, epsilon, weightDecay);
  }

  /** betas 0.9 and 0.999, epsilon 1e-8, no decay. */
  public static Adam defaults() {
    return new Adam(0.9, 0.999, 1e-8, 0);
  }

  public Adam betas(double first, double second) {
    return new Adam(first, second, epsilon, weightDecay);
  }

  public Adam epsilon(double value) {
    return new Adam(beta1, beta2, value, weightDecay);
  }

  public Adam weightDecay(double value) {
    return new Adam(beta1, beta2, epsilon, value);
  }

  @Override
  public String kernel() {
    return "adam";
  }

  @Override
  public List<String> coefficientNames() {
    return NAMES;
  }

  @Override
  public void coefficients(double rate, long step, double[] values) {
    fill(values, rate, step, beta1, beta2, epsilon, weightDecay, 0);
  }

  static void check(double beta1, double beta2, double epsilon, double weightDecay) {
    Check.decay("beta1", beta1);
    Check.decay("beta2", beta2);
    Check.notNegative("epsilon", epsilon);
    Check.notNegative("weightDecay", weightDecay);
  }

  static void fill(
      double[] values, double rate, long step, double beta1, double beta2, double epsilon, double coupled, double decoupled) {
    values[0] = rate / (1 - Math.pow(beta1, step));
    values[1] = rate * decoupled;
    values[2] = coupled;
    values[3] = beta1;
    values[4] = 1 - beta1;
    values[5] = beta2;
    values[6] = 1 - beta2;
    values[7] = 1 / Math.sqrt(1 - Math.pow(beta2, step));
    values[8] = epsilon;
  }
}
