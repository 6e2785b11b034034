// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.bytedeco.pytorch.global.torch.cross_entropy_loss;
import static org.bytedeco.pytorch.global.torch.linear;
import static org.bytedeco.pytorch.global.torch.relu;

import java.util.Random;
import org.bytedeco.pytorch.Tensor;
import org.steptuner.Device;
import org.steptuner.ParameterSet;

/** A multi-layer perceptron with ReLU between its layers, by libtorch, its parameters in a {@link FlatArena}. */
final class Mlp implements AutoCloseable {
  private final FlatArena arena;
  private final Tensor[] weights;
  private final Tensor[] biases;

  /**
   * @param seed of the initialisation, which is made here and not by libtorch: the same for every version and number of threads
   * @param sizes of the layers, input first, at least two
   */
  Mlp(long seed, int... sizes) {
    final int layers = sizes.length - 1;
    long elements = 0;
    for (int l = 0; l < layers; ++l) elements += (sizes[l] + 1L) * sizes[l + 1];
    arena = new FlatArena(elements);
    weights = new Tensor[layers];
    biases = new Tensor[layers];
    final Random random = new Random(seed);
    long at = 0;
    for (int l = 0; l < layers; ++l) {
      weights[l] = arena.tensor("layer" + (l + 1) + "/weight", sizes[l + 1], sizes[l]);
      biases[l] = arena.tensor("layer" + (l + 1) + "/bias", sizes[l + 1]);
      // Uniform within 1 / sqrt(inputs), as torch.nn.Linear does.
      final double bound = 1 / Math.sqrt(sizes[l]);
      for (final long end = at + (sizes[l] + 1L) * sizes[l + 1]; at < end; ++at)
        arena.parameters().put(at, (float) ((2 * random.nextDouble() - 1) * bound));
    }
  }

  /** The parameters and gradients for an optimizer. */
  ParameterSet parameters(Device device) {
    return arena.bind(device);
  }

  /** Scores of the classes, one row an example. */
  Tensor scores(Tensor inputs) {
    Tensor x = inputs;
    for (int l = 0; l < weights.length; ++l) {
      x = linear(x, weights[l], biases[l]);
      if (l + 1 < weights.length) x = relu(x);
    }
    return x;
  }

  /** The mean cross entropy of a batch; leaves its gradient in the arena. */
  double lossAndGradients(Tensor inputs, Tensor labels) {
    arena.zeroGradients();
    final Tensor loss = cross_entropy_loss(scores(inputs), labels);
    loss.backward();
    return loss.item_float();
  }

  @Override
  public void close() {
    for (Tensor weight : weights) weight.close();
    for (Tensor bias : biases) bias.close();
    arena.close();
  }
}
