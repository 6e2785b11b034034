// SPDX-License-Identifier: Apache-2.0
package org.steptuner.checkpoint;

import java.util.List;
import java.util.function.IntToDoubleFunction;
import org.steptuner.DataType;
import org.steptuner.Optimizer;
import org.steptuner.PartedOptimizer;
import org.steptuner.TestArray;
import org.steptuner.TestTensors;
import org.steptuner.curvature.ParameterVector;

/**
 * A trainer whose numbers are the same in every JVM: the loss is {@code sum a_n (x_n - c_n)^2 / 2}, and every gradient has a noise of its
 * own. Elements are numbered through all tensors. Nothing but additions and multiplications makes them.
 */
public final class Bowl implements AutoCloseable {
  private final TestTensors tensors;
  private final RecordedRun.Updates updates;
  private int call;

  Bowl(TestTensors tensors, RecordedRun.Updates updates) {
    this.tensors = tensors.parameters(n -> 1 - 0.125 * (n % 13));
    this.updates = updates;
  }

  public TestTensors tensors() {
    return tensors;
  }

  private static double curvature(int n) {
    return 0.5 + 0.25 * (n % 5);
  }

  private static double centre(int n) {
    return 0.0625 * (n * 7 % 11 - 5);
  }

  /** A multiple of 1/1024 in [-1/16, 1/16). */
  private static double noise(int call, int n) {
    int hash = (call * 1_000_003 + n) * 0x9e3779b1;
    hash ^= hash >>> 15;
    hash *= 0x85ebca6b;
    return (hash >> 25) / 1024.0;
  }

  void step(Optimizer optimizer, int number, boolean bad) {
    call = number;
    final int[] next = {0};
    for (TestTensors.Tensor tensor : tensors.all()) {
      final int first = next[0];
      final TestArray x = tensor.parameters();
      tensor.gradients().fill(i -> curvature(first + i) * (x.get(i) - centre(first + i)) + noise(call, first + i));
      tensor.updates()
          .fill(updates == RecordedRun.Updates.DIAGONAL ? i -> curvature(first + i) : i -> -0.0625 * tensor.gradients().get(i));
      next[0] += x.count();
    }
    if (bad)
      tensors.all().stream().map(TestTensors.Tensor::gradients).filter(g -> g.count() > 0).findFirst().orElseThrow().set(0, Double.NaN);
    if (optimizer instanceof PartedOptimizer parted) {
      parted.step(loss(), call % parted.parts());
    } else {
      optimizer.step(loss());
    }
  }

  /** The loss at the parameters as they are in memory now. */
  public double loss() {
    double sum = 0;
    int n = 0;
    for (TestTensors.Tensor tensor : tensors.all())
      for (int i = 0; i < tensor.parameters().count(); ++i, ++n) {
        final double distance = tensor.parameters().get(i) - centre(n);
        sum += curvature(n) * distance * distance / 2;
      }
    return sum;
  }

  /** The gradient of the present call at the parameters as they are in memory now. */
  public void gradient(ParameterVector gradient) {
    int n = 0;
    final List<TestTensors.Tensor> all = tensors.all();
    for (int t = 0; t < all.size(); ++t) {
      final int first = n;
      final TestArray x = all.get(t).parameters();
      fill(gradient, t, i -> curvature(first + i) * (x.get(i) - centre(first + i)) + noise(call, first + i));
      n += x.count();
    }
  }

  /** The Hessian times a vector. */
  public void hessian(ParameterVector vector, ParameterVector product) {
    int n = 0;
    for (int t = 0; t < tensors.all().size(); ++t) {
      final int first = n;
      final int tensor = t;
      fill(product, t, i -> curvature(first + i) * element(vector, tensor, i));
      n += tensors.parameters(t).count();
    }
  }

  /** A vector times the Hessian times the same vector. */
  public double along(ParameterVector vector) {
    double sum = 0;
    int n = 0;
    for (int t = 0; t < tensors.all().size(); ++t)
      for (int i = 0; i < tensors.parameters(t).count(); ++i, ++n) {
        final double value = element(vector, t, i);
        sum += curvature(n) * value * value;
      }
    return sum;
  }

  private static double element(ParameterVector vector, int tensor, int i) {
    return vector.type(tensor) == DataType.FLOAT64 ? vector.doubles(tensor).get(i) : vector.floats(tensor).get(i);
  }

  private static void fill(ParameterVector vector, int tensor, IntToDoubleFunction value) {
    for (int i = 0; i < vector.count(tensor); ++i) {
      if (vector.type(tensor) == DataType.FLOAT64) {
        vector.doubles(tensor).put(i, value.applyAsDouble(i));
      } else {
        vector.floats(tensor).put(i, (float) value.applyAsDouble(i));
      }
    }
  }

  @Override
  public void close() {
    tensors.close();
  }
}
