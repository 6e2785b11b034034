// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.function.Consumer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.AutoGradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * What a training step is made of besides the optimizer: a network by libtorch over the memory of a {@link Model}, and one batch of made
 * inputs. First values and inputs come from one seed, so that every contender trains the same network on the same batch.
 */
abstract sealed class Network permits TrainingMlp, TrainingTransformer {
  private static final long SEED = 20_261_125;

  private final Model model;

  Network(Model model) {
    this.model = model;
    torch.manual_seed(SEED);
  }

  /** A tensor of the model, its gradient preset, so that backward adds in place instead of allocating its own. */
  final Tensor parameter(int index, Consumer<Tensor> firstValues, long... size) {
    final Tensor parameter = torch.from_blob(model.parameter(index), size);
    if (parameter.numel() != model.shapes().counts()[index]) throw new IllegalArgumentException("tensor " + index + " has another size");
    firstValues.accept(parameter);
    parameter.set_requires_grad(true);
    parameter.mutable_grad().put(torch.from_blob(model.gradient(index), size));
    return parameter;
  }

  /** The forward pass: the mean loss of the batch. */
  abstract Tensor loss();

  /** Zeroes the gradients and makes both passes; the loss. */
  @SuppressWarnings("try") // scopes are not referred to
  final float lossAndGradients() {
    model.zeroGradients();
    // A peer in libtorch has switched gradients off for the thread.
    try (AutoGradMode gradients = new AutoGradMode(true);
        PointerScope temporaries = new PointerScope()) {
      final Tensor loss = loss();
      loss.backward();
      return loss.item_float();
    }
  }

  /** The first tensor that the last backward pass has not reached, or -1. */
  @SuppressWarnings("try")
  final int unreached() {
    try (PointerScope temporaries = new PointerScope()) {
      for (int t = 0; t < model.shapes().tensors(); ++t)
        if (!(torch.from_blob(model.gradient(t), model.shapes().counts()[t]).abs().max().item_float() > 0)) return t;
      return -1;
    }
  }
}
