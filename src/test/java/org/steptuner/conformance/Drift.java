// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import java.util.List;
import org.steptuner.DataType;
import org.steptuner.Device;

/**
 * How far rounding alone leads a run away from itself: the largest error, up to each step, between a run and its twins. A twin
 * starts a few roundings beside, gets every gradient and has every hyperparameter that much off, and sums over the data in
 * another order.
 *
 * <p>It is measured on one thread of the CPU, since all devices give the same bits.
 */
final class Drift implements Errors.Visitor {
  private final Recording self;
  private final double[] loss;
  private final double[] state;
  private final double[] lostStep;
  private final double[] lostDelta;

  private Drift(Recording self, int lastStep) {
    this.self = self;
    loss = new double[lastStep + 1];
    state = new double[lastStep + 1];
    lostStep = new double[lastStep + 1];
    lostDelta = new double[lastStep + 1];
  }

  /** By how much, relatively, twins are off: enough for what one rounding decides to be decided either way among them. */
  static double unit(DataType type) {
    return 16 * (type == DataType.FLOAT64 ? 0x1p-52 : 0x1p-23);
  }

  /**
   * Runs an optimizer and its twins.
   *
   * @param twins the same with other roundings of the hyperparameters
   */
  static Drift measure(
      Candidate candidate, List<Candidate> twins, Problem problem, Recording wanted, int lastStep, DataType type) {
    final Device device = Device.cpu(1);
    final Trial.Run self = Trial.run(candidate, problem, wanted, lastStep, type, device);
    final Drift drift = new Drift(self.trajectory(), lastStep);
    for (int seed = 1; seed <= twins.size(); ++seed) {
      final Problem beside = new Perturbed(problem.reordered(seed), seed, unit(type));
      final Trial.Run twin = Trial.run(twins.get(seed - 1), beside, wanted, lastStep, type, device);
      Errors.visit(self.trajectory(), twin.trajectory(), problem.start().length, lastStep, drift);
    }
    drift.accumulate(self);
    return drift;
  }

  private void accumulate(Trial.Run self) {
    for (int step = 1; step < loss.length; ++step) {
      loss[step] = Math.max(loss[step], loss[step - 1]);
      state[step] = Math.max(state[step], state[step - 1]);
      final double lost = 0x1p-53 / self.moved()[step];
      final double scale = self.scale()[step];
      lostStep[step] = Math.max(lostStep[step - 1], lost * scale);
      lostDelta[step] = Math.max(lostDelta[step - 1], lost * Math.max(1, scale));
    }
  }

  /** The run itself, which every device and every repetition must match bit for bit. */
  Recording self() {
    return self;
  }

  /** Of the loss, up to a step. */
  double loss(int step) {
    return loss[step];
  }

  /** Of parameters and scalars, up to a step. */
  double state(int step) {
    return state[step];
  }

  /** The largest relative error of Delta, up to a step, that a reference's differences cause. */
  double lost(int step, Candidate.Lost what) {
    return switch (what) {
      case NOTHING -> 0;
      case STEP -> lostStep[step];
      case DELTA -> lostDelta[step];
    };
  }

  @Override
  public void loss(int step, double expected, double actual, double error) {
    loss[step] = Math.max(loss[step], error);
  }

  @Override
  public void state(String quantity, int step, double expected, double actual, double error) {
    state[step] = Math.max(state[step], error);
  }
}
