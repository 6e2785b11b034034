// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.List;
import org.steptuner.StepReport.Hold;
import org.steptuner.internal.engine.DeviceScalars;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.Scalars;
import org.steptuner.internal.engine.Sweep;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Coefficients;
import org.steptuner.rule.Rule;

/** MoMo's two sweeps: all sums first, then everything that is written. */
final class MoMoOptimizer extends TunedOptimizer {
  private final MoMo settings;
  private final double weightDecay;
  private final MoMoForm form;
  private final MoMoScalars scalars;
  private final Sweep observe;
  private final Sweep apply;
  private final Reduction sums;
  private final Reduction.Term gradientSquare; // |g|^2
  private final Reduction.Term parameterGradient; // <x, g>
  private final Reduction.Term parameterAverage; // <x, m>
  private final Reduction.Term averageSquare; // <m, m / D>

  MoMoOptimizer(Engine engine, MoMo settings) {
    super(engine);
    this.settings = settings;
    weightDecay = MoMoForm.weightDecay(settings.rule);
    form = settings.form;
    scalars = new MoMoScalars(settings);
    observe = guard.bindObserver("momo_observe", form.kernel());
    apply = plan.bind("momo_apply", form.kernel());
    sums = reduction();
    gradientSquare = sums.overall(observe.sum("gradientSquare"));
    parameterGradient = sums.overall(observe.sum("parameterGradient"));
    parameterAverage = sums.overall(observe.sum("parameterAverage"));
    averageSquare = sums.overall(observe.sum("averageSquare"));
    guard.addL1(observe, sums);
  }

  @Override
  protected double baseRate() {
    return settings.rate;
  }

  @Override
  protected String lossNeededBy() {
    return "MoMo";
  }

  // Over AdaGrad the averages have a beta that the rule has not.
  @Override
  protected double scheduledMomentum(Rule rule) {
    return settings.beta;
  }

  @Override
  protected boolean advance(long step) {
    if (!guard.guard()) return false;
    scalars.begin(momentumFactor());
    putFormula(observe, scalars.t);
    observe.setAll();
    putFormula(apply, scalars.t); // averages are formed twice, with what is known before the step
    observe.run();
    observe.await();
    sums.collect();
    guard.reduce(sums);
    if (!guard.reads() && !guard.accept(gradientSquare.of(0))) return false;
    if (guard.refuses(sums)) return false;
    scalars.update(
        loss(), parameterGradient.of(0), parameterAverage.of(0), averageSquare.of(0), report.rate(), weightDecay * decayFactor());
    putDecay();
    apply.setAll();
    apply.runLast();
    return true;
  }

  private void putFormula(Sweep sweep, long made) {
    sweep.put("gradientScale", guard.scale()).put("retention", scalars.retention(made)).put("gain", scalars.gain(made));
    if (!form.divides()) return;
    sweep.put("squareRetention", form.squareRetention()).put("squareGain", form.squareGain());
    if (form.corrects()) sweep.put("rootCorrection", 1 / Math.sqrt(1 - Math.pow(form.squareRetention(), made + 1)));
    else sweep.put("epsilonInside", form.epsilonInside());
    sweep.put("epsilon", form.epsilonOutside(leastEpsilon()));
  }

  private void putDecay() {
    final boolean multiplies = multiplies();
    final boolean optax = settings.variant == MoMo.Variant.OPTAX;
    final double decay = weightDecay * decayFactor();
    final double k = 1 + report.rate() * decay;
    apply.put("scale", multiplies ? 1 - boundedShrinkage(report.rate() * decay) : optax ? 1 / k : 1);
    apply.put("rate", scalars.tau).put("divisor", multiplies || optax ? 1 : k);
  }

  @Override
  protected DeviceScalars onDevice() {
    return guard.reads() ? null : new OnDevice();
  }

  @Override
  protected String whyNotOnDevice() {
    return "clipping, or |g|_1, needs a sweep before the one that it observes with";
  }

  /** What the device has to know. */
  private final class OnDevice extends DeviceScalars {
    private final long uncounted = report.step() - scalars.t; // steps in which no tensor was

    OnDevice() {
      super("momo", observe, apply);
    }

    @Override
    protected void settings(Coefficients to) {
      scalars.putSettings(to);
      to.put("multiplies", multiplies() ? 1 : 0).put("shrinks", settings.variant == MoMo.Variant.OPTAX ? 1 : 0);
      to.put("boundedDecay", settings.boundedDecay ? 1 : 0);
    }

    private long made() {
      return ruleStep(1).number() - 1 - uncounted;
    }

    @Override
    protected void put(int segment) {
      scalars.begin(momentumFactor());
      putFormula(observe, made());
      putFormula(apply, made());
      apply.put("scale", 1).put("rate", 0).put("divisor", 1);
    }

    @Override
    protected void row(int segment, Coefficients to) {
      final long made = made();
      to.put("retention", scalars.retention(made)).put("gain", scalars.gain(made)).put("correction", scalars.correction(made + 1));
      to.put("decay", weightDecay * decayFactor());
    }
  }

  private boolean multiplies() {
    return settings.decay == MoMo.Decay.MULTIPLY;
  }

  // The schedule limits tau.
  @Override
  protected double learnedRate(int scope) {
    final double gain = form.divides() ? 1 : 1 - settings.beta;
    return scheduleFactor() > 0 ? effectiveRate(scope) * gain / scheduleFactor() : 0;
  }

  @Override
  protected String whyNotFrozen() {
    return form.divides() && !form.corrects() ? "its momentum is not that of the rule" : super.whyNotFrozen();
  }

  // MoMo's momentum is an average, and that of SGD a sum.
  @Override
  protected List<Sweep> stateOfRule() {
    if (form.divides() || settings.beta == 0) return List.of();
    return List.of(Sweep.scaling(plan, "momentum", segment -> 1 / ((1 - settings.beta) * scalars.correction())));
  }

  @Override
  protected Hold hold() {
    return scalars.modelAtBound ? Hold.LOSS_AT_BOUND : Hold.RATE_IS_ZERO;
  }

  @Override
  protected double learnedScale(int scope) {
    return scalars.tau;
  }

  @Override
  protected double effectiveRate(int scope) {
    return scalars.correction() * scalars.tau;
  }

  @Override
  protected int sweepWords() {
    return observe.words() + apply.words();
  }

  @Override
  protected void name(Scalars to) {
    to.one("loss_avg", () -> scalars.loss, value -> scalars.loss = value);
    to.one("gamma", () -> scalars.product, value -> scalars.product = value);
    to.one("lb", () -> scalars.bound, scalars::restoreBound);
    to.one("tau", () -> scalars.tau, value -> scalars.tau = value);
    to.one("tau_unlimited", () -> scalars.limit, value -> scalars.limit = value);
    to.one("t", () -> scalars.t, value -> scalars.t = (long) value);
  }
}
