// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class SoftmaxRegressionTest {
  private static final double[][] EXAMPLES = {{1, -2, 0.5}, {0.3, 4, -1}, {-2, 0.1, 0.7}, {2.5, 1, 3}};
  private static final int[] LABELS = {1, 0, 1, 0};
  private static final double[] START = {0.1, -0.2, 0.3, 0.05, 0.4, -0.6, 0.7, -0.1};

  private final SoftmaxRegression problem = new SoftmaxRegression(EXAMPLES, LABELS, 2, 3, START, 0.25);

  @Test
  void lossIsTheMeanCrossEntropyWithDecay() {
    double expected = 0;
    for (int i = 0; i < EXAMPLES.length; ++i) {
      final double[] z = new double[2];
      for (int c = 0; c < 2; ++c) {
        z[c] = START[6 + c];
        for (int f = 0; f < 3; ++f) z[c] += START[3 * c + f] * EXAMPLES[i][f];
      }
      expected -= Math.log(Math.exp(z[LABELS[i]]) / (Math.exp(z[0]) + Math.exp(z[1]))) / EXAMPLES.length;
    }
    for (double x : START) expected += 0.125 * x * x;
    assertEquals(expected, problem.evaluate(1, START, new double[8]), 1e-14);
  }

  @Test
  void gradientIsThatOfTheLoss() {
    final double[] gradient = new double[8];
    problem.evaluate(1, START, gradient);
    final double step = 1e-5;
    for (int j = 0; j < START.length; ++j) {
      final double[] up = START.clone();
      final double[] down = START.clone();
      up[j] += step;
      down[j] -= step;
      final double slope = (problem.evaluate(1, up, new double[8]) - problem.evaluate(1, down, new double[8])) / (2 * step);
      assertEquals(slope, gradient[j], 1e-9, "element " + j);
    }
  }

  @Test
  void hessianIsThatOfTheGradient() {
    final double[] vector = {0.3, -1, 0.2, 0.7, 0.1, -0.4, 0.9, -0.6};
    final double[] product = new double[8];
    problem.hessian(1, START, vector, product);
    final double step = 1e-5;
    final double[] up = START.clone();
    final double[] down = START.clone();
    for (int j = 0; j < START.length; ++j) {
      up[j] += step * vector[j];
      down[j] -= step * vector[j];
    }
    final double[] above = new double[8];
    final double[] below = new double[8];
    problem.evaluate(1, up, above);
    problem.evaluate(1, down, below);
    for (int j = 0; j < START.length; ++j) assertEquals((above[j] - below[j]) / (2 * step), product[j], 1e-9, "element " + j);
  }

  @Test
  void orderOfTheRowsIsRoundingOnly() {
    final double[] gradient = new double[8];
    final double loss = problem.evaluate(1, START, gradient);
    final double[] turned = new double[8];
    assertEquals(loss, problem.reordered(1).evaluate(1, START, turned), 1e-15);
    assertArrayEquals(gradient, turned, 1e-15);
  }

  @Test
  void largeWeightsStayFinite() {
    final double[] large = START.clone();
    for (int j = 0; j < large.length; ++j) large[j] *= 1e6;
    final double[] gradient = new double[8];
    assertTrue(Double.isFinite(problem.evaluate(1, large, gradient)));
    for (double g : gradient) assertTrue(Double.isFinite(g));
  }
}
