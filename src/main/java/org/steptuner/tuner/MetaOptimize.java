// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.Scope;
import org.steptuner.internal.engine.Description;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Kernel;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Adam;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.rule.StateKind;

/**
 * MetaOptimize: learns the step sizes of a base rule with a second, meta rule. Sharifnassab, Salehkaleybar and Sutton, "MetaOptimize: A
 * Framework for Optimizing Step Sizes and Other Meta-parameters" (2024), algorithm 3, free of Hessians.
 *
 * <pre>
 * alpha = exp(beta)
 * step  = alpha (u - weightDecay x)                        u: the base rule's step at the rate 1
 * z     = &lt;h, g&gt;                                           the derivative of the loss by beta
 * x    &lt;- x + step
 * h    &lt;- gamma (1 - weightDecay alpha) h + step           the derivative of x by beta
 * beta &lt;- beta + metaStepSize u_meta(z)                    the meta rule takes z for its gradient
 * </pre>
 *
 * <p>Any of the base rules SGD (with momentum or without), RMSProp, Adam, AdamW and Lion goes with any of the meta rules SGD, RMSProp, Adam
 * and Lion. The {@link #scope} says which tensors share a beta: all, those of a parameter group (a block of the paper), or none. With
 * {@link #perWeight} every element has its own.
 *
 * <p>A step is one pass over memory, because x needs only the old beta, and z only the old h. Words per element that it moves:
 *
 * <pre>
 * base rule            SGD   SGD with momentum   RMSProp   Adam, AdamW   Lion
 * alone                 3            5              5           7          5
 * shared step sizes     5            7              7           9          7
 * one per weight, with the meta rule
 *   SGD                 7            9              9          11          9
 *   RMSProp             9           11             11          13         11
 *   Adam               11           13             13          15         13
 *   Lion                9           11             11          13         11
 * </pre>
 *
 * and 1 more for the guard against non-finite gradients or for clipping, unless both are off. A {@link MetaCurvature} makes it 1 more and 1
 * more for its guard; over SGD with momentum and over RMSProp 2 more, over Adam and AdamW 4 more; in the 2x2 approximation, where every
 * weight has its own B, 2 more, by the meta rule RMSProp 4 and by Adam 6 more. State over the base rule's: h, one word per element, in the
 * slot {@code trace}; one per weight, also beta and the meta rule's state; and the slots of a curvature.
 *
 * <p>The weight decay is that of the base rule and is decoupled, {@code x <- x - alpha weightDecay x}, also with rules that otherwise add
 * it to the gradient. A schedule and a group's factor multiply alpha where it is used. {@link org.steptuner.StepReport#learnedScale(int)}
 * is alpha, as the next step will use it; where every weight has its own, their geometric mean. {@link Optimizer#scalars} has beta and z,
 * and the meta rule's m and v where it has them; one per weight, it has z and the mean of ln(alpha / alpha_0). If z is not finite, beta
 * stays as it is.
 *
 * <p>x is the parameter in its own type, and is rounded to 16 bits as with a fixed rate. z has the unit of the
 * loss: the meta rules RMSProp, Adam and Lion do not depend on that unit, apart from epsilon, and SGD does.
 */
public final class MetaOptimize extends TunerBuilder<MetaOptimize> {
  /** How the past of a beta enters its trace (section 5 of the paper). */
  public enum Approximation {
    /** It does not: b = 1. Equation 17. */
    L,
    /**
     * With z's dependence on x: equation 15 without its last block row and column, from B = 1. With the old h and the meta rule's step
     * u_meta,
     *
     * <pre>
     * b = gamma B + 1 - gamma;  B &lt;- b + gamma metaStepSize du_meta        du_meta: the derivative of u_meta along dz = &lt;h, H h&gt;
     * </pre>
     *
     * du_meta is -dz for SGD (the paper's algorithm 2). For RMSProp and Adam (appendix A.1.2) it is as in {@link MetaCurvature}, with the
     * same certainty, and their m and v have traces of their own. For Lion B stays 1, which is L (A.1.3). Bounds on step sizes and on their
     * changes are not differentiated. {@link Optimizer#scalars} has B as {@code betaTrace}, and {@code mTrace} and {@code vTrace}; where
     * every weight has its own, the state slots are {@code betaTrace}, {@code metaMomentumTrace} and {@code metaSquareTrace}.
     *
     * <p>Known failure: by RMSProp and Adam B may become of any size while z is small, since du_meta divides by the root of its square.
     */
    TWO_BY_TWO
  }

  /** The published forms. They differ in the rules and in the trace h. */
  public enum Variant {
    /**
     * The code of the paper's experiments. Its rules are not the usual ones. With mu = (1 - discount) / (1 - discount^t) and the
     * epsilon of {@link MetaOptimize#epsilon} inside of the root, for base and meta rule alike:
     *
     * <pre>
     * SGD                 u = -g
     * SGD with momentum   u = -m,  then m &lt;- momentum m + (1 - momentum) g      (base rule only)
     * RMSProp             v &lt;- alpha v + g^2;  u = -g / sqrt(mu v + epsilon)
     * Adam, AdamW         m &lt;- beta1 m + g;  v &lt;- beta2 v + g^2;  u = -m / sqrt(mu v + epsilon)
     * Lion                u = -sign(beta1 m + (1 - beta1) g),  then m &lt;- beta2 m + (1 - beta2) g
     * </pre>
     *
     * Adam's m is a sum: its steps are 1 / (1 - beta1) times the usual ones.
     */
    PAPER_CODE,
    /**
     * The authors' package, which has AdamW as base and Lion as meta rule; the other combinations are ours, by the same pattern. The rules
     * are the usual ones, with their own epsilon. The trace takes what the base rule makes of the gradient alone, without momentum, and has
     * the opposite sign: for AdamW {@code h <- gamma (1 - weightDecay alpha) h + alpha g / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)};
     * RMSProp likewise, g for SGD, sign(g) for Lion. The meta rule Lion updates its m before it uses it.
     */
    PACKAGE
  }

  Variant variant = Variant.PAPER_CODE;
  Rule meta = Adam.defaults();
  double metaStepSize = 1e-3;
  double gamma = Double.NaN;
  double initialStepSize = Double.NaN;
  double epsilon = Double.NaN;
  double smallestStepSize = 0;
  double largestStepSize = Double.POSITIVE_INFINITY;
  double largestChange = Double.POSITIVE_INFINITY;
  boolean perWeight;
  boolean stepSizeFirst;
  MetaCurvature curvature = MetaCurvature.NONE;
  Approximation approximation = Approximation.L;

  private MetaOptimize(Rule rule) {
    super(rule);
  }

  /** MetaOptimize over a base rule. The default meta rule is Adam. */
  public static MetaOptimize tuning(Rule base) {
    return new MetaOptimize(base);
  }

  /**
   * IDBD, incremental delta-bar-delta: Sutton, "Adapting Bias by Gradient Descent: An Incremental Version of Delta-Bar-Delta" (1992), as
   * the L-approximation for SGD over SGD (appendix B.1 of the paper). With d = diag(H), which for {@code (y - w^T x)^2 / 2} is x^2,
   *
   * <pre>
   * beta &lt;- beta - metaStepSize h g;  alpha = exp(beta)
   * w    &lt;- w - alpha g
   * h    &lt;- max(0, 1 - alpha d) h - alpha g
   * </pre>
   *
   * <p>With {@code .curvature(MetaCurvature.PRODUCT)} it is the extension to losses that are not quadratic (Xu, van Hasselt and
   * Silver 2018; Schraudolph 1999), a gamma below 1 being its decay.
   *
   * @param metaStepSize theta of the paper
   * @param initialStepSize the first alpha of every weight
   */
  public static MetaOptimize idbd(double metaStepSize, double initialStepSize) {
    return tuning(SGD.defaults()).meta(SGD.defaults()).metaStepSize(metaStepSize).initialStepSize(initialStepSize).perWeight()
        .stepSizeFirst().curvature(MetaCurvature.DIAGONAL_RECTIFIED);
  }

  /** The published form; sets the defaults of {@link #gamma} and {@link #initialStepSize}. The default is PAPER_CODE. */
  public MetaOptimize variant(Variant value) {
    variant = Objects.requireNonNull(value, "variant");
    return this;
  }

  /**
   * The meta rule.
   *
   * @param value SGD or RMSProp, both without momentum, Adam, or Lion; without weight decay
   */
  public MetaOptimize meta(Rule value) {
    Objects.requireNonNull(value, "meta");
    if (!MetaForm.META_RULES.contains(value.kernel()))
      throw new IllegalArgumentException("the meta rule must be SGD or RMSProp without momentum, Adam, or Lion, not " + value);
    if (MetaForm.decay(value) != 0) throw new IllegalArgumentException("a meta rule has no weight decay, but this one is " + value);
    meta = value;
    return this;
  }

  /** eta, the rate of the meta rule; not negative, 1e-3 by default as in all the paper's experiments. */
  public MetaOptimize metaStepSize(double value) {
    metaStepSize = Check.rate(value);
    return this;
  }

  /** gamma, the discount of future losses, in [0, 1]. The default is 1, and 0.9999 for PACKAGE; 0 is hypergradient descent. */
  public MetaOptimize gamma(double value) {
    if (!(value >= 0 && value <= 1)) throw new IllegalArgumentException("gamma must be in [0, 1], not " + value);
    gamma = value;
    return this;
  }

  /** alpha_0, the first step size; positive. The default is 1e-6, and 1e-3 for PACKAGE. */
  public MetaOptimize initialStepSize(double value) {
    if (!(value > 0 && value <= Double.MAX_VALUE))
      throw new IllegalArgumentException("initialStepSize must be finite and positive, not " + value);
    initialStepSize = value;
    return this;
  }

  /** Bounds of every step size. The default is none: 0 and infinity. */
  public MetaOptimize stepSizeBounds(double smallest, double largest) {
    if (!(smallest >= 0 && smallest <= largest && largest > 0 && smallest < Double.POSITIVE_INFINITY))
      throw new IllegalArgumentException(
          "step size bounds must not be negative, smallest below infinity and not above largest, not " + smallest + " and " + largest);
    smallestStepSize = smallest;
    largestStepSize = largest;
    return this;
  }

  /**
   * The largest factor by which a step size may grow or shrink in one step. The meta rule Lion keeps to exp(metaStepSize) anyway; SGD has
   * no bound of its own.
   *
   * @param factor more than 1; infinity, the default, is no limit
   */
  public MetaOptimize largestChange(double factor) {
    if (!(factor > 1)) throw new IllegalArgumentException("largestChange must be more than 1, not " + factor);
    largestChange = factor;
    return this;
  }

  /**
   * Keeps the roots of PAPER_CODE away from 0, for base and meta rule; positive, 1e-10 by default. It is inside of the root, so it is
   * compared with g^2 and z^2. PACKAGE uses the epsilon of the rules instead.
   */
  public MetaOptimize epsilon(double value) {
    if (!(value > 0 && value <= Double.MAX_VALUE))
      throw new IllegalArgumentException("epsilon must be finite and positive, not " + value);
    epsilon = value;
    return this;
  }

  /** Which tensors share a step size. The default is ALL; GROUP makes parameter groups the blocks of the paper, TENSOR makes tensors. */
  public MetaOptimize scope(Scope value) {
    scope = Objects.requireNonNull(value, "scope");
    return this;
  }

  /** A step size for every element, for PAPER_CODE. The scope then only says which elements a report combines. */
  public MetaOptimize perWeight() {
    perWeight = true;
    return this;
  }

  /** Moves every step size before the step that uses it instead of after, as IDBD does; for step sizes per weight with a curvature. */
  public MetaOptimize stepSizeFirst() {
    stepSizeFirst = true;
    return this;
  }

  /** The part that the Hessian has in h. The default is NONE. */
  public MetaOptimize curvature(MetaCurvature value) {
    curvature = Objects.requireNonNull(value, "curvature");
    return this;
  }

  /** How the past of a beta enters its trace, with a curvature. The default is L. */
  public MetaOptimize approximation(Approximation value) {
    approximation = Objects.requireNonNull(value, "approximation");
    return this;
  }

  @Override
  void check(ParameterSet parameters) {
    MetaForm.checkBase(rule, variant);
    groups.values().forEach(group -> MetaForm.checkBase(group.rule(), variant));
    if (variant == Variant.PAPER_CODE) {
      MetaForm.checkEpsilon(meta);
    } else {
      if (perWeight) throw new IllegalArgumentException("step sizes per weight are of variant PAPER_CODE; PACKAGE has none");
      if (!Double.isNaN(epsilon))
        throw new IllegalArgumentException("epsilon is of variant PAPER_CODE; with PACKAGE, give the rules theirs");
    }
    MetaForm.checkCurvature(this, parameters);
    if (initialStepSize() < smallestStepSize || initialStepSize() > largestStepSize)
      throw new IllegalArgumentException(
          "initialStepSize " + initialStepSize() + " must be within the bounds, " + smallestStepSize + " and " + largestStepSize);
  }

  @Override
  TunedOptimizer optimizer(Engine engine) {
    return new MetaOptimizer(engine, this);
  }

  @Override
  List<String> tunerSlots() {
    final List<String> slots = new ArrayList<>(Kernel.slotsOf(MetaForm.sweep(this), rule.kernel()));
    slots.removeAll(ruleSlots());
    return slots;
  }

  @Override
  double initialValue(String slot) {
    return slot.equals("betaTrace") ? 1 : 0;
  }

  @Override
  StateKind stateKind(String slot) {
    return slot.equals("logRatio") ? StateKind.POINT : super.stateKind(slot);
  }

  @Override
  boolean guarded() {
    return needsNorm();
  }

  boolean curved() {
    return curvature != MetaCurvature.NONE;
  }

  /** Whether B must be kept: for a meta rule Lion it stays 1. */
  boolean twoByTwo() {
    return approximation == Approximation.TWO_BY_TWO && !meta.kernel().equals("lion");
  }

  double gamma() {
    return Double.isNaN(gamma) ? variant == Variant.PAPER_CODE ? 1 : 0.9999 : gamma;
  }

  double initialStepSize() {
    return Double.isNaN(initialStepSize) ? variant == Variant.PAPER_CODE ? 1e-6 : 1e-3 : initialStepSize;
  }

  double epsilon() {
    return Double.isNaN(epsilon) ? 1e-10 : epsilon;
  }

  @Override
  Description describe() {
    final Description own = new Description("MetaOptimize").form("variant", variant).form("perWeight", perWeight)
        .form("curvature", curvature).form("approximation", approximation).form("stepSizeFirst", stepSizeFirst).rule("meta", meta)
        .setting("metaStepSize", metaStepSize).setting("gamma", gamma()).setting("epsilon", epsilon())
        .setting("stepSizeBounds", smallestStepSize + " to " + largestStepSize).setting("largestChange", largestChange);
    // Per weight the state has the logarithm of alpha / alpha_0.
    return perWeight ? own.form("initialStepSize", initialStepSize()) : own.setting("initialStepSize", initialStepSize());
  }
}
