// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

/** What a case minimizes: where the parameters start, and the loss and its gradient. In double. */
interface Problem {
  /** Elements of each tensor. */
  int[] sizes();

  /** All parameters before the first step, tensors concatenated. */
  double[] start();

  /** Steps that there is data for. */
  int steps();

  /**
   * The gradient at x.
   *
   * @param step from 1
   * @param gradient receives it
   * @return the loss at x; NaN where the data has none
   */
  double evaluate(int step, double[] x, double[] gradient);

  /**
   * The Hessian at x times a vector.
   *
   * @throws UnsupportedException where gradients do not depend on x
   */
  default void hessian(int step, double[] x, double[] vector, double[] product) {
    throw new UnsupportedException("curvature in a case whose gradients are given");
  }

  /** The same problem with its sums in another order, where there is a sum. */
  default Problem reordered(int times) {
    return this;
  }

  /** The problem of a case. */
  static Problem of(String mode, Fields data, double l2) {
    return switch (mode) {
      case "open" -> {
        if (l2 != 0) throw new IllFormedException("optimizer.l2 needs a closed problem, whose gradient depends on x");
        yield OpenLoop.of(data);
      }
      case "closed" -> SoftmaxRegression.of(data, l2);
      default -> throw new IllFormedException("mode must be 'open' or 'closed', not '" + mode + "'");
    };
  }
}
