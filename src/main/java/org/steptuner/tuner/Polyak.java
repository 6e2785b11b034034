// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.Optimizer;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Rule;

/**
 * Polyak's rate: the step at whose end the linear model of the loss f reaches its lower bound. Polyak, "Introduction to Optimization"
 * (1987); as in Roulet et al., "Stepping on the Edge: Curvature Aware Learning Rate Tuners" (2024), equation 14, with a limit.
 *
 * <pre>
 * eta = min((f - bound) / |g|^2, maxRate)         not less than 0; 0 where g is 0; maxRate is 1 by default
 * x  &lt;- x + eta u                                 u: the base rule's step at the rate 1
 * </pre>
 *
 * |g|^2 is the decrease of f along u per unit of eta for SGD without momentum or decay, where u = -g. For other rules this decrease is
 * {@code -<g, u>}, which {@link #alongUpdate} uses instead. g and f are those of the trainer's loss. A weight decay of the rule and
 * clipping change only u.
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

  /** Divides by {@code -<g, u>} instead of |g|^2. If u is not a descent direction, eta is 0. */
  public Polyak alongUpdate() {
    alongUpdate = true;
    return this;
  }

  @Override
  TunedOptimizer optimizer(Engine engine) {
    return new PolyakOptimizer(engine, this);
  }

  // Without u, the guard's pass brings |g|^2.
  @Override
  boolean guarded() {
    return !alongUpdate || clips();
  }

  @Override
  String description() {
    return "Polyak[maxRate=" + maxRate + ", bound=" + bound + ", alongUpdate=" + alongUpdate + common() + "]";
  }

  private static final class PolyakOptimizer extends DirectedOptimizer {
    private final Polyak settings;
    private double eta;

    PolyakOptimizer(Engine engine, Polyak settings) {
      super(engine, settings.alongUpdate, false);
      this.settings = settings;
    }

    @Override
    double eta() {
      return eta;
    }

    @Override
    void setEta(double value) {
      eta = value;
    }

    @Override
    protected String lossNeededBy() {
      return "Polyak";
    }

    @Override
    protected boolean advance(long step) {
      if (!guard.guard() || settings.alongUpdate && !observe()) return false;
      final double found = settings.rate(report.loss(), settings.alongUpdate ? -slope() : report.gradientNorm() * report.gradientNorm());
      if (guard.refuses(found)) return false;
      eta = found;
      apply(report.rate() * eta);
      return true;
    }
  }

  /** The rate at whose end the linear model of a loss, which decreases so much per unit of eta, reaches the bound. */
  private double rate(double loss, double decrease) {
    final double gap = Math.max(loss - bound, 0);
    return decrease > 0 && gap > 0 ? Math.min(gap / decrease, maxRate) : 0;
  }
}
