// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.List;
import java.util.Objects;
import org.steptuner.ParameterSet;
import org.steptuner.Scope;
import org.steptuner.internal.engine.Description;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Kernel;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Rule;

/**
 * Prodigy: Adam whose rate is an estimate d of the distance from the start to the solution, which grows while the gradients say that it
 * is too small. Mishchenko and Defazio, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner" (2023), algorithm 4, in the form
 * of the authors' release.
 *
 * <pre>
 * r  = d rate c                                 (c: 1, or Adam's bias correction)
 * n &lt;- beta3 n + d/d0 r &lt;g, x0 - x&gt;             s &lt;- beta3 s + d/d0 r g     (d/d0 d g with safeguardWarmup)
 * m &lt;- beta1 m + d (1 - beta1) g                v &lt;- beta2 v + d^2 (1 - beta2) g^2
 * e  = coefficient n / |s|_1
 * d &lt;- max(d, e) while d = d0;  d_max &lt;- max(d_max, e);  d &lt;- min(d_max, growthRate d, maxRate)
 * x &lt;- x - decay r x - r m / (sqrt(v) + d epsilon)
 * </pre>
 *
 * In the last line d is the new one, and r contains the old one. The rule gives the betas, epsilon and the decay, which {@link Adam} adds
 * to g and {@link AdamW} applies to x.
 *
 * <p>State: five words per element (m, v, s, x0, x0 - x), one less with {@link Displacement#ACCUMULATED} or RECOMPUTED, one less with beta1
 * = 0. Words moved per element: 14, with a decay in the gradient 15; RECOMPUTED 13; two less with beta1 = 0. The guard against non-finite
 * gradients moves no more, clipping moves one more. A step reads sums back once. With STORED x is rebuilt from x0 and x0 - x at every step:
 * a trainer that writes into x calls {@link org.steptuner.Optimizer#parametersMoved()}, or its change is overwritten.
 *
 * <p>A step whose rate is 0 (a schedule may begin or end so) changes nothing at all: not x, not the state, not the count of steps in the
 * bias correction. That is the release's behaviour. A step changes nothing either while all gradients so far have been 0. A group with a
 * rate factor of 0 stays as it is and does not influence d; the release still applies decoupled decay to it.
 *
 * <p>{@link org.steptuner.Optimizer#scalars} has d, d_max (the largest e), d_hat (the last e), n, s_norm (|s|_1) and t, the number of steps
 * that were not left out.
 *
 * <p>Over {@link org.steptuner.rule.ScheduleFreeAdamW} the z of that rule makes Prodigy's steps, without a momentum, and n takes x0 - z.
 * The gradient is taken at y, between z and the average x, and x is the model: see {@link org.steptuner.Optimizer#evaluating}.
 *
 * <pre>
 * n &lt;- beta3 n + d/d0 r &lt;g, x0 - z&gt;             s, v, e, d: as above
 * w  = t^stepPower R^ratePower;  W &lt;- W + w;  c = w / W       (R: the largest r so far)
 * z &lt;- z - r (d g / (sqrt(v) + d epsilon) + decay y);  x &lt;- (1 - c) x + c z;  y &lt;- (1 - beta1) z + beta1 x
 * </pre>
 *
 * With stepPower 0.75, ratePower 0, betas 0.9 and 0.9955 and no decay that is the algorithm of Meta's submission to the AlgoPerf
 * benchmark, read in its code; there the decay is that of x. No paper that we know describes it. With a ratePower above 0, such as the
 * rule's default 2, iterates count by their d as well, so that those of the small first d are soon forgotten: a combination of ours. State:
 * five words per element (z - y, v, s, x0, x0 - z), one less with ACCUMULATED; RECOMPUTED is refused. Words moved: 14. Scalars: also c,
 * weight_sum (W) and lr_max (R), for each parameter group. Leave the schedule constant, but for a warm-up.
 *
 * <p>Known to fail: with a schedule that warms up from a very small rate, d can be overestimated; use {@link #safeguardWarmup}. On
 * gradients that do not depend on x, d grows without bound; {@link #maxRate} stops it.
 *
 * <p>The forms that the paper analyses, {@link #gradientDescent} (algorithm 1) and {@link #dualAveraging} (algorithm 2), are
 * {@link DistanceAdaptation}, as is resetting, the other method of the paper's first versions.
 */
public final class Prodigy extends TunerBuilder<Prodigy> {
  /** How x0 - x, of which the estimate is made, is kept. */
  public enum Displacement {
    /** As a sum of steps in the state's type. x is rebuilt from x0 and this sum, so short types of x do not lose small steps. */
    STORED,
    /**
     * As a sum of steps in the state's type, without x0; x takes the same steps in its own type. This saves a word of memory per element.
     * Its d is nearly that of STORED, even while d is small. Refused for 16-bit parameters, and for a decay in the gradient.
     */
    ACCUMULATED,
    /**
     * It is not kept, but computed from x0 and x at every step, as the releases do. This saves a word of memory per element, and one moved.
     * While d is small, x does not move, or moves by a few units in its last place, in all types but float64. The estimate is then wrong by
     * some percent in float32, and would stay 0 in 16 bits. Refused for 16-bit parameters.
     */
    RECOMPUTED
  }

  private static final int MAX_SLICE = 1 << 30;

  double rate = 1;
  double beta3 = Double.NaN;
  double initialRate = 1e-6;
  double maxRate = Double.POSITIVE_INFINITY;
  double coefficient = 1;
  double growthRate = Double.POSITIVE_INFINITY;
  boolean safeguardWarmup;
  boolean biasCorrection;
  int slice = 1;
  Displacement displacement = Displacement.STORED;

  private Prodigy(Rule rule) {
    super(rule);
    checkRule(rule);
  }

  private static void checkRule(Rule rule) {
    AdamForm.orScheduleFree(rule);
  }

  @Override
  public Prodigy group(String name, Rule groupRule, double rateFactor) {
    checkRule(Objects.requireNonNull(groupRule, "groupRule"));
    return super.group(name, groupRule, rateFactor);
  }

  /**
   * Prodigy over Adam, with nothing to tune.
   *
   * @param rule {@link AdamW} (decoupled decay, the release's default), {@link Adam} (decay in the gradient), or
   *     {@link org.steptuner.rule.ScheduleFreeAdamW}
   */
  public static Prodigy tuning(Rule rule) {
    return new Prodigy(rule);
  }

  /** Gradient descent with Prodigy, the paper's algorithm 1. It takes no rule, and has settings of its own. */
  public static DistanceAdaptation gradientDescent() {
    return new DistanceAdaptation(DistanceAdaptation.Form.PRODIGY_GRADIENT_DESCENT);
  }

  /** Dual averaging with Prodigy, the paper's algorithm 2. It takes no rule, and has settings of its own. */
  public static DistanceAdaptation dualAveraging() {
    return new DistanceAdaptation(DistanceAdaptation.Form.PRODIGY_DUAL_AVERAGING);
  }

  /** A factor on the learned rate, finite and not negative. The default is 1, which is best; use {@link #coefficient} instead. */
  public Prodigy baseRate(double value) {
    rate = Check.rate(value);
    return this;
  }

  /** The discount of n and s, in [0, 1). The default is the square root of beta2. */
  public Prodigy beta3(double value) {
    if (!(value >= 0 && value < 1)) throw new IllegalArgumentException("beta3 must be in [0, 1), not " + value);
    beta3 = value;
    return this;
  }

  /** d0, the first estimate: finite, positive, and far below the right one. The default is 1e-6. */
  public Prodigy initialRate(double value) {
    initialRate = Check.positive("initialRate", value);
    return this;
  }

  /** The largest d: positive and not less than {@link #initialRate}. The default is infinity, no limit. */
  public Prodigy maxRate(double value) {
    maxRate = Check.limit("maxRate", value, 0);
    return this;
  }

  /** A factor on the estimate; positive, 1 by default. The release advises to tune this first, if anything, between 0.5 and 2. */
  public Prodigy coefficient(double value) {
    coefficient = Check.positive("coefficient", value);
    return this;
  }

  /** The largest factor on d in a step, at least 1. The default is infinity, no limit. 1.02 gives a kind of warm-up. */
  public Prodigy growthRate(double value) {
    growthRate = Check.limit("growthRate", value, 1);
    return this;
  }

  /** Leaves the rate out of s, so that small rates at the start do not make d too large. Off by default. */
  public Prodigy safeguardWarmup(boolean value) {
    safeguardWarmup = value;
    return this;
  }

  /** Adam's bias correction, as a factor on the rate. Off by default, as in the release; optax always has it. */
  public Prodigy biasCorrection(boolean value) {
    biasCorrection = value;
    return this;
  }

  /**
   * Takes only the elements 0, p, 2p, ... of each tensor into the estimate. 1 by default; the release suggests 11. In the release this
   * saves the memory of s and x0 for the other elements. Here it does not; {@link Displacement#ACCUMULATED} saves that of x0.
   *
   * @param p from 1 to 2^30
   */
  public Prodigy slice(int p) {
    if (p < 1 || p > MAX_SLICE) throw new IllegalArgumentException("slice must be from 1 to " + MAX_SLICE + ", not " + p);
    slice = p;
    return this;
  }

  /** How x0 - x is kept. The default is STORED. */
  public Prodigy displacement(Displacement value) {
    displacement = Objects.requireNonNull(value, "displacement");
    return this;
  }

  /** Which tensors share a d. The default is ALL, as in the paper; {@link Scope#GROUP} learns one per parameter group. */
  public Prodigy scope(Scope value) {
    scope = Objects.requireNonNull(value, "scope");
    return this;
  }

  @Override
  void check(ParameterSet parameters) {
    Check.maxRate(maxRate, initialRate);
    if (displacement == Displacement.RECOMPUTED && scheduleFree())
      throw new IllegalArgumentException("displacement RECOMPUTED has no form over " + rule + ": use STORED or ACCUMULATED");
    if (displacement == Displacement.ACCUMULATED && coupled())
      throw new IllegalArgumentException("displacement ACCUMULATED has no form with a decay in the gradient: use AdamW, or STORED");
    if (displacement != Displacement.STORED)
      Check.wide(parameters, "displacement " + displacement, "while d is small, its steps round to 0; use STORED");
  }

  @Override
  TunedOptimizer optimizer(Engine engine) {
    return new ProdigyOptimizer(engine, this);
  }

  @Override
  List<String> tunerSlots() {
    return switch (displacement) {
      case STORED -> List.of("sum", "reference", "displacement");
      case ACCUMULATED -> List.of("sum", "displacement");
      case RECOMPUTED -> List.of("sum", "reference");
    };
  }

  @Override
  boolean followsParameters(String slot) {
    return slot.equals("reference");
  }

  @Override
  boolean guarded() {
    return clips();
  }

  @Override
  boolean takesAverages() {
    return scheduleFree();
  }

  /** Whether the rule is Schedule-Free AdamW. */
  boolean scheduleFree() {
    return AdamForm.scheduleFree(rule);
  }

  /** Whether any group adds a decay to the gradient. */
  boolean coupled() {
    return rule.coupledDecay() > 0 || groups.values().stream().anyMatch(group -> group.rule().coupledDecay() > 0);
  }

  /** Whether any group has a momentum. */
  boolean hasMomentum() {
    return AdamForm.orScheduleFree(rule).beta1() > 0
        || groups.values().stream().anyMatch(group -> AdamForm.orScheduleFree(group.rule()).beta1() > 0);
  }

  double beta3() {
    return Double.isNaN(beta3) ? Math.sqrt(AdamForm.orScheduleFree(rule).beta2()) : beta3;
  }

  @Override
  boolean observesL1() {
    return displacement != Displacement.RECOMPUTED && slice == 1 && !coupled();
  }

  @Override
  List<String> ruleSlots() {
    if (scheduleFree()) return Kernel.slotsOf(rule.kernel());
    return hasMomentum() ? List.of("momentum", "square") : List.of("square");
  }

  @Override
  Description describe() {
    return new Description("Prodigy").form("initialRate", initialRate).form("slice", slice).form("displacement", displacement)
        .setting("rate", rate).setting("beta3", beta3()).setting("maxRate", maxRate).setting("coefficient", coefficient)
        .setting("growthRate", growthRate).setting("safeguardWarmup", safeguardWarmup).setting("biasCorrection", biasCorrection);
  }
}
