// SPDX-License-Identifier: Apache-2.0
package org.steptuner.curvature;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.SavedState;
import org.steptuner.TestTensors;
import org.steptuner.curvature.CurvatureInstruments.Reading;
import org.steptuner.rule.Adam;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.CDAT;
import org.steptuner.tuner.FixedRate;

/** Instruments against dense eigenvalues: those of Jacobi's rotations on the whole matrix. */
class CurvatureInstrumentsTest {
  private static final int N = 23;

  /** f = x' A x / 2 with a dense A, over two tensors. */
  private static final class Quadratic implements AutoCloseable {
    final double[][] a = new double[N][N];
    final TestTensors tensors;

    Quadratic(DataType type) {
      for (int i = 0; i < N; ++i)
        for (int j = 0; j <= i; ++j) a[i][j] = a[j][i] = Math.sin(1 + i * 1.7 + j * j) / 2 + (i == j ? i * i / 60.0 : 0);
      tensors = new TestTensors().add("a", type, 15).add("b", type, N - 15).parameters(i -> Math.cos(i * 0.7));
    }

    double backward() {
      double loss = 0;
      for (int i = 0; i < N; ++i) {
        double row = 0;
        for (int j = 0; j < N; ++j) row += a[i][j] * parameter(j);
        if (i < 15) tensors.gradients(0).set(i, row);
        else tensors.gradients(1).set(i - 15, row);
        loss += row * parameter(i) / 2;
      }
      return loss;
    }

    double parameter(int i) {
      return i < 15 ? tensors.parameters(0).get(i) : tensors.parameters(1).get(i - 15);
    }

    void multiply(ParameterVector vector, ParameterVector product) {
      for (int i = 0; i < N; ++i) {
        double row = 0;
        for (int j = 0; j < N; ++j) row += a[i][j] * element(vector, j);
        if (vector.type(0) == DataType.FLOAT64) product.doubles(i < 15 ? 0 : 1).put(i % 15, row);
        else product.floats(i < 15 ? 0 : 1).put(i % 15, (float) row);
      }
    }

    @Override
    public void close() {
      tensors.close();
    }
  }

  private static double element(ParameterVector vector, int i) {
    final int tensor = i < 15 ? 0 : 1;
    return vector.type(0) == DataType.FLOAT64 ? vector.doubles(tensor).get(i % 15) : vector.floats(tensor).get(i % 15);
  }

  /** The largest eigenvalue and, in the vector, its eigenvector. */
  private static double dense(double[][] matrix, double[] vector) {
    final double[][] m = new double[N][];
    final double[][] vectors = new double[N][N];
    for (int i = 0; i < N; ++i) {
      m[i] = matrix[i].clone();
      vectors[i][i] = 1;
    }
    for (int sweep = 0; sweep < 40; ++sweep)
      for (int p = 0; p < N; ++p)
        for (int q = p + 1; q < N; ++q) {
          if (m[p][q] == 0) continue;
          final double angle = Math.atan2(2 * m[p][q], m[q][q] - m[p][p]) / 2;
          final double cos = Math.cos(angle), sin = Math.sin(angle);
          for (int k = 0; k < N; ++k) {
            final double x = m[k][p], y = m[k][q];
            m[k][p] = cos * x - sin * y;
            m[k][q] = sin * x + cos * y;
            final double v = vectors[k][p], w = vectors[k][q];
            vectors[k][p] = cos * v - sin * w;
            vectors[k][q] = sin * v + cos * w;
          }
          for (int k = 0; k < N; ++k) {
            final double x = m[p][k], y = m[q][k];
            m[p][k] = cos * x - sin * y;
            m[q][k] = sin * x + cos * y;
          }
        }
    int best = 0;
    for (int i = 1; i < N; ++i) if (m[i][i] > m[best][best]) best = i;
    for (int i = 0; i < N; ++i) vector[i] = vectors[i][best];
    return m[best][best];
  }

  @Test
  void sharpnessIsTheDenseEigenvalue() {
    for (DataType type : DataType.values()) {
      try (Quadratic problem = new Quadratic(type);
          Optimizer optimizer = FixedRate.of(0.01, SGD.defaults()).build(problem.tensors.on(Device.cpu(1)))) {
        final double expected = dense(problem.a, new double[N]);
        assertEquals(expected, CurvatureInstruments.on(optimizer, problem::multiply).sharpness(), 1e-3 * expected, type + "");
        if (type == DataType.FLOAT64)
          assertEquals(expected, CurvatureInstruments.on(optimizer, problem::multiply, 1e-8, 60).sharpness(), 1e-12 * expected);
      }
    }
  }

  /** P from its definition, applied to the whole matrix. */
  @Test
  void preconditionedSharpness() {
    final Rule[] rules = {
      RMSProp.defaults().alpha(0.9).epsilon(0.1),
      RMSProp.defaults().alpha(0.9).epsilon(0.1).epsilonInsideRoot(true),
      Adam.defaults().epsilon(0.1)
    };
    for (Rule rule : rules) {
      try (Quadratic problem = new Quadratic(DataType.FLOAT64);
          Optimizer optimizer = FixedRate.of(0.01, rule).build(problem.tensors.on(Device.cpu(1)))) {
        final CurvatureInstruments instruments = CurvatureInstruments.on(optimizer, problem::multiply, 1e-7, 80);
        assertTrue(Double.isNaN(instruments.preconditionedSharpness()));
        final double[] square = new double[N];
        final boolean adam = rule instanceof Adam;
        final double retention = adam ? 0.999 : 0.9;
        final int steps = 3;
        for (int step = 1; step <= steps; ++step) {
          final double loss = problem.backward();
          for (int i = 0; i < N; ++i) {
            final double g = i < 15 ? problem.tensors.gradients(0).get(i) : problem.tensors.gradients(1).get(i - 15);
            square[i] = retention * square[i] + (1 - retention) * g * g;
          }
          optimizer.step(loss);
        }
        final double[][] scaled = new double[N][N];
        final double[] p = new double[N];
        for (int i = 0; i < N; ++i)
          p[i] =
              adam
                  ? (1 - Math.pow(0.9, steps)) * (Math.sqrt(square[i] / (1 - Math.pow(0.999, steps))) + 0.1)
                  : ((RMSProp) rule).epsilonInsideRoot() ? Math.sqrt(square[i] + 0.1) : Math.sqrt(square[i]) + 0.1;
        for (int i = 0; i < N; ++i) for (int j = 0; j < N; ++j) scaled[i][j] = problem.a[i][j] / Math.sqrt(p[i] * p[j]);
        final double expected = dense(scaled, new double[N]);
        assertEquals(expected, instruments.preconditionedSharpness(), 1e-9 * expected, rule + "");
      }
    }
  }

  @Test
  void readingsOfARun(@TempDir Path folder) throws IOException {
    try (Quadratic problem = new Quadratic(DataType.FLOAT64);
        Optimizer optimizer = CDAT.tuning(SGD.defaults()).sigma(1.5).hessian(problem::multiply).build(problem.tensors.on(Device.cpu(1)))) {
      final CurvatureInstruments instruments = CurvatureInstruments.on(optimizer, problem::multiply, 1e-9, 80);
      final double[] top = new double[N];
      final double expected = dense(problem.a, top);
      double[] before = new double[N];
      for (int step = 1; step <= 4; ++step) {
        final double loss = problem.backward();
        final double[] from = new double[N];
        for (int i = 0; i < N; ++i) from[i] = problem.parameter(i);
        instruments.beforeStep();
        optimizer.step(loss);
        final Reading reading = instruments.afterStep();
        final double[] moved = new double[N];
        for (int i = 0; i < N; ++i) moved[i] = problem.parameter(i) - from[i];
        assertEquals(step, reading.step());
        assertEquals(loss, reading.loss());
        assertEquals(optimizer.report().learnedScale(), reading.rate());
        assertEquals(expected, reading.sharpness(), 1e-10 * expected);
        assertEquals(reading.rate() * expected, reading.edge(), 1e-9);
        assertTrue(Double.isNaN(reading.preconditionedSharpness()));
        assertEquals(Math.abs(cosine(moved, top)), reading.alignment(), 1e-6);
        if (step == 1) assertTrue(Double.isNaN(reading.angle()));
        else assertEquals(Math.acos(cosine(before, moved)), reading.angle(), 1e-9);
        before = moved;
      }
      assertEquals(4, instruments.readings().size());
      final Path file = folder.resolve("curvature.csv");
      CurvatureInstruments.write(file, instruments.readings());
      final List<String> lines = Files.readAllLines(file);
      assertEquals(5, lines.size());
      assertEquals(lines.get(0).split(",").length, lines.get(2).split(",").length);
      assertEquals(instruments.readings().get(1).sharpness(), Double.parseDouble(lines.get(2).split(",")[3]));
    }
  }

  private static double cosine(double[] a, double[] b) {
    double product = 0, left = 0, right = 0;
    for (int i = 0; i < a.length; ++i) {
      product += a[i] * b[i];
      left += a[i] * a[i];
      right += b[i] * b[i];
    }
    return product / Math.sqrt(left * right);
  }

  /** Instruments change nothing that a checkpoint holds, and no step that follows. */
  @Test
  void lookingChangesNothing() {
    try (Quadratic one = new Quadratic(DataType.FLOAT32);
        Quadratic other = new Quadratic(DataType.FLOAT32);
        Optimizer plain = FixedRate.of(0.01, Adam.defaults()).build(one.tensors.on(Device.cpu(1)));
        Optimizer watched = FixedRate.of(0.01, Adam.defaults()).build(other.tensors.on(Device.cpu(1)))) {
      final CurvatureInstruments instruments = CurvatureInstruments.on(watched, other::multiply);
      for (int step = 1; step <= 3; ++step) {
        plain.step(one.backward());
        final double loss = other.backward();
        instruments.beforeStep();
        watched.step(loss);
        instruments.afterStep();
        instruments.preconditionedSharpness();
      }
      SavedState.of(plain).assertSame(SavedState.of(watched), "with instruments");
    }
  }

  @Test
  void productsThatAreNotFinite() {
    final boolean[] bad = {true};
    try (Quadratic problem = new Quadratic(DataType.FLOAT32);
        Optimizer optimizer = FixedRate.of(0.01, SGD.defaults()).build(problem.tensors.on(Device.cpu(1)))) {
      final CurvatureInstruments instruments =
          CurvatureInstruments.on(
              optimizer,
              (vector, product) -> {
                problem.multiply(vector, product);
                if (bad[0]) product.floats(0).put(3, Float.NaN);
              });
      assertTrue(Double.isNaN(instruments.sharpness()));
      final double loss = problem.backward();
      instruments.beforeStep();
      optimizer.step(loss);
      assertTrue(Double.isNaN(instruments.afterStep().alignment()));
      bad[0] = false;
      assertFalse(Double.isNaN(instruments.sharpness()), "it goes on");
    }
  }

  @Test
  void badUseIsRefused() {
    try (Quadratic problem = new Quadratic(DataType.FLOAT32)) {
      final Optimizer optimizer = FixedRate.of(0.01, SGD.defaults()).build(problem.tensors.on(Device.cpu(1)));
      assertThrows(NullPointerException.class, () -> CurvatureInstruments.on(null, problem::multiply));
      assertThrows(NullPointerException.class, () -> CurvatureInstruments.on(optimizer, null));
      assertThrows(IllegalArgumentException.class, () -> CurvatureInstruments.on(optimizer, problem::multiply, 0, 10));
      assertThrows(IllegalArgumentException.class, () -> CurvatureInstruments.on(optimizer, problem::multiply, 1, 0));
      final CurvatureInstruments instruments = CurvatureInstruments.on(optimizer, problem::multiply);
      assertThrows(IllegalStateException.class, instruments::afterStep);
      assertThrows(IllegalStateException.class, instruments::preconditionedSharpness);
      optimizer.close();
      assertThrows(IllegalStateException.class, instruments::sharpness);
      assertThrows(IllegalStateException.class, () -> CurvatureInstruments.on(optimizer, problem::multiply));
    }
  }
}
