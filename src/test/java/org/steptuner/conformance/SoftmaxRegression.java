// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import java.util.Arrays;

/**
 * Full-batch softmax regression. With examples X (n x features), labels y, weights W (classes x features, row by row) and bias b:
 *
 * <pre>
 * z = W x_i + b,  loss = mean over i of (log sum_c exp z_c - z_{y_i}) + l2/2 (|W|^2 + |b|^2)
 * </pre>
 *
 * Two tensors, W and b.
 */
record SoftmaxRegression(double[][] examples, int[] labels, int classes, int features, double[] start, double l2)
    implements Problem {

  static SoftmaxRegression of(Fields data, double l2) {
    final double[][] examples = data.rows("X", false);
    final int[] labels = data.integers("y");
    final double[] weights = data.numbers("W1_rowmajor");
    final double[] bias = data.numbers("b1");
    if (examples.length == 0) throw new IllFormedException("X of the data must not be empty");
    final int features = examples[0].length;
    final int classes = bias.length;
    for (double[] example : examples)
      if (example.length != features) throw new IllFormedException("rows of X must have one length");
    if (labels.length != examples.length)
      throw new IllFormedException("y of the data must have " + examples.length + " elements, not " + labels.length);
    for (int label : labels)
      if (label < 0 || label >= classes)
        throw new IllFormedException("labels must be in [0, " + classes + "), not " + label);
    if (weights.length != classes * features)
      throw new IllFormedException(
          "W1_rowmajor of the data must have " + classes + " x " + features + " elements, not " + weights.length);
    final double[] start = new double[weights.length + classes];
    System.arraycopy(weights, 0, start, 0, weights.length);
    System.arraycopy(bias, 0, start, weights.length, classes);
    return new SoftmaxRegression(examples, labels, classes, features, start, l2);
  }

  @Override
  public int[] sizes() {
    return new int[] {classes * features, classes};
  }

  @Override
  public int steps() {
    return Integer.MAX_VALUE;
  }

  /** Turns the rows of the data round. */
  @Override
  public Problem reordered(int times) {
    final int n = examples.length;
    final double[][] turnedExamples = new double[n][];
    final int[] turnedLabels = new int[n];
    for (int i = 0; i < n; ++i) {
      final int from = (i + times * (n / 3 + 1)) % n;
      turnedExamples[i] = examples[from];
      turnedLabels[i] = labels[from];
    }
    return new SoftmaxRegression(turnedExamples, turnedLabels, classes, features, start, l2);
  }

  @Override
  public double evaluate(int step, double[] x, double[] gradient) {
    final int n = examples.length;
    final int biasAt = classes * features;
    final double[] probability = new double[classes];
    double loss = 0;
    Arrays.fill(gradient, 0);
    for (int i = 0; i < n; ++i) {
      loss += lossOf(examples[i], labels[i], x, probability);
      probability[labels[i]] -= 1;
      for (int c = 0; c < classes; ++c) {
        for (int f = 0; f < features; ++f) gradient[c * features + f] += probability[c] * examples[i][f];
        gradient[biasAt + c] += probability[c];
      }
    }
    double square = 0;
    for (int j = 0; j < gradient.length; ++j) {
      gradient[j] = gradient[j] / n + l2 * x[j];
      square += x[j] * x[j];
    }
    return loss / n + l2 / 2 * square;
  }

  /** With dz = V x_i + c for the vector (V, c): the mean of (diag(p) - p p') dz, times (x_i, 1). */
  @Override
  public void hessian(int step, double[] x, double[] vector, double[] product) {
    final int biasAt = classes * features;
    final double[] probability = new double[classes];
    final double[] change = new double[classes];
    Arrays.fill(product, 0);
    for (int i = 0; i < examples.length; ++i) {
      lossOf(examples[i], labels[i], x, probability);
      double mean = 0;
      for (int c = 0; c < classes; ++c) {
        change[c] = vector[biasAt + c];
        for (int f = 0; f < features; ++f) change[c] += vector[c * features + f] * examples[i][f];
        mean += probability[c] * change[c];
      }
      for (int c = 0; c < classes; ++c) {
        final double element = probability[c] * (change[c] - mean);
        for (int f = 0; f < features; ++f) product[c * features + f] += element * examples[i][f];
        product[biasAt + c] += element;
      }
    }
    for (int j = 0; j < product.length; ++j) product[j] = product[j] / examples.length + l2 * vector[j];
  }

  // Subtracting the largest z keeps the exponentials finite.
  private double lossOf(double[] example, int label, double[] x, double[] probability) {
    double largest = Double.NEGATIVE_INFINITY;
    for (int c = 0; c < classes; ++c) {
      double z = x[classes * features + c];
      for (int f = 0; f < features; ++f) z += x[c * features + f] * example[f];
      probability[c] = z;
      largest = Math.max(largest, z);
    }
    final double target = probability[label];
    double sum = 0;
    for (int c = 0; c < classes; ++c) sum += probability[c] = Math.exp(probability[c] - largest);
    for (int c = 0; c < classes; ++c) probability[c] /= sum;
    return Math.log(sum) + largest - target;
  }
}
