// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeSet;

/**
 * The relative errors of one trajectory against another: |actual - expected| relative to |expected|, but at least to a scale. For
 * an element of a vector the scale is the vector's largest element; for the sum of all parameters, their norm times the root of
 * their number; for a tuner's scalar, the largest value that it has had so far; for d_hat, which begins as the difference of equal
 * numbers, d; for the loss, a thousandth of the first loss. So neither cancellation nor a value on its way through 0 turns rounding
 * into an error.
 */
final class Errors {
  /** Takes an error. */
  interface Visitor {
    void loss(int step, double expected, double actual, double error);

    /** A parameter, or a scalar of the tuner. */
    void state(String quantity, int step, double expected, double actual, double error);
  }

  private final Recording expected;
  private final Recording actual;
  private final Visitor visitor;
  private final int elements;
  private final Map<String, Double> largestScalar = new HashMap<>();

  private Errors(Recording expected, Recording actual, int elements, Visitor visitor) {
    this.expected = expected;
    this.actual = actual;
    this.elements = elements;
    this.visitor = visitor;
  }

  /**
   * Visits every number of {@code expected} up to a step, in the order of the steps. Scalars that {@code actual} lacks are left
   * out.
   *
   * @param elements the number of parameters
   */
  static void visit(Recording expected, Recording actual, int elements, int lastStep, Visitor visitor) {
    final Errors errors = new Errors(expected, actual, elements, visitor);
    final TreeSet<Integer> steps = new TreeSet<>(expected.parameters().keySet());
    for (int step : expected.steps()) steps.add(step);
    for (int step : steps.headSet(lastStep, true)) errors.visit(step);
  }

  private void visit(int step) {
    final double[] parameters = expected.parameters().get(step);
    if (parameters != null) vector("parameter", step, parameters, actual.parameters().get(step), largest(parameters));
    final int row = Arrays.binarySearch(expected.steps(), step);
    if (row < 0) return;
    final double norm = expected.parameterNorm()[row];
    state("param_l2", step, norm, actual.parameterNorm()[row], 0);
    state("param_sum", step, expected.parameterSum()[row], actual.parameterSum()[row], norm * Math.sqrt(elements));
    expected.scalars().forEach((name, rows) -> {
      final double[][] values = actual.scalars().get(name);
      if (values == null || rows[row] == null) return;
      final double[][] bound = name.equals("d_hat") ? expected.scalars().get("d") : null;
      final double least = bound == null ? 0 : largest(bound[row]);
      vector(name, step, rows[row], values[row], Math.max(least, largestScalar.merge(name, largest(rows[row]), Math::max)));
    });
    if (expected.lossBefore().length == 0) return;
    final double loss = expected.lossBefore()[row];
    final double computed = actual.lossBefore()[row];
    visitor.loss(step, loss, computed, relative(loss, computed, 1e-3 * Math.abs(expected.lossBefore()[0])));
  }

  private void vector(String quantity, int step, double[] from, double[] to, double scale) {
    if (to == null || to.length != from.length) {
      final String length = to == null ? "none" : to.length + "";
      final String mismatch = quantity + " (length " + length + ", recorded " + from.length + ")";
      visitor.state(mismatch, step, Double.NaN, Double.NaN, Double.POSITIVE_INFINITY);
      return;
    }
    for (int i = 0; i < from.length; ++i)
      state(from.length == 1 ? quantity : quantity + "[" + i + "]", step, from[i], to[i], scale);
  }

  private void state(String quantity, int step, double from, double to, double scale) {
    visitor.state(quantity, step, from, to, relative(from, to, scale));
  }

  /** Equal numbers agree even if they are not finite. */
  private static double relative(double expected, double actual, double scale) {
    if (!Double.isFinite(expected)) return Double.compare(expected, actual) == 0 ? 0 : Double.POSITIVE_INFINITY;
    if (!Double.isFinite(actual)) return Double.POSITIVE_INFINITY;
    final double difference = Math.abs(actual - expected);
    return difference == 0 ? 0 : difference / Math.max(Math.abs(expected), scale);
  }

  private static double largest(double[] values) {
    double largest = 0;
    for (double value : values) if (Double.isFinite(value)) largest = Math.max(largest, Math.abs(value));
    return largest;
  }
}
