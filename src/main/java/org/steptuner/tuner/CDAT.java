// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Objects;
import org.steptuner.DataType;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.curvature.DirectionalCurvature;
import org.steptuner.curvature.GradientFunction;
import org.steptuner.curvature.HessianVectorProduct;
import org.steptuner.internal.engine.Description;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Rule;

/**
 * Curvature Dynamics Aware Tuning: drives the rate of a base rule to the edge of stability. Roulet, Agarwala, Grill, Swirszcz, Blondel and
 * Pedregosa, "Stepping on the Edge: Curvature Aware Learning Rate Tuners" (2024), equation 8; quadratically greedy is equation 3.
 *
 * <pre>
 * u   = the base rule's step at the rate 1
 * n   = max(-&lt;g, u&gt;, 0)                    d = |&lt;u, H u&gt;| + epsilon
 * n_avg &lt;- ema n_avg + (1 - ema) n         d_avg &lt;- ema d_avg + (1 - ema) d         both from 0
 * eta = min(sigma n_avg / d_avg, maxRate)   0 where n_avg is 0
 * x  &lt;- x + eta u
 * </pre>
 *
 * sigma 1 is the minimum of the quadratic model of the loss along u, sigma 2 the farthest point along u at which that model is not higher
 * than at x. The paper recommends values near 2 on full batches, smaller ones on small batches, and an average with Adam. g and H are those
 * of the trainer's loss. A weight decay of the rule and clipping change only u.
 *
 * <p>Any rule will do but the Schedule-Free ones. Its state advances as at the rate 1. The step of most rules is a multiple of the rate, so
 * eta is their rate. Where it is not, the rule makes its step at the rate 1, and eta is a factor on that step, not its rate: because the
 * state holds the rate, as in {@link org.steptuner.rule.MADGRAD}, or because the decay is proximal, as in {@link org.steptuner.rule.Adan}.
 * Over {@link org.steptuner.rule.Lion} u is a vector of signs. Over {@link org.steptuner.rule.SuppliedUpdate} u is the caller's update,
 * which clipping does not change; the gradient is read too, for {@code <g, u>}. The paper has gradient descent, momentum, RMSProp and Adam;
 * the formula over other rules is the same, and a generalisation of ours.
 *
 * <p>The trainer supplies the curvature, in one of three ways: {@link #curvature}, {@link #hessian}, {@link #finiteDifference}. The tuner
 * asks for it within {@link Optimizer#step}, at the parameters and on the batch of that step. If it throws, nothing has changed.
 *
 * <p>On a problem whose curvature vanishes (separable classes, cross-entropy) eta grows without bounds. Therefore there is {@link
 * #maxRate}, which is 1 by default; the greedy form has no limit. If the curvature or eta is not finite, the step is skipped. A schedule
 * multiplies eta where it is used; a group's factor multiplies its part of u.
 *
 * <p>State over the rule's: none. Scratch memory: u, one word per element; with a Hessian-vector product one more, with a finite difference
 * two more. Words moved per element, beside what the trainer moves, over a rule with k words of state (SGD 0; SGD with momentum, RMSProp,
 * AdaGrad and Lion 1; Adam and AdamW 2; AdEMAMix 3):
 *
 * <pre>
 * curvature          6 + 3 k
 * Hessian product    9 + 3 k
 * finite difference 18 + 3 k
 * </pre>
 *
 * One more over a rule whose step is not a multiple of the rate (without a finite difference), and over a supplied update. With {@link
 * #every}(N), the steps in between move only the rule's own words, 3 + 2 k, and every step moves 1 more for the guard.
 *
 * <p>{@link org.steptuner.StepReport#learnedScale()} is eta. {@link Optimizer#scalars} has eta, n, d, n_avg, d_avg.
 */
public final class CDAT extends TunerBuilder<CDAT> {
  final boolean greedy;
  double sigma;
  double ema;
  double epsilon;
  double maxRate;
  int every = 1;
  CurvatureSource source;

  private CDAT(Rule rule, boolean greedy) {
    super(rule);
    this.greedy = greedy;
    sigma = greedy ? 1 : 2;
    maxRate = greedy ? Double.POSITIVE_INFINITY : 1;
  }

  /**
   * CDAT over a base rule.
   *
   * @param base any rule but the Schedule-Free ones
   */
  public static CDAT tuning(Rule base) {
    return new CDAT(base, false);
  }

  /**
   * The quadratically greedy rate, {@code eta = -<g, u> / <u, H u>}: CDAT with sigma 1, without the guards. n and d keep their signs and
   * there is no maxRate, unless one is given. eta may be negative, and where the model is concave along u, the step goes to its maximum.
   *
   * @param base any rule but the Schedule-Free ones
   */
  public static CDAT quadraticallyGreedy(Rule base) {
    return new CDAT(base, true);
  }

  /** sigma, positive: 1 aims at the minimum of the model, 2 at the edge of stability. The default is 2; the greedy form has 1. */
  public CDAT sigma(double value) {
    sigma = Check.positive("sigma", value);
    return this;
  }

  /** The weight of the old averages of n and d, in [0, 1). The default is 0, no averaging; the paper has 0.9 and 0.99. */
  public CDAT ema(double value) {
    if (!(value >= 0 && value < 1)) throw new IllegalArgumentException("ema must be in [0, 1), not " + value);
    ema = value;
    return this;
  }

  /** Added to the curvature; finite and not negative. The default is 0, as in the paper. The greedy form has none. */
  public CDAT epsilon(double value) {
    epsilon = Check.notNegative("epsilon", value);
    return this;
  }

  /** The largest eta, positive; infinity is no limit. The default is 1; the greedy form has no limit. */
  public CDAT maxRate(double value) {
    maxRate = Check.limit("maxRate", value, 0);
    return this;
  }

  /** Finds eta at every N-th step, from the first on, and keeps it in between. N is 1 or more; the default is 1. */
  public CDAT every(int steps) {
    if (steps < 1) throw new IllegalArgumentException("every must be 1 or more, not " + steps);
    every = steps;
    return this;
  }

  /** The trainer computes {@code <u, H u>}. */
  public CDAT curvature(DirectionalCurvature value) {
    source = new CurvatureSource.Directional(Objects.requireNonNull(value, "curvature"));
    return this;
  }

  /** The trainer computes H u, and the library multiplies it by u. */
  public CDAT hessian(HessianVectorProduct value) {
    source = new CurvatureSource.Product(Objects.requireNonNull(value, "hessian"));
    return this;
  }

  /**
   * {@code <u, H u> = (<g(x + h u), u> - <g(x), u>) / h}: the trainer computes one more gradient, at parameters that are moved and put back
   * bit for bit. The displacement h u is of length {@code sqrt(e (1 + |x|)) / 8}, with e the machine epsilon of the parameters (2^-23, or
   * 2^-52 where all are float64). Without the 8 it is the usual length, at which the error of the difference (proportional to h) and that
   * of rounding (to 1 / h) are equal if all derivatives have the same size (Knoll and Keyes, "Jacobian-free Newton-Krylov methods", 2004,
   * section 3.2). For networks the third derivative along u is larger, and the error of rounding is smaller, because a scalar product
   * averages it.
   *
   * <p>16-bit parameters are refused, because such a displacement does not change them.
   *
   * @param gradient computes the gradient on the batch of the step
   */
  public CDAT finiteDifference(GradientFunction gradient) {
    source = new CurvatureSource.Difference(Objects.requireNonNull(gradient, "gradient"), Double.NaN);
    return this;
  }

  /**
   * The same, with another displacement.
   *
   * @param gradient computes the gradient on the batch of the step
   * @param step the length |h u|, positive
   */
  public CDAT finiteDifference(GradientFunction gradient, double step) {
    source = new CurvatureSource.Difference(Objects.requireNonNull(gradient, "gradient"), Check.positive("step", step));
    return this;
  }

  @Override
  void check(ParameterSet parameters) {
    if (source == null)
      throw new IllegalArgumentException("the trainer must supply the curvature: call curvature, hessian or finiteDifference");
    if (source instanceof CurvatureSource.Difference)
      for (ParameterSet.Tensor tensor : parameters.tensors())
        if (tensor.parameterType() != DataType.FLOAT32 && tensor.parameterType() != DataType.FLOAT64)
          throw new IllegalArgumentException(
              "finiteDifference needs float32 or float64 parameters, and those of tensor '" + tensor.name() + "' are "
                  + tensor.parameterType());
  }

  @Override
  TunedOptimizer optimizer(Engine engine) {
    return new CDATOptimizer(engine, this);
  }

  @Override
  boolean guarded() {
    return every > 1 ? needsNorm() : clips();
  }

  @Override
  Description describe() {
    return new Description(greedy ? "QuadraticallyGreedy" : "CDAT").setting("sigma", sigma).setting("ema", ema)
        .setting("epsilon", epsilon).setting("maxRate", maxRate).setting("every", every).setting("curvature", source);
  }
}
