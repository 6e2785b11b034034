// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Arrays;
import org.bytedeco.javacpp.DoublePointer;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;

/**
 * A loss that is not quadratic, each weight tied to the next, with its exact derivatives, in float64 memory with buffers for a curvature:
 *
 * <pre>
 * f_t(x) = sum_i c_i x_i^2 / 2 - 0.4 cos(s_i) + n_i(t) x_i,   s_i = x_i + coupling x_(i+1), cyclically
 * </pre>
 */
final class Chain implements AutoCloseable {
  final int n;
  private final int[] sizes;
  private final double coupling;
  private final DoublePointer memory; // parameters, gradients, curvature

  Chain(double coupling, int... sizes) {
    this.coupling = coupling;
    this.sizes = sizes;
    n = Arrays.stream(sizes).sum();
    memory = new DoublePointer(3L * n);
    for (int i = 0; i < n; ++i) memory.put(i, Math.sin(1.7 * i + 0.3) + 0.1);
  }

  ParameterSet on(Device device) {
    final ParameterSet.Builder builder = ParameterSet.on(device);
    int begin = 0;
    for (int t = 0; t < sizes.length; begin += sizes[t++])
      builder.add("t" + t, address(begin), DataType.FLOAT64, address(n + begin), DataType.FLOAT64, address(2 * n + begin), sizes[t]);
    return builder.build();
  }

  private long address(int element) {
    return memory.address() + 8L * element;
  }

  double[] values() {
    final double[] x = new double[n];
    memory.position(0).get(x);
    return x;
  }

  double[] gradient(int step, double[] x) {
    final double[] g = new double[n];
    for (int i = 0; i < n; ++i) {
      final double slope = 0.4 * Math.sin(x[i] + coupling * x[(i + 1) % n]);
      g[i] += curvature(i) * x[i] + slope + 0.1 * Math.sin(step * 1.3 + i);
      g[(i + 1) % n] += coupling * slope;
    }
    return g;
  }

  /** The Hessian times v. */
  double[] product(double[] x, double[] v) {
    final double[] product = new double[n];
    for (int i = 0; i < n; ++i) {
      final int next = (i + 1) % n;
      final double bend = 0.4 * Math.cos(x[i] + coupling * x[next]) * (v[i] + coupling * v[next]);
      product[i] += curvature(i) * v[i] + bend;
      product[next] += coupling * bend;
    }
    return product;
  }

  double[] diagonal(double[] x) {
    final double[] diagonal = new double[n];
    for (int i = 0; i < n; ++i) {
      final double[] unit = new double[n];
      unit[i] = 1;
      diagonal[i] = product(x, unit)[i];
    }
    return diagonal;
  }

  private static double curvature(int i) {
    return 0.2 + i * 37 % 11 / 4.0;
  }

  /** Writes what a step needs, with the trace read from the optimizer; returns what was written as the curvature. */
  double[] backward(int step, MetaCurvature kind, Optimizer optimizer) {
    final double[] x = values();
    final double[] given = kind == MetaCurvature.PRODUCT ? product(x, trace(optimizer)) : diagonal(x);
    memory.position(n).put(gradient(step, x));
    memory.position(2 * n).put(given);
    return given;
  }

  void setCurvature(int i, double value) {
    memory.position(0).put(2 * n + i, value);
  }

  double[] trace(Optimizer optimizer) {
    return state(optimizer, "trace");
  }

  double[] state(Optimizer optimizer, String slot) {
    final double[] all = new double[n];
    int begin = 0;
    for (int t = 0; t < sizes.length; begin += sizes[t++])
      System.arraycopy(Memory.values(optimizer.state(slot, "t" + t)), 0, all, begin, sizes[t]);
    return all;
  }

  @Override
  public void close() {
    memory.position(0).close();
  }
}
