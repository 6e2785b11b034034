// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.Optimizer;
import org.steptuner.StepReport.Hold;
import org.steptuner.StepReport.Skip;
import org.steptuner.internal.engine.Description;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Scalars;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Rule;

/**
 * Polyak's rate: the step at whose end the linear model of the loss f reaches its lower bound. Polyak, "Introduction to Optimization"
 * (1987); as in Roulet et al., "Stepping on the Edge: Curvature Aware Learning Rate Tuners" (2024), equation 14, with a limit. {@link
 * #spsMax} is the stochastic Polyak step size of Loizou, Vaswani, Laradji and Lacoste-Julien, "Stochastic Polyak Step-size for SGD: An
 * Adaptive Learning Rate for Fast Convergence" (2021).
 *
 * <pre>
 * eta = min((f - bound) / (c |g|^2), limit)       not less than 0; 0 where g is 0; c is 1 by default
 * x  &lt;- x + eta u                                 u: the base rule's step at the rate 1
 * </pre>
 *
 * The limit is maxRate, 1 by default; with {@link #smoothing} it follows eta.
 *
 * <p>|g|^2 is the decrease of f along u per unit of eta for SGD without momentum or decay, where u = -g. For other rules this decrease is
 * {@code -<g, u>}, which {@link #alongUpdate} uses instead. g and f are those of the trainer's loss. A weight decay of the rule and
 * clipping change only u. {@link CDAT} says over which rules it goes, and what u is over each. Both papers have gradient descent, and other
 * rules are a generalisation of ours.
 *
 * <p>A step needs the loss: {@link Optimizer#step(double)}. State over the rule's: none. Words moved: those of the rule alone and 1 for the
 * norm of the gradient, 4 over SGD. Along the update 6 over SGD, and 3 more for each word of a rule's state (Lion 9, AdamW 12), and one
 * word of scratch memory. Over a rule whose step is not a multiple of the rate, such as MADGRAD, 1 more, and that scratch memory in any
 * case; along a supplied update 1 more.
 *
 * <p>Known to fail: with a bound above the least loss of a batch, steps stop too early, and {@link org.steptuner.StepReport#hold} says so;
 * with one below it, they are too long, and only the limit holds them.
 *
 * <p>{@link org.steptuner.StepReport#learnedScale()} is eta, as {@link Optimizer#scalars} has it; with smoothing there is also eta_max, the
 * limit of the next step.
 */
public final class Polyak extends TunerBuilder<Polyak> {
  private double maxRate = 1;
  private double bound;
  private double c = 1;
  private double growth = Double.POSITIVE_INFINITY; // of the limit, by step; infinite for a limit that stays
  private boolean alongUpdate;

  private Polyak(Rule rule) {
    super(rule);
  }

  /**
   * Polyak's rate over a base rule.
   *
   * @param base any rule but the Schedule-Free ones
   */
  public static Polyak tuning(Rule base) {
    return new Polyak(base);
  }

  /**
   * SPS_max of Loizou et al. (2021): {@code eta = min((f - f*) / (c |g|^2), eta_max)}, with the loss f of the batch, and its least value f*
   * ({@link #bound}, 0 by default). The formula is that of the authors' release, but for the 1e-8 that it adds to the denominator; the
   * printed text could not be compared.
   *
   * @param base any rule but the Schedule-Free ones; SGD without momentum in the paper
   * @param c finite and positive; 0.5 in the release
   * @param maxRate eta_max, positive; infinity gives SPS
   */
  public static Polyak spsMax(Rule base, double c, double maxRate) {
    return new Polyak(base).coefficient(c).maxRate(maxRate);
  }

  /** c, the factor on the decrease, finite and positive. The default is 1. */
  public Polyak coefficient(double value) {
    c = Check.positive("coefficient", value);
    return this;
  }

  /**
   * Lets eta grow at most by gamma in an epoch: the limit of a step is {@code gamma^(1 / n)} times the last eta that was not 0, and {@link
   * #maxRate} is that of the first step only. Loizou et al. (2021), as in their release, in which, however, an eta of 0 stays 0 for good
   * and the bound is always 0.
   *
   * @param gamma finite, at least 1; 2 in the release
   * @param stepsPerEpoch n, 1 or more: examples over the size of a batch
   */
  public Polyak smoothing(double gamma, long stepsPerEpoch) {
    growth = Check.growth("gamma", gamma, stepsPerEpoch);
    return this;
  }

  /** The largest eta, positive; infinity is no limit. The default is 1; the paper tries 1 and 100. */
  public Polyak maxRate(double value) {
    maxRate = Check.limit("maxRate", value, 0);
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
  Description describe() {
    return new Description("Polyak").form("alongUpdate", alongUpdate).form("smooths", smooths()).setting("maxRate", maxRate)
        .setting("bound", bound).setting("coefficient", c).setting("growth", growth);
  }

  private static final class PolyakOptimizer extends DirectedOptimizer {
    private final Polyak settings;
    private double eta;
    private double limit; // of the next step

    PolyakOptimizer(Engine engine, Polyak settings) {
      super(engine, settings.alongUpdate, false);
      this.settings = settings;
      limit = settings.maxRate;
    }

    @Override
    double eta() {
      return eta;
    }

    @Override
    void setEta(double value) {
      eta = value;
    }

    // Along the update the slope may be the reason too.
    @Override
    protected Hold hold() {
      return report.loss() <= settings.bound ? Hold.LOSS_AT_BOUND : Hold.RATE_IS_ZERO;
    }

    @Override
    protected String lossNeededBy() {
      return "Polyak";
    }

    @Override
    protected boolean advance(long step) {
      if (!guard.guard() || settings.alongUpdate && !observe()) return false;
      final double decrease = settings.alongUpdate ? -slope() : report.gradientNorm() * report.gradientNorm();
      final double found = settings.rate(loss(), decrease, limit);
      if (guard.refusesRate(found, Skip.NON_FINITE_GRADIENT)) return false;
      eta = found;
      if (settings.smooths() && eta > 0) limit = settings.growth * eta;
      apply(report.rate() * eta);
      return true;
    }

    @Override
    protected void name(Scalars to) {
      super.name(to);
      if (settings.smooths()) to.one("eta_max", () -> limit, value -> limit = value);
    }
  }

  private boolean smooths() {
    return growth != Double.POSITIVE_INFINITY;
  }

  /** The rate at whose end the linear model of a loss, which decreases c times so much per unit of eta, reaches the bound. */
  private double rate(double loss, double decrease, double limit) {
    final double gap = Math.max(loss - bound, 0);
    return decrease > 0 && gap > 0 ? Math.min(gap / (c * decrease), limit) : 0;
  }
}
