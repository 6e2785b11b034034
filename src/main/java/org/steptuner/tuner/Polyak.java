// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Objects;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.StepReport.Skip;
import org.steptuner.rule.Rule;

/**
 * Polyak's rate: the step at whose end the linear model of the loss f reaches its lower bound. Polyak, "Introduction to Optimization"
 * (1987); as in Roulet et al., "Stepping on the Edge: Curvature Aware Learning Rate Tuners" (2024), equation 14, with a limit.
 *
 * <pre>
 * eta = min((f - bound) / |g|^2, maxRate)         not less than 0; 0 where g is 0
 * x  &lt;- x + eta u                                 u: the base rule's step at the rate 1
 * </pre>
 *
 * |g|^2 is the decrease of f along u per unit of eta for SGD without momentum or decay, where u = -g. Over other rules {@link #alongUpdate}
 * puts {@code -<g, u>} in its place, which is what the model is about there. g is the gradient before clipping, and what the trainer's f
 * has: a weight decay of the rule is part of u alone.
 *
 * <p>A step needs the loss: {@link Optimizer#step(double)}. State over the rule's: none. Words moved: those of the rule alone and 1 for the
 * norm of the gradient; along the update 6 over SGD, 9 over SGD with momentum and RMSProp, 12 over Adam and AdamW, and one word of scratch
 * memory.
 *
 * <p>{@link org.steptuner.StepReport#learnedScale()} is eta, as {@link Optimizer#scalars} has it.
 */
public final class Polyak extends TunerBuilder<Polyak> {
  private double maxRate = 1;
  private double bound;
  private boolean alongUpdate;

  private Polyak(Rule rule) {
    super(rule);
    DirectedOptimizer.checkRule("Polyak", rule);
  }

  /**
   * Polyak's rate over a base rule.
   *
   * @param base SGD, RMSProp, Adam or AdamW
   */
  public static Polyak tuning(Rule base) {
    return new Polyak(base);
  }

  /** The largest eta, positive; infinity is no limit. The default is 1; the paper tries 1 and 100. */
  public Polyak maxRate(double value) {
    maxRate = checkLimit("maxRate", value, 0);
    return this;
  }

  /** The lower bound of the loss, f*, finite. The default is 0. */
  public Polyak bound(double value) {
    if (!Double.isFinite(value)) throw new IllegalArgumentException("bound must be finite, not " + value);
    bound = value;
    return this;
  }

  /** Divides by {@code -<g, u>}; where u does not descend, eta is 0. */
  public Polyak alongUpdate() {
    alongUpdate = true;
    return this;
  }

  @Override
  public Optimizer build(ParameterSet parameters) {
    return new PolyakOptimizer(this, Objects.requireNonNull(parameters, "parameters"));
  }

  @Override
  String description() {
    return "Polyak[maxRate=" + maxRate + ", bound=" + bound + ", alongUpdate=" + alongUpdate + common() + "]";
  }

  private static final class PolyakOptimizer extends DirectedOptimizer {
    private final Polyak settings;

    PolyakOptimizer(Polyak settings, ParameterSet parameters) {
      // Without u, the guard's pass brings |g|^2.
      super(settings, parameters, !settings.alongUpdate || settings.clips(), settings.alongUpdate, false);
      this.settings = settings;
    }

    @Override
    String lossNeededBy() {
      return "Polyak";
    }

    @Override
    boolean advance(long step) {
      if (!guard() || settings.alongUpdate && !observe(step)) return false;
      final double gap = Math.max(report.loss - settings.bound, 0);
      final double decrease = settings.alongUpdate ? -slope : report.gradientNorm * report.gradientNorm;
      final double found = decrease > 0 && gap > 0 ? Math.min(gap / decrease, settings.maxRate) : 0;
      if (refuses(found, Skip.NON_FINITE_GRADIENT)) return false;
      eta = found;
      apply(step, report.rate * eta);
      return true;
    }

    @Override
    public double wordsPerElement() {
      return (guarded() ? 1 : 0) + sweepWords();
    }
  }
}
