// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import java.util.Arrays;
import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.steptuner.DataType;
import org.steptuner.Optimizer;
import org.steptuner.StateTensor;
import org.steptuner.curvature.DirectionalCurvature;
import org.steptuner.curvature.HessianVectorProduct;
import org.steptuner.curvature.LossFunction;
import org.steptuner.curvature.ParameterVector;
import org.steptuner.tuner.MetaCurvature;

/** What a trainer supplies to the tuners that ask for more than gradients: here, the problem of the run that is going on. */
final class TrainerSide implements LossFunction, HessianVectorProduct, DirectionalCurvature {
  private final MetaCurvature curvature; // what goes into the buffers before a step
  private Problem problem;
  private Tensors tensors;
  private int step;
  private double[] x;
  private double[] vector;
  private double[] result;

  TrainerSide() {
    this(MetaCurvature.NONE);
  }

  TrainerSide(MetaCurvature curvature) {
    this.curvature = curvature;
  }

  void begin(Problem problem, Tensors tensors) {
    this.problem = problem;
    this.tensors = tensors;
    x = new double[problem.start().length];
    vector = new double[x.length];
    result = new double[x.length];
  }

  /** @param optimizer whose next step this is */
  void step(int step, Optimizer optimizer) {
    this.step = step;
    if (curvature == MetaCurvature.NONE) return;
    tensors.getParameters(x);
    if (curvature == MetaCurvature.PRODUCT) {
      optimizer.scalars(); // so that the step before has ended
      for (int t = 0, at = 0; t < problem.sizes().length; at += problem.sizes()[t++]) {
        final StateTensor trace = optimizer.state("trace", Tensors.name(t));
        get(trace.address(), trace.type(), at, problem.sizes()[t]);
      }
      problem.hessian(step, x, vector, result);
      tensors.setCurvature(result);
      return;
    }
    final double[] diagonal = new double[x.length];
    for (int i = 0; i < x.length; ++i) {
      Arrays.fill(vector, 0);
      vector[i] = 1;
      problem.hessian(step, x, vector, result);
      diagonal[i] = result[i];
    }
    tensors.setCurvature(diagonal);
  }

  @Override
  public double loss() {
    tensors.getParameters(x);
    return problem.evaluate(step, x, result);
  }

  @Override
  public double along(ParameterVector u) {
    read(u);
    double sum = 0;
    for (int i = 0; i < x.length; ++i) sum += vector[i] * result[i];
    return sum;
  }

  @Override
  public void multiply(ParameterVector v, ParameterVector product) {
    read(v);
    int at = 0;
    for (int t = 0; t < product.parameters().tensors().size(); ++t) {
      final int count = (int) product.count(t);
      if (product.type(t) == DataType.FLOAT64) new Doubles(product.address(t)).put(result, at, count);
      else for (int i = 0; i < count; ++i) new Floats(product.address(t)).put(i, (float) result[at + i]);
      at += count;
    }
  }

  // The vector, and the Hessian times it.
  private void read(ParameterVector v) {
    tensors.getParameters(x);
    int at = 0;
    for (int t = 0; t < v.parameters().tensors().size(); ++t) {
      final int count = (int) v.count(t);
      get(v.address(t), v.type(t), at, count);
      at += count;
    }
    problem.hessian(step, x, vector, result);
  }

  private void get(long address, DataType type, int at, int count) {
    if (type == DataType.FLOAT64) new Doubles(address).get(vector, at, count);
    else for (int i = 0; i < count; ++i) vector[at + i] = new Floats(address).get(i);
  }

  private static final class Doubles extends DoublePointer {
    Doubles(long address) {
      super((Pointer) null);
      this.address = address;
    }
  }

  private static final class Floats extends FloatPointer {
    Floats(long address) {
      super((Pointer) null);
      this.address = address;
    }
  }
}
