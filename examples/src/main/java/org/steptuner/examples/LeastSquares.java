// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.nio.ByteBuffer;
import java.util.Random;
import org.steptuner.DataType;
import org.steptuner.ParameterSet;

/** Least squares, {@code |A w - b|^2 / (2 n)}, from weights of 0. All elements are of one type, sums of float32. */
final class LeastSquares {
  static final int ROWS = 1024;
  static final int COLUMNS = 256;

  private final Compute compute;
  private final Matrix matrix;
  private final Matrix wanted;
  private final Matrix residual;
  private final Matrix weights;
  private final Matrix gradients;
  private final Matrix loss; // one float32

  LeastSquares(Compute compute, DataType type) {
    this.compute = compute;
    matrix = Matrix.of(compute, type, ROWS, COLUMNS);
    wanted = Matrix.of(compute, type, ROWS, 1);
    residual = Matrix.of(compute, type, ROWS, 1);
    weights = Matrix.of(compute, type, COLUMNS, 1);
    gradients = Matrix.of(compute, type, COLUMNS, 1);
    loss = Matrix.of(compute, DataType.FLOAT32, 1, 1);
    final Random random = new Random(1);
    final float[] truth = values(random, COLUMNS);
    final float[] a = values(random, ROWS * COLUMNS);
    final float[] b = new float[ROWS];
    for (int j = 0; j < COLUMNS; ++j) for (int i = 0; i < ROWS; ++i) b[i] += a[j * ROWS + i] * truth[j];
    compute.write(matrix.memory(), Matrix.packed(type, a));
    compute.write(wanted.memory(), Matrix.packed(type, b));
    compute.write(weights.memory(), Matrix.packed(type, new float[COLUMNS]));
  }

  // Those that bfloat16 holds, so that the problem is the same in both types.
  private static float[] values(Random random, int count) {
    final float[] values = new float[count];
    for (int i = 0; i < count; ++i) values[i] = Matrix.bfloat16((float) random.nextGaussian());
    return values;
  }

  /** Some of the weights, with their gradients: one tensor for an optimizer. */
  ParameterSet parameters(int first, int count) {
    return ParameterSet.on(compute.device())
        .add("weights", weights.elements(first, count).memory(), gradients.elements(first, count).memory(), count, weights.type()).build();
  }

  /**
   * Enqueues a forward and a backward pass: the loss, and the gradients of some of the weights. Nothing waits, and nothing is allocated on
   * the device, so a GPU can capture it.
   */
  void computeGradients(int first, int count) {
    compute.copy(residual.memory(), wanted.memory(), wanted.bytes());
    compute.multiply(1, matrix, false, weights, -1, residual);
    compute.multiply(1f / (2 * ROWS), residual, true, residual, 0, loss);
    compute.multiply(1f / ROWS, matrix.columns(first, count), true, residual, 0, gradients.elements(first, count));
  }

  /** Takes some of the weights from another copy of the problem. */
  void takeWeights(LeastSquares other, int first, int count) {
    final Matrix to = weights.elements(first, count);
    compute.copy(to.memory(), other.weights.elements(first, count).memory(), to.bytes());
  }

  /** The loss of the last pass, so of the weights before the last step. Waits. */
  float loss() {
    return compute.read(loss.memory(), loss.bytes()).getFloat(0);
  }

  /** Where the device has it. */
  long lossAddress() {
    return loss.memory().address();
  }

  /** The bits of the weights. Waits. */
  ByteBuffer weights() {
    return compute.read(weights.memory(), weights.bytes());
  }
}
