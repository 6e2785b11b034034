// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * Prodigy with decoupled decay in tensor operations, one per line of the algorithm, as the authors' release for PyTorch computes it:
 * tensor by tensor, with two sums of each read back. Mishchenko and Defazio (2023), algorithm 4.
 */
final class TorchProdigy extends Torch.Peer {
  /** Large enough for float32 to show what x0 - x is, whatever x. */
  static final double INITIAL_RATE = 1e-3;
  /** The gradients of a benchmark never change, and d would grow for as long as it runs. */
  static final double MAX_RATE = 1e-2;
  private static final double BETA3 = Math.sqrt(Torch.BETA2);

  private final List<Tensor> start;
  private final List<Tensor> momentum = zeros();
  private final List<Tensor> square = zeros();
  private final List<Tensor> s = zeros();
  private double d = INITIAL_RATE;
  private double maximum = INITIAL_RATE;
  private double numerator;

  TorchProdigy(Model model) {
    super("Prodigy in libtorch operations", model);
    start = parameters.stream().map(Tensor::clone).toList();
  }

  @Override
  @SuppressWarnings("try") // the scope is not referred to
  public void run() {
    try (PointerScope scope = new PointerScope()) {
      final double relative = d / INITIAL_RATE;
      double denominator = 0;
      numerator *= BETA3;
      for (int t = 0; t < parameters.size(); ++t) {
        final Tensor g = gradients.get(t);
        numerator += relative * d * g.dot(start.get(t).sub(parameters.get(t))).item_double();
        momentum.get(t).mul_(new Scalar(Torch.BETA1)).add_(g, new Scalar(d * (1 - Torch.BETA1)));
        square.get(t).mul_(new Scalar(Torch.BETA2)).addcmul_(g, g, new Scalar(d * d * (1 - Torch.BETA2)));
        s.get(t).mul_(new Scalar(BETA3)).add_(g, new Scalar(relative * d));
        denominator += s.get(t).abs().sum().item_double();
      }
      final double before = d;
      final double estimate = numerator / denominator;
      if (d == INITIAL_RATE) d = Math.max(d, estimate);
      maximum = Math.max(maximum, estimate);
      d = Math.min(maximum, MAX_RATE);
      for (int t = 0; t < parameters.size(); ++t) {
        final Tensor x = parameters.get(t);
        final Tensor root = square.get(t).sqrt().add_(new Scalar(d * Torch.EPSILON));
        x.add_(x, new Scalar(-Torch.DECAY * before)).addcdiv_(momentum.get(t), root, new Scalar(-before));
      }
    }
  }
}
