// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

/** Gradients and losses that are given for every step and do not depend on x. */
record OpenLoop(int[] sizes, double[] start, double[][] gradients, double[] losses) implements Problem {
  static OpenLoop of(Fields data) {
    final int[] sizes = data.integers("sizes");
    int elements = 0;
    for (int size : sizes) {
      if (size < 0) throw new IllFormedException("sizes of the data must not be negative, as " + size + " is");
      elements += size;
    }
    final double[] start = data.numbers("x1_flat");
    final double[][] gradients = data.rows("grads_flat", false);
    final double[] losses = data.has("loss") ? data.numbers("loss") : new double[0];
    checkLength("x1_flat", start.length, elements);
    for (int i = 0; i < gradients.length; ++i) checkLength("grads_flat[" + i + "]", gradients[i].length, elements);
    if (losses.length > 0) checkLength("loss", losses.length, gradients.length);
    return new OpenLoop(sizes, start, gradients, losses);
  }

  @Override
  public int steps() {
    return gradients.length;
  }

  @Override
  public double evaluate(int step, double[] x, double[] gradient) {
    System.arraycopy(gradients[step - 1], 0, gradient, 0, gradient.length);
    return losses.length > 0 ? losses[step - 1] : Double.NaN;
  }

  private static void checkLength(String name, int length, int expected) {
    if (length != expected)
      throw new IllFormedException(name + " of the data must have " + expected + " elements, not " + length);
  }
}
