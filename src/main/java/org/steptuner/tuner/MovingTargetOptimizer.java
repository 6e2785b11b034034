// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.List;
import org.steptuner.StepReport.Hold;
import org.steptuner.StepReport.Skip;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Parted;
import org.steptuner.internal.engine.Scalars;
import org.steptuner.internal.engine.Sweep;
import org.steptuner.internal.engine.TunedOptimizer;

/**
 * Two sweeps: |g|^2, then the step.
 *
 * <p>z is not stored. With b = x - z, of the x before a step and the z after it, the step is {@code b <- momentum b + c g; x <- x - (1 -
 * momentum) b}: SGD with momentum at the rate 1 - momentum, whose gradients are multiplied by c. Under a schedule b keeps what the momentum
 * of the step before leaves of it.
 */
final class MovingTargetOptimizer extends TunedOptimizer implements Parted {
  private final MovingTarget settings;
  private final MovingTargetScalars scalars;
  private final Sweep sweep;

  MovingTargetOptimizer(Engine engine, MovingTarget settings) {
    super(engine);
    this.settings = settings;
    scalars = new MovingTargetScalars(settings);
    sweep = plan.bind("fixed_rate", ruleKernel());
  }

  @Override
  public int parts() {
    return settings.parts;
  }

  @Override
  protected double baseRate() {
    return settings.rate;
  }

  @Override
  protected String lossNeededBy() {
    return "a moving target";
  }

  @Override
  protected boolean advance(long step) {
    if (!guard.guard()) return false;
    final int part = part() >= 0 ? part() : scalars.nextPart();
    final double momentum = settings.momentum * momentumFactor();
    final double gamma = report.rate() / (1 - momentum);
    final double rate = scalars.rate(gamma, loss(), report.gradientNorm(), part);
    if (guard.refusesRate(rate, Skip.NON_FINITE_GRADIENT)) return false;
    scalars.update(gamma, rate, part);
    sweep.put("gradientScale", guard.scale() * rate);
    putGroupRule(sweep, 0, 1 - momentum);
    if (settings.momentum != 0) sweep.put("momentum", step == 1 ? momentum : settings.momentum * momentumFactor(step - 1));
    sweep.setAll();
    sweep.runLast();
    return true;
  }

  // The schedule is a part of gamma.
  @Override
  protected double learnedRate(int scope) {
    return scheduleFactor() > 0 ? effectiveRate(scope) / scheduleFactor() : 0;
  }

  // Gradients came into the rule's momentum with the rate as their factor.
  @Override
  protected List<Sweep> stateOfRule() {
    return settings.momentum == 0 ? List.of() : List.of(Sweep.scaling(plan, "momentum", segment -> 1 / scalars.rate));
  }

  // The rate is a multiple of the distance of the loss to its target.
  @Override
  protected Hold hold() {
    return Hold.LOSS_AT_BOUND;
  }

  @Override
  protected double learnedScale(int scope) {
    return scalars.rate;
  }

  @Override
  protected double effectiveRate(int scope) {
    return (1 - settings.momentum) * scalars.rate;
  }

  @Override
  protected int sweepWords() {
    return sweep.words();
  }

  @Override
  protected void name(Scalars to) {
    if (settings.targets != null) {
      to.given("alpha", scalars.targets);
    } else {
      to.all("alpha", scalars.targets);
      to.one("alpha_mean", () -> scalars.mean, value -> scalars.mean = value);
      to.one("tau", () -> scalars.target, value -> scalars.target = value);
    }
    to.one("rate", () -> scalars.rate, value -> scalars.rate = value);
    to.one("t", () -> scalars.t, value -> scalars.t = (long) value);
  }
}
