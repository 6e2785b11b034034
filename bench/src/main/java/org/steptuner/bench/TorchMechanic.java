// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;

/**
 * Mechanic over AdamW in tensor operations, one per line of the algorithm, as the authors' release for PyTorch computes it: the base
 * optimizer steps in place, its update is the difference to a copy, and Delta is stored or rebuilt. Formulas: algorithm 1 of the
 * paper, with h at the parameters after the base's step.
 */
final class TorchMechanic extends Torch.Peer {
  static final double BASE_RATE = 1e-2;
  static final double INITIAL_SCALE = 1e-4;
  private static final double[] BETAS = {0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999};
  private static final double DECAY = 0.01;
  private static final double EPSILON = 1e-8;

  private final boolean stored;
  private final TensorVector vector;
  private final org.bytedeco.pytorch.Optimizer base;
  private final List<Tensor> reference;
  private final List<Tensor> delta;
  private final Tensor betas = torch.ones(BETAS.length);
  private final Tensor s = torch.zeros(BETAS.length);
  private final Tensor r = torch.zeros(BETAS.length);
  private final Tensor v = torch.zeros(BETAS.length);
  private final Tensor m = torch.ones(BETAS.length).mul_(new Scalar(1e-6));

  TorchMechanic(Model model, boolean stored) {
    super("Mechanic in libtorch operations, Delta " + (stored ? "stored" : "recomputed"), model);
    this.stored = stored;
    vector = new TensorVector(parameters.toArray(Tensor[]::new));
    base = Torch.adamW(vector, BASE_RATE);
    reference = parameters.stream().map(Tensor::clone).toList();
    delta = stored ? zeros() : List.of();
    for (int i = 0; i < BETAS.length; ++i) betas.data_ptr_float().put(i, (float) BETAS[i]);
  }

  @Override
  public void run() {
    try (PointerScope scope = new PointerScope()) {
      final Scalar inverse = new Scalar(s.sum().item_double() + EPSILON);
      final List<Tensor> before = new ArrayList<>();
      final List<Tensor> steps = new ArrayList<>();
      for (int t = 0; t < parameters.size(); ++t) {
        before.add(parameters.get(t).clone());
        steps.add(stored ? delta.get(t) : parameters.get(t).sub(reference.get(t)).div(inverse));
      }
      base.step();
      Tensor gradientSquare = torch.zeros();
      Tensor parameterSquare = torch.zeros();
      for (int t = 0; t < parameters.size(); ++t) {
        gradientSquare = gradientSquare.add(gradients.get(t).norm().square());
        parameterSquare = parameterSquare.add(parameters.get(t).norm().square());
      }
      final Scalar decay =
          new Scalar(
              DECAY * s.sum().item_double() * Math.sqrt(gradientSquare.item_double())
                  / (Math.sqrt(parameterSquare.item_double()) + EPSILON));
      Tensor h = torch.zeros();
      for (int t = 0; t < parameters.size(); ++t) {
        final Tensor decayed = gradients.get(t).add(parameters.get(t).mul(decay));
        h = h.add(steps.get(t).mul(decayed).sum());
        steps.set(t, steps.get(t).add_(parameters.get(t).sub(before.get(t))));
      }
      m.copy_(m.mul(betas).maximum(h.abs()));
      v.copy_(v.mul(betas).mul(betas).add(h.mul(h)));
      r.copy_(r.mul(betas).sub(s.mul(h)).clamp_min(new Scalar(0)));
      s.copy_(m.mul(new Scalar(INITIAL_SCALE / BETAS.length)).add(r).div(v.sqrt().add(new Scalar(EPSILON))));
      final Scalar next = new Scalar(Math.max(0, s.sum().item_double()));
      for (int t = 0; t < parameters.size(); ++t) parameters.get(t).copy_(reference.get(t).add(steps.get(t).mul(next)));
    }
  }
}
