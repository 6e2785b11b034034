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

/**
 * The Newton-based trainable learning rate: every K steps, a damped Newton step on the loss as a function of the rate. Retsinas, Sfikas,
 * Filntisis and Maragos, "Newton-Based Trainable Learning Rate" (2023), equation 8 and the considerations after it.
 *
 * <pre>
 * x  &lt;- x + the base rule's step at the rate          K times; then, with w the x of K steps ago:
 * u' = (w - x) / rate                                  the mean direction of this window, times K
 * a  = &lt;u, u'&gt;,  b = |u|^2                             u: that of the window before, 0 at first
 * rate &lt;- rate min(1 + gamma a / (b - a), maxFactor)   where b - a &gt; 0, else the rate stays
 * w &lt;- x,  u &lt;- u'
 * </pre>
 *
 * The difference of consecutive directions replaces the Hessian: {@code b - a = <u, u - u'>} is K^2 rate times the curvature along u, by
 * finite difference. Windows should be long enough for the noise of batches to average out.
 *
 * <p>K is {@link #interval} steps or a share of an {@link #epoch}; one of them must be called. The paper has a share of 0.2 and a gamma of
 * 0.33. It does not prove convergence, and a rate that has become too large may stay so. {@link #rateBounds} limits it.
 *
 * <p>{@link #firstOrder} has the paper's baseline (section 3): over the same windows, where neither u nor u' is 0,
 *
 * <pre>
 * additive        rate &lt;- rate + eta a
 * multiplicative  rate &lt;- rate (1 + eta a / (|u| |u'|))
 * </pre>
 *
 * The formulas are those of the text, whose g is u here; that it takes these windows is said there, and that u is divided by the rate is
 * how we read it. Its known failure is why the paper replaces it: each problem needs another eta. The additive one can grow without bounds;
 * {@link #rateBounds} limits it.
 *
 * <p>State over the rule's: w and u, two words per element. Words moved: those of the rule, 1 for the guard, and 5 every K steps.
 *
 * <p>{@link org.steptuner.StepReport#learnedScale(int)} is the rate after the step. {@link Optimizer#scalars} has rate and factor, by which
 * the last step multiplied it: 0 if that step ended no window. A schedule and a group's factor multiply the rate where it is used and not
 * where u' is formed.
 */
public final class NewtonRate extends TunerBuilder<NewtonRate> {
  /** The published forms. */
  public enum Variant {
    /** As printed, with the guards of the text. The first window begins before the first step; the second one first changes the rate. */
    PAPER,
    /**
     * The authors' code: windows end after steps K + 1, 2 K + 1, ... The first of these ends only begins a window; the third is the first
     * to change the rate. The factor is {@code 1 + gamma a / (b - a + 1e-10)}, of any sign and size. The rate may become negative, and may
     * diverge.
     */
    RELEASED,
    /** The additive first-order rate, with the windows of PAPER. */
    FIRST_ORDER_ADDITIVE,
    /** The multiplicative first-order rate, with the windows of PAPER. */
    FIRST_ORDER_MULTIPLICATIVE
  }

  final double initialRate;
  Variant variant = Variant.PAPER;
  double gamma = 0.33;
  double eta; // of the first-order variants; 0 where none was given
  double maxFactor = 100;
  double smallestRate = 0;
  double largestRate = Double.POSITIVE_INFINITY;
  long interval;

  private NewtonRate(Rule rule, double initialRate) {
    super(rule);
    this.initialRate = Check.positive("initialRate", initialRate);
  }

  /**
   * A trainable rate for a base rule.
   *
   * @param base the base rule
   * @param initialRate the first rate, finite and positive; rather too small than too large
   */
  public static NewtonRate tuning(Rule base, double initialRate) {
    return new NewtonRate(base, initialRate);
  }

  /**
   * The first-order trainable rate, additive or multiplicative: the paper's baseline.
   *
   * @param base the base rule
   * @param initialRate the first rate, finite and positive
   * @param form FIRST_ORDER_ADDITIVE or FIRST_ORDER_MULTIPLICATIVE
   * @param eta the rate of the rate, finite and positive; the paper tries 1e-5 to 0.1. The additive one is in units of the problem
   */
  public static NewtonRate firstOrder(Rule base, double initialRate, Variant form, double eta) {
    if (form != Variant.FIRST_ORDER_ADDITIVE && form != Variant.FIRST_ORDER_MULTIPLICATIVE)
      throw new IllegalArgumentException("form must be a first-order one, not " + form);
    return new NewtonRate(base, initialRate).variant(form).eta(eta);
  }

  /** The published form. The default is PAPER. The first-order ones also need {@link #eta}. */
  public NewtonRate variant(Variant value) {
    variant = Objects.requireNonNull(value, "variant");
    return this;
  }

  /** The damping of Newton's step, in (0, 1]. The default is 0.33; the paper finds 0.2 to 0.5 good. */
  public NewtonRate gamma(double value) {
    if (!(value > 0 && value <= 1)) throw new IllegalArgumentException("gamma must be in (0, 1], not " + value);
    gamma = value;
    return this;
  }

  /** The rate of the rate, finite and positive; only for the first-order variants, which need it. */
  public NewtonRate eta(double value) {
    eta = Check.positive("eta", value);
    return this;
  }

  /** K, the steps of a window; 1 or more. */
  public NewtonRate interval(long steps) {
    if (steps < 1) throw new IllegalArgumentException("interval must be 1 or more, not " + steps);
    interval = steps;
    return this;
  }

  /**
   * Sets K to 20 % of an epoch, as in the paper, rounded, at least 1.
   *
   * @param stepsPerEpoch 1 or more
   */
  public NewtonRate epoch(long stepsPerEpoch) {
    return epoch(stepsPerEpoch, 0.2);
  }

  /**
   * Sets K to a share of an epoch, rounded, at least 1.
   *
   * @param stepsPerEpoch 1 or more
   * @param share finite and positive
   */
  public NewtonRate epoch(long stepsPerEpoch, double share) {
    if (stepsPerEpoch < 1) throw new IllegalArgumentException("stepsPerEpoch must be 1 or more, not " + stepsPerEpoch);
    return interval(Math.max(1, Math.round(Check.positive("share", share) * stepsPerEpoch)));
  }

  /** The largest factor on the rate, at least 1; only for PAPER. The default is 100. */
  public NewtonRate maxFactor(double value) {
    maxFactor = Check.limit("maxFactor", value, 1);
    return this;
  }

  /**
   * Bounds of the rate, not for RELEASED. The default is 0 and infinity. A window that would make the rate 0 leaves it as it is.
   *
   * @param smallest not negative
   * @param largest not less than smallest
   */
  public NewtonRate rateBounds(double smallest, double largest) {
    if (!(smallest >= 0 && smallest <= largest))
      throw new IllegalArgumentException("rate bounds must be ordered and not negative, not " + smallest + " and " + largest);
    smallestRate = smallest;
    largestRate = largest;
    return this;
  }

  /** Which tensors share a rate. The default is ALL; the paper suggests a rate for each layer as further work. */
  public NewtonRate scope(Scope value) {
    scope = Objects.requireNonNull(value, "scope");
    return this;
  }

  @Override
  void check(ParameterSet parameters) {
    if (interval == 0) throw new IllegalArgumentException("the length of a window must be given: call interval or epoch");
    if (firstOrder() && eta == 0) throw new IllegalArgumentException("the first-order rate needs eta: call eta");
    if (initialRate < smallestRate || initialRate > largestRate)
      throw new IllegalArgumentException(
          "initialRate " + initialRate + " must be within the bounds, " + smallestRate + " and " + largestRate);
  }

  private boolean firstOrder() {
    return variant == Variant.FIRST_ORDER_ADDITIVE || variant == Variant.FIRST_ORDER_MULTIPLICATIVE;
  }

  @Override
  TunedOptimizer optimizer(Engine engine) {
    return new NewtonRateOptimizer(engine, this);
  }

  @Override
  List<String> tunerSlots() {
    return List.of("reference", "way");
  }

  @Override
  boolean followsParameters(String slot) {
    return slot.equals("reference");
  }

  @Override
  boolean guarded() {
    return needsNorm();
  }

  @Override
  Description describe() {
    return new Description("NewtonRate").form("variant", variant).form("interval", interval).setting("initialRate", initialRate)
        .setting("gamma", gamma).setting("eta", eta).setting("maxFactor", maxFactor)
        .setting("rateBounds", smallestRate + " to " + largestRate);
  }
}
