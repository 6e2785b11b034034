// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import static org.bytedeco.pytorch.global.torch.linear;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;

/**
 * The perceptron of the Fashion-MNIST example, 784-256-256-10 with ReLU and cross entropy, on 128 images. The images are noise and the
 * labels random: what they show makes no difference to the time of a step, and loading them is no part of it.
 */
final class TrainingMlp extends Network {
  private static final int BATCH = 128;
  private static final int[] SIZES = {784, 256, 256, 10};
  private static final int LAYERS = SIZES.length - 1;

  private final Tensor[] weights = new Tensor[LAYERS];
  private final Tensor[] biases = new Tensor[LAYERS];
  private final Tensor inputs;
  private final Tensor labels;

  TrainingMlp(Model model) {
    super(model);
    for (int l = 0; l < LAYERS; ++l) {
      final double bound = 1 / Math.sqrt(SIZES[l]); // as torch.nn.Linear does
      weights[l] = parameter(2 * l, tensor -> torch.uniform_(tensor, -bound, bound), SIZES[l + 1], SIZES[l]);
      biases[l] = parameter(2 * l + 1, tensor -> torch.uniform_(tensor, -bound, bound), SIZES[l + 1]);
    }
    inputs = torch.rand(BATCH, SIZES[0]);
    labels = torch.randint(SIZES[LAYERS], new long[] {BATCH}, new TensorOptions(torch.ScalarType.Long));
  }

  static Shapes shapes() {
    final long[] counts = new long[2 * LAYERS];
    for (int l = 0; l < LAYERS; ++l) {
      counts[2 * l] = (long) SIZES[l] * SIZES[l + 1];
      counts[2 * l + 1] = SIZES[l + 1];
    }
    return new Shapes("Fashion-MNIST MLP", counts, 0);
  }

  @Override
  Tensor loss() {
    Tensor x = inputs;
    for (int l = 0; l < LAYERS; ++l) {
      x = linear(x, weights[l], biases[l]);
      if (l + 1 < LAYERS) x = torch.relu(x);
    }
    return torch.cross_entropy_loss(x, labels);
  }
}
