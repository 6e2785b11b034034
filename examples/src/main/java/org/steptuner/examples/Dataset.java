// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.util.List;

/**
 * Examples to be classified.
 *
 * @param values features, example by example, each feature with mean 0 and variance 1 (one that never changes is 0)
 * @param labels from 0 to classes - 1
 */
record Dataset(String name, int count, int features, int classes, float[] values, int[] labels) {
  /**
   * Standardises features.
   *
   * @param columns the features, each with a value for every example
   * @throws DataException if there are no examples, a value is missing or a label is not a class
   */
  static Dataset of(String name, List<double[]> columns, int[] labels, int classes) {
    final int count = labels.length;
    if (count == 0 || columns.isEmpty()) throw new DataException(name + " has no examples or no features");
    final float[] values = new float[count * columns.size()];
    for (int f = 0; f < columns.size(); ++f) {
      final double[] column = columns.get(f);
      if (column.length != count) throw new DataException(name + ": feature " + f + " has " + column.length + " values, not " + count);
      double mean = 0;
      for (double value : column) mean += value / count;
      double variance = 0;
      for (double value : column) variance += (value - mean) * (value - mean) / count;
      if (!Double.isFinite(variance)) throw new DataException(name + ": feature " + f + " has a value that is missing or not finite");
      final double scale = variance > 1e-20 * mean * mean ? 1 / Math.sqrt(variance) : 0;
      for (int i = 0; i < count; ++i) values[i * columns.size() + f] = (float) ((column[i] - mean) * scale);
    }
    for (int label : labels)
      if (label < 0 || label >= classes) throw new DataException(name + " has a label " + label + "; labels are 0 to " + (classes - 1));
    return new Dataset(name, count, columns.size(), classes, values, labels);
  }
}
