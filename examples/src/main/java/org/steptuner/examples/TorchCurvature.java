// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.bytedeco.pytorch.global.torch.backward;
import static org.bytedeco.pytorch.global.torch.from_blob;
import static org.bytedeco.pytorch.global.torch.grad;

import java.util.List;
import java.util.function.Supplier;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.steptuner.curvature.DirectionalCurvature;
import org.steptuner.curvature.GradientFunction;
import org.steptuner.curvature.HessianVectorProduct;
import org.steptuner.curvature.LossFunction;
import org.steptuner.curvature.ParameterVector;

/**
 * What the tuners that look along their step ask of a trainer, by libtorch: the loss, its gradient, and products with its Hessian H by a
 * backward pass through the backward pass. The loss must have second derivatives: ReLU has them almost everywhere, and they are 0.
 *
 * <p>The library's vectors are wrapped, not copied: backward adds to what is to be filled, which takes the place of the parameters' own
 * gradients for as long as it runs. Those are not touched.
 */
final class TorchCurvature implements LossFunction, GradientFunction, HessianVectorProduct, DirectionalCurvature {
  private static final class Address extends Pointer {
    Address(long address) {
      this.address = address;
    }
  }

  private final Supplier<Tensor> loss;
  private final Tensor[] parameters;

  /**
   * @param loss builds the graph of the loss, of the batch of the step, anew every time
   * @param parameters in the order in which the optimizer has them
   */
  TorchCurvature(Supplier<Tensor> loss, List<Tensor> parameters) {
    this.loss = loss;
    this.parameters = parameters.toArray(Tensor[]::new);
  }

  @Override
  public double loss() {
    try (PointerScope scope = new PointerScope();
        NoGradGuard noGradients = new NoGradGuard()) {
      return loss.get().item_double();
    }
  }

  @Override
  public void gradient(ParameterVector gradient) {
    try (PointerScope scope = new PointerScope()) {
      into(gradient, () -> loss.get().backward());
    }
  }

  @Override
  public void multiply(ParameterVector vector, ParameterVector product) {
    try (PointerScope scope = new PointerScope()) {
      final TensorVector gradients = gradients();
      into(product, () -> backward(gradients, wrap(vector), new BoolOptional(false), false, new TensorVector(parameters)));
    }
  }

  @Override
  public double along(ParameterVector u) {
    try (PointerScope scope = new PointerScope()) {
      final TensorVector direction = wrap(u);
      final TensorVector product =
          grad(gradients(), new TensorVector(parameters), direction, new BoolOptional(false), false, false);
      double sum = 0;
      for (int i = 0; i < parameters.length; ++i) sum += direction.get(i).mul(product.get(i)).sum().item_double();
      return sum;
    }
  }

  // With a graph of their own, to be differentiated again.
  private TensorVector gradients() {
    return grad(
        new TensorVector(loss.get()), new TensorVector(parameters), new TensorVector(), new BoolOptional(true), true, false);
  }

  private void into(ParameterVector target, Runnable backward) {
    final TensorVector wrapped = wrap(target);
    final Tensor[] own = new Tensor[parameters.length];
    for (int i = 0; i < own.length; ++i) {
      own[i] = new Tensor(parameters[i].grad()); // grad() is a view of the place that is written next
      parameters[i].mutable_grad().put(wrapped.get(i));
    }
    try {
      backward.run();
    } finally {
      for (int i = 0; i < own.length; ++i) parameters[i].mutable_grad().put(own[i]);
    }
  }

  private TensorVector wrap(ParameterVector vector) {
    final Tensor[] tensors = new Tensor[parameters.length];
    for (int i = 0; i < tensors.length; ++i)
      tensors[i] = from_blob(new Address(vector.address(i)), parameters[i].sizes(), parameters[i].options());
    return new TensorVector(tensors);
  }
}
