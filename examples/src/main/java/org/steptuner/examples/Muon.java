// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.bytedeco.pytorch.global.torch.from_blob;

import java.util.List;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * Muon by libtorch, for the rule {@code SuppliedUpdate}: an algorithm whose step is made of matrix products, so not one of the
 * library's. Its step at the rate 1 goes into memory that the optimizer reads, and a tuner finds the rate. Keller Jordan and others,
 * "Muon: An optimizer for hidden layers in neural networks" (2024). For the gradient G of a matrix of r rows and c columns,
 *
 * <pre>
 * M &lt;- momentum M + (1 - momentum) G
 * U = (1 - momentum) G + momentum M                                  Nesterov
 * X = U / |U|, then five times:  A = X X^T;  X &lt;- a X + (b A + c A A) X    (transposed where r &gt; c)
 * step = -sqrt(max(1, r / c)) X
 * </pre>
 *
 * with a, b, c = 3.4445, -4.7750, 2.0315: X becomes a matrix with the singular vectors of U and singular values near 1. A bias, which is no
 * matrix, takes a step of Adam with betas 0.9 and 0.95, times {@link #BIAS_RATE}, the ratio of the author's two rates. The author leaves
 * first and last layers to Adam too; here they are matrices like the others.
 *
 * <p>A gradient that is not finite stays in M, although the optimizer refuses the step.
 */
final class Muon implements AutoCloseable {
  static final double MOMENTUM = 0.95;
  /** Of Adam's rate for biases, 3e-4, to Muon's, 0.02. */
  static final double BIAS_RATE = 0.015;
  static final double BETA1 = 0.9;
  static final double BETA2 = 0.95;
  static final double EPSILON = 1e-10;
  private static final double[] QUINTIC = {3.4445, -4.7750, 2.0315};
  private static final int ITERATIONS = 5;
  private static final double SMALLEST_NORM = 1e-7;

  private final Tensor[] parameters;
  private final FloatPointer updates;
  private final Tensor[] steps; // views of the updates
  private final Tensor[] momentum;
  private final Tensor[] square; // of biases; null for matrices
  private int t;

  /** @param tensors of one or two dimensions, with their gradients, in the order in which the optimizer has them */
  Muon(List<Tensor> tensors) {
    parameters = tensors.toArray(Tensor[]::new);
    long elements = 0;
    for (Tensor tensor : parameters) elements += tensor.numel();
    updates = new FloatPointer(elements);
    Pointer.memset(updates, 0, elements * Float.BYTES);
    steps = new Tensor[parameters.length];
    momentum = new Tensor[parameters.length];
    square = new Tensor[parameters.length];
    long at = 0;
    for (int i = 0; i < parameters.length; at += parameters[i++].numel()) {
      steps[i] = from_blob(updates.getPointer(at), parameters[i].sizes());
      momentum[i] = steps[i].clone();
      if (parameters[i].dim() == 1) square[i] = steps[i].clone();
      else if (parameters[i].dim() != 2) throw new IllegalArgumentException("a tensor of " + parameters[i].dim() + " dimensions");
    }
  }

  /** The memory of the steps, one tensor after the other. */
  FloatPointer updates() {
    return updates;
  }

  /** Writes the step that the gradients ask for. */
  void write() {
    ++t;
    try (PointerScope scope = new PointerScope();
        NoGradGuard noGradients = new NoGradGuard()) {
      for (int i = 0; i < parameters.length; ++i)
        if (square[i] == null) matrix(parameters[i].grad(), momentum[i], steps[i]);
        else bias(parameters[i].grad(), momentum[i], square[i], steps[i]);
    }
  }

  private static void matrix(Tensor gradient, Tensor momentum, Tensor step) {
    momentum.lerp_(gradient, new Scalar(1 - MOMENTUM));
    final double scale = Math.sqrt(Math.max(1, (double) gradient.size(0) / gradient.size(1)));
    step.copy_(orthogonal(gradient.lerp(momentum, new Scalar(MOMENTUM)))).mul_(new Scalar(-scale));
  }

  /** The Newton-Schulz iteration: nearly U V^T for the singular value decomposition U S V^T of a matrix. */
  static Tensor orthogonal(Tensor matrix) {
    final boolean tall = matrix.size(0) > matrix.size(1);
    Tensor x = tall ? matrix.t() : matrix;
    x = x.div(x.norm().add(new Scalar(SMALLEST_NORM)));
    for (int i = 0; i < ITERATIONS; ++i) {
      final Tensor a = x.mm(x.t());
      final Tensor polynomial = a.addmm(a, a, new Scalar(QUINTIC[1]), new Scalar(QUINTIC[2]));
      x = x.addmm(polynomial, x, new Scalar(QUINTIC[0]), new Scalar(1.0));
    }
    return tall ? x.t() : x;
  }

  private void bias(Tensor gradient, Tensor mean, Tensor square, Tensor step) {
    mean.lerp_(gradient, new Scalar(1 - BETA1));
    square.mul_(new Scalar(BETA2)).addcmul_(gradient, gradient, new Scalar(1 - BETA2));
    final Tensor root = square.div(new Scalar(1 - Math.pow(BETA2, t))).sqrt_().add_(new Scalar(EPSILON));
    step.copy_(mean.div(root)).mul_(new Scalar(-BIAS_RATE / (1 - Math.pow(BETA1, t))));
  }

  @Override
  public void close() {
    for (int i = 0; i < parameters.length; ++i) {
      steps[i].close();
      momentum[i].close();
      if (square[i] != null) square[i].close();
    }
    updates.close();
  }
}
