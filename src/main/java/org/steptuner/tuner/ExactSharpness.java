// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Objects;
import org.steptuner.Optimizer;
import org.steptuner.StepReport.Skip;
import org.steptuner.curvature.HessianVectorProduct;
import org.steptuner.internal.LargestEigenvalue;
import org.steptuner.internal.engine.Description;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Scalars;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Rule;

/**
 * The rate at a multiple of the inverse sharpness. Roulet et al., "Stepping on the Edge: Curvature Aware Learning Rate Tuners" (2024),
 * equation 16; with sigma 2, Cohen et al., "Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability" (2021),
 * appendix F.
 *
 * <pre>
 * eta = min(sigma / lambda_max(H), maxRate)       maxRate where lambda_max is not positive
 * x  &lt;- x + eta u                                 u: the base rule's step at the rate 1
 * </pre>
 *
 * lambda_max is the largest eigenvalue of the Hessian H of the trainer's loss, by Lanczos' iteration on Hessian-vector products within
 * {@link Optimizer#step}. These products, some dozens per rate, are what this tuner costs. It ignores the direction of u. H is not
 * preconditioned. The steps of RMSProp, AdaGrad, Adam and AdEMAMix are, and those of Lion are signs, so with them sigma 2 is not the edge
 * of stability, and CDAT is the better choice. A rule whose step is not a multiple of its rate, such as MADGRAD, is refused: eta would not
 * be its rate.
 *
 * <p>State over the rule's: none. Scratch memory: three words per element. Words moved: those of the rule, 1 for the guard, and 11 per
 * Hessian-vector product beside what the trainer moves.
 *
 * <p>{@link org.steptuner.StepReport#learnedScale()} is eta. {@link Optimizer#scalars} has eta and lambda_max. If the eigenvalue is not
 * finite, the step is skipped.
 */
public final class ExactSharpness extends TunerBuilder<ExactSharpness> {
  private final HessianVectorProduct hessian;
  private double sigma = 2;
  private double maxRate = 1;
  private int every = 1;
  private double tolerance = 1e-3;
  private int mostIterations = 100;

  private ExactSharpness(Rule rule, HessianVectorProduct hessian) {
    super(rule);
    if (!rule.stepIsMultipleOfRate())
      throw new IllegalArgumentException("ExactSharpness needs a rule whose step is a multiple of its rate, which is not so of " + rule);
    this.hessian = Objects.requireNonNull(hessian, "hessian");
  }

  /**
   * Exact sharpness over a base rule.
   *
   * @param base a rule whose step is a multiple of its rate
   * @param hessian of the loss on the batch of the step
   */
  public static ExactSharpness tuning(Rule base, HessianVectorProduct hessian) {
    return new ExactSharpness(base, hessian);
  }

  /** The factor sigma, positive. The default is 2, the edge of stability of gradient descent. */
  public ExactSharpness sigma(double value) {
    sigma = Check.positive("sigma", value);
    return this;
  }

  /** The largest eta, positive; infinity is no limit. The default is 1. */
  public ExactSharpness maxRate(double value) {
    maxRate = Check.limit("maxRate", value, 0);
    return this;
  }

  /** Finds eta at every N-th step, from the first on, and keeps it in between. N is 1 or more; the default is 1. */
  public ExactSharpness every(int steps) {
    if (steps < 1) throw new IllegalArgumentException("every must be 1 or more, not " + steps);
    every = steps;
    return this;
  }

  /**
   * Sets when the iteration ends.
   *
   * @param relative the residual of the eigenvector relative to the eigenvalue, positive; the error of the eigenvalue is smaller. The
   *     default is 1e-3
   * @param mostProducts the largest number of products, 1 or more. The default is 100
   */
  public ExactSharpness tolerance(double relative, int mostProducts) {
    if (mostProducts < 1) throw new IllegalArgumentException("mostProducts must be 1 or more, not " + mostProducts);
    tolerance = Check.positive("relative", relative);
    mostIterations = mostProducts;
    return this;
  }

  @Override
  TunedOptimizer optimizer(Engine engine) {
    return new ExactSharpnessOptimizer(engine, this);
  }

  @Override
  boolean guarded() {
    return needsNorm();
  }

  @Override
  Description describe() {
    return new Description("ExactSharpness").setting("sigma", sigma).setting("maxRate", maxRate).setting("every", every)
        .setting("tolerance", tolerance).setting("mostProducts", mostIterations);
  }

  private static final class ExactSharpnessOptimizer extends DirectedOptimizer {
    private final ExactSharpness settings;
    private final LargestEigenvalue largest;
    private double sharpness;
    private double eta;

    ExactSharpnessOptimizer(Engine engine, ExactSharpness settings) {
      super(engine, false, false);
      this.settings = settings;
      largest = new LargestEigenvalue(this, settings.hessian, settings.tolerance, settings.mostIterations, false, false);
    }

    @Override
    double eta() {
      return eta;
    }

    @Override
    void setEta(double value) {
      eta = Math.min(value, settings.maxRate);
    }

    @Override
    protected boolean advance(long step) {
      if (!guard.guard()) return false;
      if ((step - 1) % settings.every == 0) {
        final double found = largest.find();
        if (guard.refuses(found, Skip.NON_FINITE_CURVATURE)) return false;
        final double wanted = found > 0 ? Math.min(settings.sigma / found, settings.maxRate) : settings.maxRate;
        if (guard.refusesRate(wanted, Skip.NON_FINITE_CURVATURE)) return false;
        sharpness = found;
        eta = wanted;
      }
      apply(report.rate() * eta);
      return true;
    }

    @Override
    protected double wordsPerElement() {
      return guard.words() + applyWords() + 11.0 * largest.iterations() / settings.every;
    }

    @Override
    protected void name(Scalars to) {
      super.name(to);
      to.one("lambda_max", () -> sharpness, value -> sharpness = value);
    }
  }
}
