// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.steptuner.ParameterSet;
import org.steptuner.internal.Sweep;

/**
 * Mechanic's sweeps, in one of three arrangements.
 *
 * <ul>
 *   <li>Observe, then apply: the sums first, then the base step and the new x in one pass. Nothing is written before the new scale is
 *       known, so a non-finite gradient is seen for free.
 *   <li>Accumulate, then scale: where h needs x after the base's own step (TORCH with decay), the base step goes into Delta first.
 *   <li>Recomputed: without a stored Delta, observe and apply rebuild it from x.
 * </ul>
 */
final class MechanicOptimizer extends TunedOptimizer {
  private enum Arrangement { OBSERVE_APPLY, ACCUMULATE_SCALE, RECOMPUTED_PLAIN, RECOMPUTED_TRIAL }

  private final double rate;
  private final double decay;
  private final double epsilon;
  private final boolean discounted;
  private final Arrangement arrangement;
  private final MechanicScalars[] scalars; // by scope
  private final Sweep reference; // takes x as the reference
  private final Sweep first; // gives the sums that h is made of
  private final Sweep second; // writes x
  private final int firstRule;
  private final int secondRule;
  private boolean referenced;
  private boolean sumsWaiting; // of the second sweep, for the next step

  // By scope: the sums of h's terms (with the stored Delta, not yet discounted), and the scale before and after the step.
  private final double[] gradientSquare;
  private final double[] deltaGradient;
  private final double[] deltaPoint; // <Delta, y>
  private final double[] pointSquare; // |y|^2
  private final double[] feedback;
  private final double[] oldScale;
  private final double[] newScale;

  // The four of a scope in a row, as first sweeps have them: |g|^2, <Delta, g>, <Delta, y>, |y|^2.
  private static final int TERMS = 4;
  private final double[] terms;

  // Observe-then-apply: <Delta, x> and |x|^2 that the last apply summed in this process.
  private final double[] deltaParameter;
  private final double[] parameterSquare;

  MechanicOptimizer(Mechanic settings, ParameterSet parameters) {
    super(settings, parameters, slots(settings), guarded(settings));
    rate = settings.rate;
    decay = settings.decay;
    epsilon = settings.epsilon;
    discounted = settings.delta() == Mechanic.Delta.DISCOUNTED;
    arrangement = arrangement(settings);
    final int scopes = plan.scopes();
    scalars = new MechanicScalars[scopes];
    for (int i = 0; i < scopes; ++i)
      scalars[i] = new MechanicScalars(settings.variant, settings.betas, settings.initialScale(), settings.epsilon);
    gradientSquare = new double[scopes];
    deltaGradient = new double[scopes];
    deltaPoint = new double[scopes];
    pointSquare = new double[scopes];
    terms = new double[TERMS * scopes];
    feedback = new double[scopes];
    oldScale = new double[scopes];
    newScale = new double[scopes];
    deltaParameter = new double[scopes];
    parameterSquare = new double[scopes];
    try {
      reference = plan.bind("mechanic_reference", "");
      switch (arrangement) {
        case OBSERVE_APPLY -> {
          first = bindObserver("mechanic_observe", "");
          second = plan.bind("mechanic_apply", ruleKernel());
        }
        case ACCUMULATE_SCALE -> {
          first = plan.bind("mechanic_accumulate", ruleKernel());
          second = plan.bind("mechanic_scale", "");
        }
        case RECOMPUTED_PLAIN -> {
          first = plan.bind("mechanic_observe_plain", "");
          second = plan.bind("mechanic_apply_recomputed", ruleKernel());
        }
        default -> {
          first = plan.bind("mechanic_observe_recomputed", ruleKernel());
          second = plan.bind("mechanic_apply_recomputed", ruleKernel());
        }
      }
      final boolean ruleFirst = arrangement == Arrangement.ACCUMULATE_SCALE || arrangement == Arrangement.RECOMPUTED_TRIAL;
      firstRule = ruleFirst ? ruleColumn(first) : -1;
      secondRule = arrangement == Arrangement.ACCUMULATE_SCALE ? -1 : ruleColumn(second);
    } catch (RuntimeException | Error e) {
      plan.close();
      throw e;
    }
    reportScales();
  }

  private static List<String> slots(Mechanic settings) {
    return settings.delta() == Mechanic.Delta.RECOMPUTED ? List.of("reference") : List.of("delta", "reference");
  }

  private static Arrangement arrangement(Mechanic settings) {
    final boolean trial = settings.variant == Mechanic.Variant.TORCH && settings.decay > 0;
    if (settings.delta() == Mechanic.Delta.RECOMPUTED)
      return trial ? Arrangement.RECOMPUTED_TRIAL : Arrangement.RECOMPUTED_PLAIN;
    return trial ? Arrangement.ACCUMULATE_SCALE : Arrangement.OBSERVE_APPLY;
  }

  // The sums of an accumulating sweep come too late to stop it, and a trial step must know what clipping makes of the gradient.
  private static boolean guarded(Mechanic settings) {
    return switch (arrangement(settings)) {
      case OBSERVE_APPLY, RECOMPUTED_PLAIN -> false;
      case ACCUMULATE_SCALE -> settings.needsNorm();
      case RECOMPUTED_TRIAL -> settings.clips();
    };
  }

  @Override
  double baseRate() {
    return rate;
  }

  @Override
  boolean advance(long step) {
    if (!guard()) return false;
    for (int scope = 0; scope < scalars.length; ++scope) oldScale[scope] = Math.max(0, scalars[scope].scale());
    setFirst(step);
    first.run();
    takeSums();
    if (arrangement != Arrangement.ACCUMULATE_SCALE && !acceptObserved()) return false;
    if (Double.isNaN(report.gradientNorm)) report.gradientNorm = Math.sqrt(total(gradientSquare));
    for (int scope = 0; scope < scalars.length; ++scope) {
      feedback[scope] = feedback(scope);
      if (arrangement != Arrangement.ACCUMULATE_SCALE && refuses(feedback[scope])) return false;
    }
    if (!referenced) reference.run();
    referenced = true;
    for (int scope = 0; scope < scalars.length; ++scope) {
      if (Double.isFinite(feedback[scope])) scalars[scope].update(feedback[scope]);
      newScale[scope] = Math.max(0, scalars[scope].scale());
    }
    setSecond(step);
    second.run();
    sumsWaiting = arrangement == Arrangement.OBSERVE_APPLY;
    reportScales();
    return true;
  }

  private void setFirst(long step) {
    switch (arrangement) {
      case ACCUMULATE_SCALE -> {
        final int scale = first.coefficient("gradientScale");
        final int retention = first.coefficient("retention");
        for (int segment = 0; segment < plan.segments(); ++segment) {
          first.set(segment, scale, gradientScale());
          first.set(segment, retention, retention(plan.scope(segment)));
        }
      }
      case RECOMPUTED_TRIAL -> {
        final int scale = first.coefficient("gradientScale");
        for (int segment = 0; segment < plan.segments(); ++segment) first.set(segment, scale, gradientScale());
        setInverseScale(first);
      }
      case RECOMPUTED_PLAIN -> setInverseScale(first);
      default -> {}
    }
    if (firstRule >= 0) setRule(first, firstRule, step);
  }

  private void setSecond(long step) {
    final int to = second.coefficient("newScale");
    for (int segment = 0; segment < plan.segments(); ++segment) second.set(segment, to, newScale[plan.scope(segment)]);
    if (arrangement == Arrangement.ACCUMULATE_SCALE) return;
    final int scale = second.coefficient("gradientScale");
    for (int segment = 0; segment < plan.segments(); ++segment) second.set(segment, scale, sourceScale());
    if (arrangement == Arrangement.OBSERVE_APPLY) {
      final int from = second.coefficient("oldScale");
      final int retention = second.coefficient("retention");
      for (int segment = 0; segment < plan.segments(); ++segment) {
        second.set(segment, from, oldScale[plan.scope(segment)]);
        second.set(segment, retention, retention(plan.scope(segment)));
      }
    } else {
      setInverseScale(second);
    }
    setRule(second, secondRule, step);
  }

  // Before the first step there is no reference yet, and Delta is 0.
  private void setInverseScale(Sweep sweep) {
    final int inverse = sweep.coefficient("inverseScale");
    for (int segment = 0; segment < plan.segments(); ++segment)
      sweep.set(segment, inverse, referenced ? 1 / (oldScale[plan.scope(segment)] + epsilon) : 0);
  }

  private double retention(int scope) {
    return discounted ? oldScale[scope] / (oldScale[scope] + epsilon) : 1;
  }

  /** Adds the first sweep's sums over the segments of each scope, and those over all processes. */
  private void takeSums() {
    final double[] sums = first.sums();
    if (sumsWaiting) keepSums();
    Arrays.fill(terms, 0);
    final int columns = sums.length / plan.segments();
    for (int segment = 0; segment < plan.segments(); ++segment)
      for (int column = 0; column < columns; ++column) terms[TERMS * plan.scope(segment) + column] += sums[segment * columns + column];
    if (arrangement == Arrangement.OBSERVE_APPLY)
      for (int scope = 0; scope < scalars.length; ++scope) {
        terms[TERMS * scope + 2] = deltaParameter[scope];
        terms[TERMS * scope + 3] = parameterSquare[scope];
      }
    if (badLoss()) terms[0] = Double.NaN;
    reduce(terms, terms.length);
    takeL1(sums);
    for (int scope = 0; scope < scalars.length; ++scope) {
      gradientSquare[scope] = terms[TERMS * scope];
      deltaGradient[scope] = terms[TERMS * scope + 1];
      deltaPoint[scope] = terms[TERMS * scope + 2];
      pointSquare[scope] = terms[TERMS * scope + 3];
    }
  }

  /** Where the first sweep only read: what it saw of the gradients decides whether there is a step. */
  private boolean acceptObserved() {
    final double square = total(gradientSquare);
    if (arrangement == Arrangement.RECOMPUTED_TRIAL) {
      // A trial's gradients are scaled already; the others come as they are in memory.
      final double scale = gradientScale();
      return guarded() || accept(square / (scale * scale));
    }
    if (!accept(square)) return false;
    final double scale = gradientScale();
    for (int scope = 0; scope < scalars.length; ++scope) {
      gradientSquare[scope] *= scale * scale;
      deltaGradient[scope] *= scale;
    }
    if (arrangement == Arrangement.OBSERVE_APPLY)
      for (int scope = 0; scope < scalars.length; ++scope) {
        final double retention = retention(scope);
        deltaGradient[scope] *= retention;
        deltaPoint[scope] *= retention;
      }
    return true;
  }

  /** h = &lt;Delta, g&gt; + c &lt;Delta, y&gt;. */
  private double feedback(int scope) {
    if (decay == 0) return deltaGradient[scope];
    final double c = decay * oldScale[scope] * Math.sqrt(gradientSquare[scope]) / (Math.sqrt(pointSquare[scope]) + epsilon);
    return deltaGradient[scope] + c * deltaPoint[scope];
  }

  /** Observe-then-apply: what the apply sweep summed serves the next step. Taken late, when a GPU has long finished it. */
  private void keepSums() {
    sumsWaiting = false;
    final double[] sums = second.sums();
    Arrays.fill(parameterSquare, 0);
    Arrays.fill(deltaParameter, 0);
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int scope = plan.scope(segment);
      parameterSquare[scope] += sums[2 * segment];
      deltaParameter[scope] += sums[2 * segment + 1];
    }
  }

  private void reportScales() {
    for (int scope = 0; scope < scalars.length; ++scope) report.learnedScale[scope] = Math.max(0, scalars[scope].scale());
  }

  @Override
  int sweepWords() {
    return first.words() + second.words();
  }

  @Override
  void saveScalars(Map<String, double[]> to) {
    if (sumsWaiting) keepSums();
    for (String name : MechanicScalars.VECTORS) {
      final int n = scalars[0].vector(name).length;
      final double[] all = new double[scalars.length * n];
      for (int scope = 0; scope < scalars.length; ++scope) System.arraycopy(scalars[scope].vector(name), 0, all, scope * n, n);
      to.put(name, all);
    }
    to.put("h", Arrays.stream(scalars).mapToDouble(one -> one.h).toArray());
    to.put("deltaParameter", deltaParameter.clone());
    to.put("parameterSquare", parameterSquare.clone());
    to.put("referenced", new double[] {referenced ? 1 : 0});
  }

  @Override
  void restoreScalars(Map<String, double[]> from) {
    sumsWaiting = false;
    for (String name : MechanicScalars.VECTORS)
      for (int scope = 0; scope < scalars.length; ++scope) {
        final double[] vector = scalars[scope].vector(name);
        System.arraycopy(from.get(name), scope * vector.length, vector, 0, vector.length);
      }
    for (int scope = 0; scope < scalars.length; ++scope) scalars[scope].h = from.get("h")[scope];
    System.arraycopy(from.get("deltaParameter"), 0, deltaParameter, 0, scalars.length);
    System.arraycopy(from.get("parameterSquare"), 0, parameterSquare, 0, scalars.length);
    referenced = from.get("referenced")[0] != 0;
    reportScales();
  }

  private static double total(double[] parts) {
    double sum = 0;
    for (double part : parts) sum += part;
    return sum;
  }
}
