// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.bytedeco.pytorch.global.torch.from_blob;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.StepReport;
import org.steptuner.rule.SuppliedUpdate;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.TunerBuilder;

/** Muon's steps against its formulas in plain Java, and what tuners make of them. */
class MuonTest {
  private static double[][] gaussian(int rows, int columns, long seed) {
    final Random random = new Random(seed);
    final double[][] a = new double[rows][columns];
    for (double[] row : a) for (int j = 0; j < columns; ++j) row[j] = random.nextGaussian();
    return a;
  }

  private static double[][] times(double[][] a, double[][] b) {
    final double[][] product = new double[a.length][b[0].length];
    for (int i = 0; i < a.length; ++i)
      for (int j = 0; j < b[0].length; ++j) for (int k = 0; k < b.length; ++k) product[i][j] += a[i][k] * b[k][j];
    return product;
  }

  private static double[][] transposed(double[][] a) {
    final double[][] t = new double[a[0].length][a.length];
    for (int i = 0; i < a.length; ++i) for (int j = 0; j < a[0].length; ++j) t[j][i] = a[i][j];
    return t;
  }

  /** The iteration, of a matrix that is not tall. */
  private static double[][] orthogonal(double[][] matrix) {
    double norm = 0;
    for (double[] row : matrix) for (double value : row) norm += value * value;
    double[][] x = new double[matrix.length][matrix[0].length];
    for (int i = 0; i < x.length; ++i) for (int j = 0; j < x[0].length; ++j) x[i][j] = matrix[i][j] / (Math.sqrt(norm) + 1e-7);
    for (int iteration = 0; iteration < 5; ++iteration) {
      final double[][] a = times(x, transposed(x));
      final double[][] ax = times(a, x);
      final double[][] aax = times(a, ax);
      final double[][] next = new double[x.length][x[0].length];
      for (int i = 0; i < x.length; ++i)
        for (int j = 0; j < x[0].length; ++j) next[i][j] = 3.4445 * x[i][j] - 4.7750 * ax[i][j] + 2.0315 * aax[i][j];
      x = next;
    }
    return x;
  }

  private static FloatPointer floats(double[][] a) {
    final FloatPointer memory = new FloatPointer((long) a.length * a[0].length);
    for (int i = 0; i < a.length; ++i) for (int j = 0; j < a[0].length; ++j) memory.put((long) i * a[0].length + j, (float) a[i][j]);
    return memory;
  }

  @Test
  void orthogonalIsTheIteration() {
    for (int[] shape : new int[][] {{3, 5}, {4, 4}, {6, 2}, {1, 7}}) {
      final double[][] matrix = gaussian(shape[0], shape[1], 5);
      final boolean tall = shape[0] > shape[1];
      final double[][] expected = tall ? transposed(orthogonal(transposed(matrix))) : orthogonal(matrix);
      try (FloatPointer memory = floats(matrix);
          PointerScope scope = new PointerScope()) {
        final Tensor actual = Muon.orthogonal(from_blob(memory, shape[0], shape[1])).contiguous();
        final FloatPointer values = new FloatPointer(actual.data_ptr_float());
        for (int i = 0; i < shape[0]; ++i)
          for (int j = 0; j < shape[1]; ++j) assertEquals(expected[i][j], values.get((long) i * shape[1] + j), 2e-5);
      }
    }
  }

  @Test
  void singularValuesComeNearOne() {
    try (FloatPointer memory = floats(new double[][] {{3, 0, 0}, {0, 0.3, 0}, {0, 0, 1}});
        PointerScope scope = new PointerScope()) {
      final FloatPointer x = new FloatPointer(Muon.orthogonal(from_blob(memory, 3, 3)).data_ptr_float());
      for (int i = 0; i < 9; ++i)
        if (i % 4 == 0) assertTrue(x.get(i) > 0.6 && x.get(i) < 1.3, "singular value " + x.get(i));
        else assertEquals(0, x.get(i), 1e-6);
    }
  }

  @Test
  void stepsAreThoseOfTheFormulas() {
    try (Mlp model = new Mlp(3, 4, 6, 2);
        Muon muon = new Muon(model.tensors())) {
      final List<Tensor> tensors = model.tensors();
      final List<double[][]> momentum = new ArrayList<>();
      final List<double[][]> square = new ArrayList<>();
      for (Tensor tensor : tensors) {
        final int rows = (int) tensor.size(0);
        final int columns = tensor.dim() == 1 ? 1 : (int) tensor.size(1);
        momentum.add(new double[rows][columns]);
        square.add(new double[rows][columns]);
      }
      for (int step = 1; step <= 4; ++step) {
        long at = 0;
        final List<double[][]> gradients = new ArrayList<>();
        for (int i = 0; i < tensors.size(); ++i) {
          final double[][] g = gaussian(momentum.get(i).length, momentum.get(i)[0].length, 10L * step + i);
          gradients.add(g);
          final FloatPointer memory = new FloatPointer(tensors.get(i).grad().data_ptr_float());
          for (int r = 0; r < g.length; ++r) for (int c = 0; c < g[0].length; ++c) memory.put((long) r * g[0].length + c, (float) g[r][c]);
        }
        muon.write();
        for (int i = 0; i < tensors.size(); ++i) {
          final double[][] expected =
              tensors.get(i).dim() == 1
                  ? bias(gradients.get(i), momentum.get(i), square.get(i), step) : matrix(gradients.get(i), momentum.get(i));
          for (double[] row : expected) for (double value : row) assertEquals(value, muon.updates().get(at++), 5e-5, "tensor " + i);
        }
        assertEquals(4 * 6 + 6 + 6 * 2 + 2, at);
      }
    }
  }

  private static double[][] matrix(double[][] g, double[][] momentum) {
    final double[][] u = new double[g.length][g[0].length];
    for (int r = 0; r < g.length; ++r)
      for (int c = 0; c < g[0].length; ++c) {
        momentum[r][c] = 0.95 * momentum[r][c] + 0.05 * g[r][c];
        u[r][c] = 0.05 * g[r][c] + 0.95 * momentum[r][c];
      }
    final boolean tall = g.length > g[0].length;
    final double[][] x = tall ? transposed(orthogonal(transposed(u))) : orthogonal(u);
    for (double[] row : x) for (int c = 0; c < row.length; ++c) row[c] *= -Math.sqrt(Math.max(1, (double) g.length / g[0].length));
    return x;
  }

  private static double[][] bias(double[][] g, double[][] mean, double[][] square, int step) {
    final double[][] u = new double[g.length][1];
    for (int r = 0; r < g.length; ++r) {
      mean[r][0] = 0.9 * mean[r][0] + 0.1 * g[r][0];
      square[r][0] = 0.95 * square[r][0] + 0.05 * g[r][0] * g[r][0];
      u[r][0] = -0.015 * mean[r][0] / (1 - Math.pow(0.9, step)) / (Math.sqrt(square[r][0] / (1 - Math.pow(0.95, step))) + 1e-10);
    }
    return u;
  }

  @Test
  void otherShapesAreRefused() {
    try (FloatPointer memory = new FloatPointer(8);
        PointerScope scope = new PointerScope()) {
      final List<Tensor> cube = List.of(from_blob(memory, 2, 2, 2));
      assertThrows(IllegalArgumentException.class, () -> new Muon(cube));
    }
  }

  @Test
  void aFixedRateMovesParametersAlongTheStep() {
    try (Mlp model = new Mlp(3, 2, 16, 2);
        Muon muon = new Muon(model.tensors());
        Optimizer optimizer = FixedRate.of(0.02, new SuppliedUpdate()).build(model.parameters(Device.cpu(1), muon.updates()))) {
      final FloatPointer x = new FloatPointer(model.tensors().get(0).data_ptr_float());
      final int count = 2 * 16 + 16 + 16 * 2 + 2;
      final float[] before = new float[count];
      x.get(before);
      for (int i = 0; i < count; ++i) muon.updates().put(i, i - 7);
      assertFalse(optimizer.step().skipped());
      for (int i = 0; i < count; ++i) assertEquals(before[i] + 0.02 * (i - 7), x.get(i), 1e-6);
    }
  }

  /** From a scale of 1e-8. */
  @Test
  void mechanicFindsARate() {
    final double[] loss = losses(Mechanic.tuning(new SuppliedUpdate()), 400);
    assertEquals(loss[0], loss[3], 1e-3, "the first steps are tiny");
    assertTrue(loss[399] < 0.2 * loss[0], loss[0] + " became " + loss[399]);
  }

  /** Full-batch losses of a small network that is to tell whether points lie inside of a circle. */
  private static double[] losses(TunerBuilder<?> tuner, int steps) {
    final int count = 200;
    final double[] loss = new double[steps];
    try (Mlp model = new Mlp(3, 2, 16, 2);
        Muon muon = new Muon(model.tensors());
        FloatPointer inputs = floats(gaussian(count, 2, 1));
        LongPointer labels = new LongPointer(count)) {
      for (int i = 0; i < count; ++i) labels.put(i, Math.hypot(inputs.get(2L * i), inputs.get(2L * i + 1)) < 1.2 ? 1 : 0);
      final ParameterSet parameters = model.parameters(Device.cpu(1), muon.updates());
      try (Optimizer optimizer = tuner.build(parameters)) {
        for (int step = 0; step < steps; ++step) {
          try (PointerScope scope = new PointerScope()) {
            final Tensor targets = from_blob(labels, new long[] {count}, new TensorOptions(torch.ScalarType.Long));
            loss[step] = model.lossAndGradients(from_blob(inputs, count, 2), targets);
          }
          muon.write();
          final StepReport report = optimizer.step(loss[step]);
          assertFalse(report.skipped());
        }
      }
    }
    return loss;
  }
}
