// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.List;
import java.util.Objects;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.Scope;
import org.steptuner.internal.engine.Description;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.rule.StateKind;

/**
 * D-Adaptation and Prodigy as their papers analyse them: dual averaging and gradient descent, without momentum, decay or a factor per
 * coordinate. They are for convex problems, and for whoever wants the theorems; {@link DAdaptation} and {@link Prodigy} are for networks.
 * Defazio and Mishchenko, "Learning-Rate-Free Learning by D-Adaptation" (2023); Mishchenko and Defazio, "Prodigy" (2023). A form is chosen
 * by {@link DAdaptation#dualAveraging}, {@link DAdaptation#gradientDescent}, {@link Prodigy#gradientDescent} and
 * {@link Prodigy#dualAveraging}.
 *
 * <p>Each keeps a sum s of weighted gradients from x0, the parameters before the first step, and a lower bound d of |x0 - x*|. r is the
 * rate, 1 if nothing else is said. G is {@link #gradientBound}. s and the sums start at 0.
 *
 * <pre>
 * D-Adaptation, dual averaging    s &lt;- s + d r g;  Q &lt;- Q + gamma (d r)^2 |g|^2;  A &lt;- A + |g|^2;  gamma &lt;- 1 / sqrt(G^2 + A)
 *   (algorithm 1; gamma is        x &lt;- x0 - gamma s
 *    1 / |g_1| at first)          e = (gamma |s|^2 - Q) / (2 |s|)
 * D-Adaptation, gradient descent  A &lt;- A + |g|^2;  lambda = d / sqrt(G^2 + A);  n &lt;- n + lambda r &lt;g, x0 - x&gt;
 *   (algorithm 2)                 x &lt;- x - lambda r g;  e = n / |x0 - x|
 * Prodigy, gradient descent       A &lt;- A + (d r)^2 |g|^2;  eta = d^2 r / sqrt((d G)^2 + A);  n &lt;- n + eta &lt;g, x0 - x&gt;
 *   (algorithm 1)                 x &lt;- x - eta g;  e = n / |x0 - x|
 * Prodigy, dual averaging         s &lt;- s + d^2 r g;  n &lt;- n + d^2 r &lt;g, x0 - x&gt;;  A &lt;- A + d^2 r |g|^2
 *   (algorithm 2)                 e = n / |s|;  gamma = 1 / sqrt(r (d G)^2 + A) with the new d;  x &lt;- x0 - gamma s
 * all                             d &lt;- max(d, min(e, growthRate d)), at most maxRate
 * </pre>
 *
 * The n of the second form is {@code (|s|^2 - sum of lambda^2 |g|^2) / 2} of the paper: the same number, without its cancellation.
 *
 * <p>What the theorems speak of is the average of the x at which gradients were taken, weighted by d r, and in Prodigy by eta and by d^2 r.
 * {@link Optimizer#evaluating} puts it in the place of the parameters; {@link #averaging} leaves it out.
 *
 * <p>{@link #resetting} is the other method of the first versions of Prodigy's paper: dual averaging that starts again whenever e is more
 * than twice d.
 *
 * <p>State: three words per element: s, x0 and the average; two without the average. s is kept in units of the first d, so that its squares
 * are not too small for float32. Words moved per element: 8, without the average 6; the guard and clipping move no more. One word more is
 * moved where d must be known before x is written: with {@link #resetting}, in Prodigy's dual averaging where G is positive, and in a
 * sharded training. x is made of x0 and s at every step: a trainer that writes into x calls
 * {@link org.steptuner.Optimizer#parametersMoved()}, or its change is overwritten.
 *
 * <p>Where the rate is 0 a step changes nothing, and a group whose factor is 0 stays where it is. While all gradients have been 0 (and G
 * is 0), nothing changes either.
 *
 * <p>{@link Optimizer#scalars} has d; d_hat, the last e; s_norm, |s|; gamma, lambda or eta; n where the form has it; resets, their number,
 * with resetting; and t, the number of steps that were not left out.
 *
 * <p>Certainty: both forms of dual averaging and Prodigy's gradient descent are the formulas of the papers' algorithms; the text of
 * D-Adaptation's algorithm 2 could not be compared. A rate other than 1 in D-Adaptation, factors of groups, and a positive G in
 * D-Adaptation's dual averaging are generalisations of ours. In the last gamma of Prodigy the paper has the r of the next step.
 *
 * <p>Known to fail: the steps shrink for good, since A only grows, and there is no momentum and no factor per coordinate. After 300 steps
 * on full-batch iris from d = 1e-6 the losses are 1.03, 0.91, 0.26 and 0.42, where {@link DAdaptation} over Adam has 0.05. With resetting a
 * run that ends soon after a reset has lost what it had.
 */
public final class DistanceAdaptation extends TunerBuilder<DistanceAdaptation> {
  /** The algorithms. */
  enum Form {
    DUAL_AVERAGING,
    GRADIENT_DESCENT,
    PRODIGY_GRADIENT_DESCENT,
    PRODIGY_DUAL_AVERAGING;

    boolean descends() {
      return this == GRADIENT_DESCENT || this == PRODIGY_GRADIENT_DESCENT;
    }
  }

  final Form form;
  double rate = 1;
  double initialRate = 1e-6;
  double maxRate = Double.POSITIVE_INFINITY;
  double growthRate = Double.POSITIVE_INFINITY;
  double gradientBound = Double.NaN; // not given
  boolean averaging = true;
  boolean resetting;

  DistanceAdaptation(Form form) {
    super(SGD.defaults());
    this.form = form;
  }

  @Override
  public DistanceAdaptation group(String name, Rule groupRule, double rateFactor) {
    Objects.requireNonNull(groupRule, "groupRule");
    if (groupRule.coupledDecay() > 0)
      throw new IllegalArgumentException("groupRule of group '" + name + "' must be SGD without decay, not " + groupRule);
    return super.group(name, groupRule, rateFactor);
  }

  /** The rate r, finite and not negative. The default is 1, for which the theorems hold. */
  public DistanceAdaptation baseRate(double value) {
    rate = Check.rate(value);
    return this;
  }

  /** d0, the first bound: finite, positive, and below |x0 - x*|. The default is 1e-6. */
  public DistanceAdaptation initialRate(double value) {
    initialRate = Check.positive("initialRate", value);
    return this;
  }

  /** The largest d: positive and not less than {@link #initialRate}. The default is infinity, no limit. */
  public DistanceAdaptation maxRate(double value) {
    maxRate = Check.limit("maxRate", value, 0);
    return this;
  }

  /** The largest factor on d in a step, at least 1, and above 2 with {@link #resetting}. The default is infinity, no limit. */
  public DistanceAdaptation growthRate(double value) {
    growthRate = Check.limit("growthRate", value, 1);
    return this;
  }

  /**
   * G, a bound of |g|, finite and not negative. The default is 0; in D-Adaptation's gradient descent it is the norm of the first gradient
   * that is not 0.
   */
  public DistanceAdaptation gradientBound(double value) {
    gradientBound = Check.notNegative("gradientBound", value);
    return this;
  }

  /**
   * Whether the weighted average of the x is kept, which {@link Optimizer#evaluating} gives. On by default. It takes a word of memory per
   * element and moves two; without it the model is the last x, of which the theorems say nothing.
   */
  public DistanceAdaptation averaging(boolean value) {
    averaging = value;
    return this;
  }

  /**
   * Resetting, for D-Adaptation's dual averaging. d is kept until e is more than {@code 2 d}; then d becomes e and everything starts again
   * with it: {@code s = 0, A = 0, Q = 0, x = x0}, and the average is that of the x since. So there are at most {@code log2(D / d0)} resets,
   * D being |x0 - x*|. Mishchenko and Defazio (2023), versions 1 to 3 of the preprint, section "D-Adaptation with Resetting".
   *
   * <p>Certainty: after the paper's description; its text could not be compared. That d becomes e, and not 2 d, that gamma is 1 / |g| after
   * a reset, and that the average is of the last run, are our reading. No version of the paper has an experiment with it.
   *
   * @throws IllegalArgumentException if the form is another one
   */
  public DistanceAdaptation resetting() {
    if (form != Form.DUAL_AVERAGING) throw new IllegalArgumentException("resetting is for D-Adaptation's dual averaging, not for " + form);
    resetting = true;
    return this;
  }

  /** Which tensors share a d. The default is ALL, as in the papers; {@link Scope#GROUP} learns one per parameter group. */
  public DistanceAdaptation scope(Scope value) {
    scope = Objects.requireNonNull(value, "scope");
    return this;
  }

  @Override
  void check(ParameterSet parameters) {
    Check.maxRate(maxRate, initialRate);
    if (resetting && growthRate <= 2)
      throw new IllegalArgumentException("growthRate must be above 2 with resetting, which waits for d to double, and is " + growthRate);
  }

  @Override
  TunedOptimizer optimizer(Engine engine) {
    return new DistanceOptimizer(engine, this);
  }

  /** Whether d must be known before x is written: the first sweep then reads s too. */
  boolean early() {
    return resetting || form == Form.PRODIGY_DUAL_AVERAGING && gradientBound > 0;
  }

  @Override
  List<String> ruleSlots() {
    return List.of();
  }

  @Override
  List<String> tunerSlots() {
    return averaging ? List.of("sum", "reference", "average") : List.of("sum", "reference");
  }

  @Override
  boolean followsParameters(String slot) {
    return slot.equals("reference") || slot.equals("average");
  }

  @Override
  StateKind stateKind(String slot) {
    return slot.equals("average") ? StateKind.POINT : super.stateKind(slot);
  }

  @Override
  boolean guarded() {
    return false;
  }

  @Override
  boolean observesL1() {
    return true;
  }

  @Override
  Description describe() {
    return new Description("DistanceAdaptation").form("form", form).form("initialRate", initialRate).form("averaging", averaging)
        .form("resetting", resetting).setting("rate", rate).setting("maxRate", maxRate).setting("growthRate", growthRate)
        .setting("gradientBound", gradientBound);
  }
}
