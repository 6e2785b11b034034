// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.bytedeco.pytorch.global.torch.cross_entropy_loss;
import static org.bytedeco.pytorch.global.torch.linear;

import java.util.List;
import java.util.Random;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.ParameterSet;

/** A multi-layer perceptron by libtorch, its parameters in a {@link FlatArena}. */
final class Mlp implements AutoCloseable {
  private final DataType type;
  private final FlatArena arena;
  private final Tensor[] weights;
  private final Tensor[] biases;
  private final UnaryOperator<Tensor> activation;

  /** With ReLU between its layers. */
  Mlp(long seed, int... sizes) {
    this(seed, DataType.FLOAT32, torch::relu, sizes);
  }

  /** In float32. */
  Mlp(long seed, UnaryOperator<Tensor> activation, int... sizes) {
    this(seed, DataType.FLOAT32, activation, sizes);
  }

  /**
   * @param seed of the initialisation, which is made here and not by libtorch: the same for every version and number of threads
   * @param type of parameters, gradients and activations: FLOAT32 or BFLOAT16. The loss is computed in float32
   * @param activation between the layers
   * @param sizes of the layers, input first, at least two
   */
  Mlp(long seed, DataType type, UnaryOperator<Tensor> activation, int... sizes) {
    this.type = type;
    this.activation = activation;
    final int layers = sizes.length - 1;
    long elements = 0;
    for (int l = 0; l < layers; ++l) elements += (sizes[l] + 1L) * sizes[l + 1];
    arena = new FlatArena(elements, type);
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
        arena.put(at, (float) ((2 * random.nextDouble() - 1) * bound));
    }
  }

  /** The parameters and gradients for an optimizer. */
  ParameterSet parameters(Device device) {
    return arena.bind(device);
  }

  /** The same for an optimizer that takes steps of the trainer's own. */
  ParameterSet parameters(Device device, FloatPointer updates) {
    return arena.bind(device, updates);
  }

  /** The tensors, in the order of {@link #parameters}. */
  List<Tensor> tensors() {
    return IntStream.range(0, 2 * weights.length).mapToObj(i -> i % 2 == 0 ? weights[i / 2] : biases[i / 2]).toList();
  }

  /** Scores of the classes, one row an example. */
  Tensor scores(Tensor inputs) {
    Tensor x = type == DataType.BFLOAT16 ? inputs.to(torch.ScalarType.BFloat16) : inputs;
    for (int l = 0; l < weights.length; ++l) {
      x = linear(x, weights[l], biases[l]);
      if (l + 1 < weights.length) x = activation.apply(x);
    }
    return type == DataType.BFLOAT16 ? x.to(torch.ScalarType.Float) : x;
  }

  /** The mean cross entropy of a batch. */
  Tensor loss(Tensor inputs, Tensor labels) {
    return cross_entropy_loss(scores(inputs), labels);
  }

  /** The mean cross entropy of a batch; leaves its gradient in the arena. */
  double lossAndGradients(Tensor inputs, Tensor labels) {
    arena.zeroGradients();
    final Tensor loss = loss(inputs, labels);
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
