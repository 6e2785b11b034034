// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.steptuner.NonFinite;
import org.steptuner.ParameterSet;
import org.steptuner.internal.Sweep;
import org.steptuner.rule.Adam;
import org.steptuner.rule.Lion;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;

/**
 * MetaOptimize's one sweep. What it sums serves the next step, so a step ends when the sweep is on its way: a GPU's sums are taken when
 * the next step begins or somebody asks for them.
 */
final class MetaOptimizer extends TunedOptimizer {
  private final boolean packaged;
  private final boolean perWeight;
  private final boolean curved;
  private final boolean twoByTwo;
  private final Rule meta;
  private final double gamma;
  private final double epsilon;
  private final double initialStepSize;
  private final double[] decay; // by group
  private final Rule[] plain; // by group: the rule without its decay
  private final MetaScalars[] scalars; // by scope; none with a step size for every weight
  private final double[] z; // by scope
  private final double[] logRatio; // by scope, with a step size for every weight: the sum, then the mean of beta - ln alpha_0
  private final double[] elements; // by scope, likewise
  private final double[] traceProduct; // by scope, with a curvature: <h, H h>
  private final double[] curvatureSquare = new double[1];
  private final double[] values = new double[16];
  private final int baseCount;
  private final int metaCount;
  private final Sweep curvatureNorm; // null: no curvature, or no guard
  private final Sweep sweep;
  private final int gradientScale;
  private final int rate;
  private final int stepWeight; // with a curvature and shared step sizes
  private final int ruleColumn;
  private boolean sumsWaiting;
  private long sweptStep;

  MetaOptimizer(MetaOptimize settings, ParameterSet parameters) {
    super(settings, parameters, slots(settings), settings.needsNorm());
    packaged = settings.variant == MetaOptimize.Variant.PACKAGE;
    perWeight = settings.perWeight;
    curved = settings.curved();
    twoByTwo = settings.twoByTwo();
    meta = settings.meta;
    gamma = settings.gamma();
    epsilon = settings.epsilon();
    initialStepSize = settings.initialStepSize();
    final int groups = parameters.groups().size();
    decay = new double[groups];
    plain = new Rule[groups];
    for (int group = 0; group < groups; ++group) {
      decay[group] = MetaForm.decay(rule(group));
      plain[group] = MetaForm.withoutDecay(rule(group));
    }
    scalars = new MetaScalars[perWeight ? 0 : plan.scopes()];
    for (int scope = 0; scope < scalars.length; ++scope) scalars[scope] = new MetaScalars(settings);
    z = new double[plan.scopes()];
    logRatio = new double[plan.scopes()];
    elements = new double[plan.scopes()];
    traceProduct = new double[plan.scopes()];
    final List<String> names = new ArrayList<>(baseNames());
    baseCount = names.size();
    if (perWeight) names.addAll(MetaForm.names(meta));
    metaCount = names.size() - baseCount;
    try {
      curvatureNorm = curved && nonFinite != NonFinite.UNCHECKED ? plan.bind("curvature_norm", "") : null;
      sweep = bind();
      gradientScale = sweep.coefficient("gradientScale");
      rate = sweep.coefficient("rate");
      stepWeight = curved && !perWeight ? sweep.coefficient("stepWeight") : -1;
      ruleColumn = sweep.ruleColumn(names);
      if (perWeight) setBounds(settings);
      if (curved) setCurvature(settings);
      if (twoByTwo && perWeight) plan.fill("betaTrace", 1);
    } catch (RuntimeException | Error e) {
      plan.close();
      throw e;
    }
    report.pending = this::settle;
    reportStepSizes();
  }

  private static List<String> slots(MetaOptimize settings) {
    if (!settings.perWeight) return List.of("trace");
    final List<String> slots = new ArrayList<>(List.of("trace", "logRatio"));
    if (hasMomentum(settings.meta)) slots.add("metaMomentum");
    if (hasSquare(settings.meta)) slots.add("metaSquare");
    if (settings.twoByTwo()) slots.add("betaTrace");
    return slots;
  }

  private static boolean hasMomentum(Rule meta) {
    return meta instanceof Adam || meta instanceof Lion;
  }

  private static boolean hasSquare(Rule meta) {
    return meta instanceof Adam || meta instanceof RMSProp;
  }

  private Sweep bind() {
    if (curved && perWeight)
      return plan.bind(twoByTwo ? "metaoptimize_curved_2x2_per_weight" : "metaoptimize_curved_per_weight", meta.kernel());
    return plan.bind(
        curved ? "metaoptimize_curved"
            : packaged ? "metaoptimize_package" : perWeight ? "metaoptimize_per_weight_" + meta.kernel() : "metaoptimize",
        ruleKernel());
  }

  /** The base rule's coefficients in the sweep; with a curvature it is SGD, which has none beside those of the sweep. */
  private List<String> baseNames() {
    if (curved) return List.of();
    return packaged ? plain[0].coefficientNames() : MetaForm.names(plain[0]);
  }

  private void setCurvature(MetaOptimize settings) {
    final boolean product = settings.curvature == MetaOptimize.Curvature.PRODUCT;
    final boolean rectified = settings.curvature == MetaOptimize.Curvature.DIAGONAL_RECTIFIED;
    for (int segment = 0; segment < plan.segments(); ++segment) {
      sweep.set(segment, sweep.coefficient("gamma"), gamma);
      sweep.set(segment, sweep.coefficient("product"), product ? 1 : 0);
      sweep.set(segment, sweep.coefficient("diagonal"), product ? 0 : 1);
      sweep.set(segment, sweep.coefficient("leastRetention"), rectified ? 0 : Double.NEGATIVE_INFINITY);
      if (perWeight) sweep.set(segment, sweep.coefficient("stepSizeFirst"), settings.stepSizeFirst ? 1 : 0);
    }
  }

  private boolean curvatureIsFinite() {
    if (curvatureNorm == null) return true;
    curvatureNorm.run();
    curvatureSquare[0] = 0;
    for (double sum : curvatureNorm.sums()) curvatureSquare[0] += sum;
    reduce(curvatureSquare, 1);
    return !refuses(curvatureSquare[0]);
  }

  private void setBounds(MetaOptimize settings) {
    for (int segment = 0; segment < plan.segments(); ++segment) {
      sweep.set(segment, sweep.coefficient("gamma"), gamma);
      sweep.set(segment, sweep.coefficient("decay"), decay[plan.group(segment)]);
      sweep.set(segment, sweep.coefficient("metaStepSize"), settings.metaStepSize);
      sweep.set(segment, sweep.coefficient("largestChange"), Math.log(settings.largestChange));
      sweep.set(segment, sweep.coefficient("leastLogRatio"), Math.log(settings.smallestStepSize / initialStepSize));
      sweep.set(segment, sweep.coefficient("mostLogRatio"), Math.log(settings.largestStepSize / initialStepSize));
    }
  }

  @Override
  double baseRate() {
    return 1;
  }

  @Override
  boolean advance(long step) {
    settle();
    if (!guard() || !curvatureIsFinite()) return false;
    int before = -1;
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int group = plan.group(segment);
      sweep.set(segment, gradientScale, gradientScale());
      final double factor = report.rate * rateFactor(group);
      if (perWeight) {
        sweep.set(segment, rate, factor * initialStepSize);
      } else {
        final double alpha = factor * scalars[plan.scope(segment)].stepSize();
        final double shrinkage = alpha * decay[group];
        sweep.set(segment, rate, alpha);
        sweep.set(segment, rate + 1, shrinkage);
        if (curved) sweep.set(segment, stepWeight, scalars[plan.scope(segment)].stepWeight());
        else sweep.set(segment, rate + 2, gamma * (1 - shrinkage));
      }
      if (curved) continue;
      if (group != before) setBase(group, step);
      before = group;
      sweep.set(segment, ruleColumn, values, baseCount);
    }
    if (perWeight) {
      MetaForm.fill(meta, epsilon, step, values);
      for (int segment = 0; segment < plan.segments(); ++segment) sweep.set(segment, ruleColumn + baseCount, values, metaCount);
    }
    sweep.run();
    sumsWaiting = true;
    sweptStep = step;
    // With several processes all must take their sums at the same point.
    if (reduces()) settle();
    return true;
  }

  private void setBase(int group, long step) {
    if (packaged) plain[group].coefficients(1, step, values);
    else MetaForm.fill(plain[group], epsilon, step, values);
  }

  @Override
  void settle() {
    if (!sumsWaiting) return;
    sumsWaiting = false;
    final double[] sums = sweep.sums();
    final int columns = sums.length / plan.segments();
    Arrays.fill(z, 0);
    Arrays.fill(logRatio, 0);
    Arrays.fill(elements, 0);
    Arrays.fill(traceProduct, 0);
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int scope = plan.scope(segment);
      z[scope] += sums[segment * columns];
      if (curved && !perWeight) traceProduct[scope] += sums[segment * columns + 1];
      if (!perWeight) continue;
      logRatio[scope] += sums[segment * columns + 1];
      elements[scope] += sums[segment * columns + 2];
    }
    reduce(z, z.length);
    if (twoByTwo && !perWeight) reduce(traceProduct, traceProduct.length);
    if (perWeight) {
      reduce(logRatio, logRatio.length);
      reduce(elements, elements.length);
    }
    for (int scope = 0; scope < z.length; ++scope)
      if (perWeight) logRatio[scope] /= Math.max(1, elements[scope]);
      else scalars[scope].update(z[scope], traceProduct[scope], sweptStep);
    reportStepSizes();
  }

  private void reportStepSizes() {
    for (int scope = 0; scope < z.length; ++scope)
      report.learnedScale[scope] = perWeight ? initialStepSize * Math.exp(logRatio[scope]) : scalars[scope].stepSize();
  }

  @Override
  int sweepWords() {
    return sweep.words() + (curvatureNorm == null ? 0 : curvatureNorm.words());
  }

  @Override
  void saveScalars(Map<String, double[]> to) {
    settle();
    to.put("z", z.clone());
    if (perWeight) {
      to.put("logRatio", logRatio.clone());
      return;
    }
    to.put("beta", Arrays.stream(scalars).mapToDouble(one -> one.beta).toArray());
    if (hasMomentum(meta)) to.put("m", Arrays.stream(scalars).mapToDouble(one -> one.m).toArray());
    if (hasSquare(meta)) to.put("v", Arrays.stream(scalars).mapToDouble(one -> one.v).toArray());
    if (twoByTwo) to.put("betaTrace", Arrays.stream(scalars).mapToDouble(one -> one.betaTrace).toArray());
  }

  @Override
  void restoreScalars(Map<String, double[]> from) {
    sumsWaiting = false;
    System.arraycopy(from.get("z"), 0, z, 0, z.length);
    if (perWeight) System.arraycopy(from.get("logRatio"), 0, logRatio, 0, z.length);
    for (int scope = 0; scope < scalars.length; ++scope) {
      scalars[scope].beta = from.get("beta")[scope];
      if (hasMomentum(meta)) scalars[scope].m = from.get("m")[scope];
      if (hasSquare(meta)) scalars[scope].v = from.get("v")[scope];
      if (twoByTwo) scalars[scope].betaTrace = from.get("betaTrace")[scope];
      scalars[scope].z = z[scope];
    }
    reportStepSizes();
  }
}
