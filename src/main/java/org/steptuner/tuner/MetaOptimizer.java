// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.NonFinite;
import org.steptuner.internal.Exponential;
import org.steptuner.internal.engine.DeviceScalars;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.ScheduledStep;
import org.steptuner.internal.engine.Scalars;
import org.steptuner.internal.engine.Sweep;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Coefficients;
import org.steptuner.rule.Rule;

/**
 * MetaOptimize's one sweep. Only the next step needs its sums, so a step ends when the sweep has been started. The sums are taken when the
 * next step begins, or when a report or a checkpoint needs them.
 */
final class MetaOptimizer extends TunedOptimizer {
  private final MetaOptimize settings;
  private final boolean packaged;
  private final boolean perWeight;
  private final boolean curved;
  private final boolean takesBase;
  private final double gamma;
  private final double epsilon;
  private final double initialStepSize;
  private final double[] decay; // by group
  private final Rule[] plain; // by group: the rule without its decay
  private final Hyperparameters[] hyperparameters; // of those
  private final Hyperparameters metaHyperparameters;
  private final MetaScalars[] scalars; // by scope; none with a step size for every weight
  private final double[] z; // by scope
  private final double[] logRatio; // by scope, with a step size for every weight: the mean of beta - ln alpha_0
  private final Sweep curvatureNorm; // null: no curvature, or no guard
  private final Reduction.Term curvatureSquare;
  private final Sweep sweep;
  private final Coefficients metaCoefficients; // with a step size for every weight
  private final Reduction sums;
  private final Reduction.Term traceGradient; // z
  private final Reduction.Term traceProduct; // <h, H h>, with a curvature and shared step sizes; else null
  private final Reduction.Term logRatioSum; // with a step size for every weight; else null
  private final Reduction.Term elements;
  private final double[] used; // by scope: the step size of this step, or the geometric mean over the weights
  private final ScheduledStep metaStep = newStep(); // schedules are not for the meta rule
  private boolean sumsWaiting;
  private long sweptStep;

  MetaOptimizer(Engine engine, MetaOptimize settings) {
    super(engine);
    this.settings = settings;
    packaged = settings.variant == MetaOptimize.Variant.PACKAGE;
    perWeight = settings.perWeight;
    curved = settings.curved();
    takesBase = MetaForm.takesBase(settings);
    gamma = settings.gamma();
    epsilon = Math.max(settings.epsilon(), leastEpsilon() * leastEpsilon()); // inside of the root
    initialStepSize = settings.initialStepSize();
    final int groups = parameters().groups().size();
    decay = new double[groups];
    plain = new Rule[groups];
    hyperparameters = new Hyperparameters[groups];
    for (int group = 0; group < groups; ++group) {
      decay[group] = MetaForm.decay(rule(group));
      plain[group] = rule(group).withoutDecay();
      hyperparameters[group] = Hyperparameters.of(plain[group]);
    }
    metaHyperparameters = Hyperparameters.of(settings.meta);
    scalars = new MetaScalars[perWeight ? 0 : plan.scopes()];
    for (int scope = 0; scope < scalars.length; ++scope) scalars[scope] = new MetaScalars(settings);
    z = new double[plan.scopes()];
    logRatio = new double[plan.scopes()];
    curvatureNorm = curved && settings.nonFinite != NonFinite.UNCHECKED ? plan.bind("curvature_norm", "") : null;
    curvatureSquare = curvatureNorm == null ? null : guard.together(curvatureNorm, "curvatureSquare");
    sweep = plan.bind(MetaForm.sweep(settings), ruleKernel());
    metaCoefficients = perWeight ? sweep.prefixed("meta") : null;
    sums = reduction();
    traceGradient = sums.perScope(sweep.sum("traceGradient"));
    traceProduct = curved && !perWeight ? sums.perScope(sweep.sum("traceProduct")) : null;
    logRatioSum = perWeight ? sums.perScope(sweep.sum("logRatio")) : null;
    elements = perWeight ? sums.perScope(sweep.sum("elements")) : null;
    used = new double[plan.scopes()];
    putConstants();
  }

  private void putConstants() {
    if (perWeight) {
      sweep.put("gamma", gamma).put("metaStepSize", settings.metaStepSize).put("largestChange", StrictMath.log(settings.largestChange));
      sweep.put("leastLogRatio", StrictMath.log(settings.smallestStepSize / initialStepSize));
    }
    if (!curved) return;
    final boolean product = settings.curvature == MetaCurvature.PRODUCT;
    final boolean rectified = settings.curvature == MetaCurvature.DIAGONAL_RECTIFIED;
    sweep.put("gamma", gamma).put("product", product ? 1 : 0).put("diagonal", product ? 0 : 1);
    if (!takesBase) sweep.put("leastRetention", rectified ? 0 : Double.NEGATIVE_INFINITY);
    if (perWeight) sweep.put("stepSizeFirst", settings.stepSizeFirst ? 1 : 0);
  }

  @Override
  protected double baseRate() {
    return 1;
  }

  @Override
  protected boolean advance(long step) {
    settle();
    if (!guard.guard() || curvatureNorm != null && guard.refuses(curvatureSquare.of(0))) return false;
    for (int scope = 0; scope < used.length; ++scope) used[scope] = learnedScale(scope);
    sweep.put("gradientScale", guard.scale());
    if (perWeight) MetaForm.put(settings.meta, metaHyperparameters, epsilon, metaStep.begin(step).at(1), metaCoefficients);
    for (int segment = 0; segment < plan.segments(); ++segment) {
      putStepSize(segment);
      if (takesBase && startsGroup(segment)) putBase(plan.group(segment));
      sweep.set(segment);
    }
    sweep.runLast();
    sumsWaiting = true;
    sweptStep = step;
    // With several processes all must take their sums at the same point.
    if (reduces()) settle();
    return true;
  }

  private void putStepSize(int segment) {
    final int group = plan.group(segment);
    final double factor = rate(group);
    if (perWeight) {
      sweep.put("initialRate", factor * initialStepSize).put("decay", decay[group] * decayFactor());
      sweep.put("mostLogRatio", mostLogRatio(factor * initialStepSize * (decay[group] * decayFactor())));
      return;
    }
    final MetaScalars scalar = scalars[plan.scope(segment)];
    final double alpha = factor * scalar.stepSize();
    final double shrinkage = boundedShrinkage(alpha * (decay[group] * decayFactor()));
    sweep.put("learnedRate", alpha).put("learnedShrinkage", shrinkage);
    if (curved) sweep.put("stepWeight", scalar.stepWeight());
    else sweep.put("retention", gamma * (1 - shrinkage));
  }

  // Decay is bounded by a limit of the step sizes themselves, which are known to the sweep alone.
  private double mostLogRatio(double firstShrinkage) {
    final double most = StrictMath.log(settings.largestStepSize / initialStepSize);
    return settings.boundedDecay ? Math.min(most, -StrictMath.log(firstShrinkage)) : most;
  }

  private void putBase(int group) {
    if (packaged) plain[group].coefficients(ruleStep(1), sweep);
    else MetaForm.put(plain[group], hyperparameters[group], epsilon, ruleStep(1), sweep);
  }

  @Override
  protected void settle() {
    if (!sumsWaiting) return;
    sumsWaiting = false;
    sweep.await();
    sums.collect();
    sums.reduce();
    for (int scope = 0; scope < z.length; ++scope) {
      z[scope] = traceGradient.of(scope);
      if (perWeight) logRatio[scope] = logRatioSum.of(scope) / Math.max(1, elements.of(scope));
      else update(scalars[scope], z[scope], traceProduct == null ? 0 : traceProduct.of(scope));
    }
  }

  private void update(MetaScalars of, double feedback, double product) {
    of.correct(sweptStep);
    of.update(feedback, product);
  }

  @Override
  protected DeviceScalars onDevice() {
    return perWeight || curved ? null : new OnDevice();
  }

  @Override
  protected String whyNotOnDevice() {
    return perWeight ? "the report of step sizes per weight is computed by Java" : "a curvature has a guard of its own";
  }

  /** What the device has to know. */
  private final class OnDevice extends DeviceScalars {
    private final MetaScalars corrections = new MetaScalars(settings);

    OnDevice() {
      super("metaoptimize_by_" + settings.meta.kernel(), guard.sweep(), sweep);
    }

    @Override
    protected void settings(Coefficients to) {
      corrections.putSettings(to);
      to.put("boundedDecay", settings.boundedDecay ? 1 : 0);
    }

    @Override
    protected void put(int segment) {
      sweep.put("gradientScale", 1).put("learnedRate", 0).put("learnedShrinkage", 0).put("retention", 0);
      putBase(plan.group(segment));
    }

    @Override
    protected void row(int segment, Coefficients to) {
      final int group = plan.group(segment);
      corrections.correct(ruleStep(1).number());
      to.put("rate", rate(group)).put("decay", decay[group] * decayFactor());
      to.put("meanCorrection", corrections.meanCorrection).put("squareCorrection", corrections.squareCorrection);
    }
  }

  @Override
  protected String whyNotFrozen() {
    return perWeight ? "every weight has a step size of its own" : super.whyNotFrozen();
  }

  @Override
  protected double learnedScale(int scope) {
    return perWeight ? initialStepSize * Exponential.of(logRatio[scope]) : scalars[scope].stepSize();
  }

  @Override
  protected boolean learnsLate() {
    return true;
  }

  @Override
  protected double effectiveRate(int scope) {
    return report.rate() * used[scope];
  }

  @Override
  protected int sweepWords() {
    return sweep.words() + (curvatureNorm == null ? 0 : curvatureNorm.words());
  }

  @Override
  protected void name(Scalars to) {
    to.perScope("z", z);
    if (perWeight) {
      to.perScope("logRatio", logRatio);
      return;
    }
    to.each("beta", scalars, one -> one.beta, MetaScalars::restore);
    if (MetaForm.hasMomentum(settings.meta)) to.each("m", scalars, one -> one.m, (one, m) -> one.m = m);
    if (MetaForm.hasSquare(settings.meta)) to.each("v", scalars, one -> one.v, (one, v) -> one.v = v);
    if (!settings.twoByTwo()) return;
    to.each("betaTrace", scalars, one -> one.betaTrace, (one, trace) -> one.betaTrace = trace);
    if (MetaForm.hasMomentum(settings.meta)) to.each("mTrace", scalars, one -> one.mTrace, (one, trace) -> one.mTrace = trace);
    if (MetaForm.hasSquare(settings.meta)) to.each("vTrace", scalars, one -> one.vTrace, (one, trace) -> one.vTrace = trace);
  }

  @Override
  protected void restored() {
    sumsWaiting = false;
  }
}
