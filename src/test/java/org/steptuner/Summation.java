// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.util.ArrayList;
import java.util.List;

/**
 * The documented order of summation (core/summation.h), read from its text and written in Java. Every addition is done in double and
 * then rounded to the type of the computation: for float32 that is the float32 addition, since 53 bits are more than twice 24.
 */
final class Summation {
  private final List<Double> chunks = new ArrayList<>();

  /** A number as a computation in the type of a state has it. */
  static double round(DataType stateType, double value) {
    return stateType == DataType.FLOAT64 ? value : (float) value;
  }

  /** Adds a tensor's terms to the segment. */
  Summation tensor(double[] terms, DataType stateType) {
    for (int begin = 0; begin < terms.length; begin += 4096)
      chunks.add(chunk(terms, begin, Math.min(terms.length, begin + 4096), stateType));
    return this;
  }

  /** Adds the squares of a tensor's gradients. */
  Summation squares(TestTensors.Tensor tensor) {
    final DataType type = tensor.parameters().type().stateType();
    final double[] terms = tensor.gradients().toDoubles();
    for (int i = 0; i < terms.length; ++i) terms[i] = round(type, round(type, terms[i]) * round(type, terms[i]));
    return tensor(terms, type);
  }

  /** The sum of the segment. */
  double total() {
    final double[] columns = new double[256];
    for (int c = 0; c < chunks.size(); ++c) columns[c % 256] += chunks.get(c);
    return halves(columns);
  }

  private static double chunk(double[] terms, int begin, int end, DataType type) {
    final double[] lanes = new double[128];
    for (int strip = begin; strip < end; strip += 512)
      for (int lane = 0; lane < 128; ++lane) {
        double sum = 0;
        for (int row = 0; row < 4; ++row) {
          final int i = strip + 128 * row + lane;
          if (i < end) sum = round(type, sum + terms[i]);
        }
        lanes[lane] = round(type, lanes[lane] + sum);
      }
    return halves(lanes);
  }

  private static double halves(double[] values) {
    for (int half = values.length / 2; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) values[i] += values[i + half];
    return values[0];
  }
}
