// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.steptuner.Scope;
import org.steptuner.internal.engine.Description;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.rule.StateKind;

/**
 * GradaGrad: AdaGrad whose rate also grows. Where a gradient points along the last one, the rate was too small; where it points against
 * it, too large. Defazio, Zhou and Xiao, "Grad-GradaGrad? A Non-Monotone Adaptive Stochastic Gradient Method" (2022, arXiv 2206.06900).
 *
 * <pre>
 * v = |g|^2 - rho &lt;g, g'&gt;                   g': the gradient of the last step, 0 at first
 * v &gt;= 0:  alpha &lt;- alpha + v               the rate falls, as AdaGrad's does
 * v &lt; 0:   v &lt;- max(v, -r alpha)
 *          gamma &lt;- gamma sqrt(1 - v / alpha)   the rate grows, by a factor of at most sqrt(1 + r)
 * x &lt;- x - gamma / sqrt(alpha) g            new alpha, new gamma; no step while alpha is 0
 * </pre>
 *
 * gamma starts at {@code initialRate} and alpha at 0. gamma / sqrt(alpha) is a rate, so gamma has the unit of x. {@link Form#SCALAR}
 * takes |g|^2 and {@code <g, g'>} over a scope. {@link Form#DIAGONAL} does everything above for each element by itself, with {@code v = g
 * (g - rho g')}. At rho 0 the rate only falls: that is AdaGrad-Norm ({@link #adaGradNorm}) or, diagonal, AdaGrad. On a quadratic of one
 * dimension, with rho from 1 on, v changes its sign where the rate is the inverse of the curvature; with a smaller rho the rate also falls
 * where it is below 1 - rho times that.
 *
 * <p>The rule is SGD. Its decay is part of g. Its momentum beta, if any, averages iterates, {@code z <- z - gamma / sqrt(alpha) g; x <-
 * beta x + (1 - beta) z}, where z starts at x and g is the gradient at x. A schedule and a group's factor multiply the rate where it is
 * used; a step at the rate 0 still changes alpha and gamma. g is the clipped gradient.
 *
 * <p>How certain these formulas are: those of the scalar form were read in a third-party transcription of the paper's simplified
 * algorithm. The paper's own text of it could not be compared. The diagonal form is the same for each element, and the averaging is that
 * of the authors' other methods of the time; both are after the paper's description, and their details may differ from the paper's. r may
 * depend on the step in the paper; here it is a constant.
 *
 * <p>State and words moved per element, the guard against non-finite gradients included:
 *
 * <pre>
 *                                state   words   with a decay
 * SCALAR                             1       6              7
 * SCALAR with momentum               2       8              9
 * SCALAR, rho = 0 (AdaGrad-Norm)     0       4              5
 * the same with momentum             1       6              7
 * DIAGONAL                           3      10             10
 * DIAGONAL with momentum             4      12             12
 * </pre>
 *
 * DIAGONAL moves 1 word less without guard and clipping. The other forms see the gradients in a first sweep anyhow.
 *
 * <p>{@link org.steptuner.StepReport#learnedScale(int)} is gamma / sqrt(alpha), the rate of the step; for DIAGONAL it is the mean of
 * gamma over the elements, a factor on g / sqrt(alpha), and the effective rate is made of the mean before the step.
 * {@link org.steptuner.Optimizer#scalars} has alpha and gamma, or for DIAGONAL gamma, the same mean; alpha of every element is the slot
 * {@code accumulator}, and gamma / initialRate the slot {@code growth}.
 *
 * <p>Known to fail: an initial rate that is far too large, because the first steps are made before any gradient can be compared with the
 * last one, and alpha then keeps their size for good; the diagonal form suffers most. Noise: the rate grows only where {@code <g, g'>} is
 * more than |g|^2 / rho, so where the noise of a batch is larger than the gradient itself, it only falls. Figures are in
 * examples/results/gradagrad. Gradients that do not depend on x: gamma grows up to {@link #maxGrowth}.
 */
public final class GradaGrad extends TunerBuilder<GradaGrad> {
  /** What has a rate of its own. */
  public enum Form {
    /** A scope: all tensors, a group, or a tensor. */
    SCALAR,
    /** Every element. The scope only says which elements a report combines. */
    DIAGONAL
  }

  final double initialRate;
  double rho;
  double r = 1;
  double initialAccumulator;
  double maxGrowth = 1e15;
  Form form = Form.SCALAR;

  private GradaGrad(Rule rule, double initialRate, double rho) {
    super(rule);
    checkRule(rule);
    this.initialRate = Check.positive("initialRate", initialRate);
    this.rho = rho;
  }

  private static void checkRule(Rule rule) {
    if (!rule.kernel().equals("sgd") && !rule.kernel().equals("momentum"))
      throw new IllegalArgumentException("GradaGrad goes over SGD, not over " + rule);
    if (Hyperparameters.of(rule).orZero("gradientWeight") != 0)
      throw new IllegalArgumentException("GradaGrad has no form with Nesterov's momentum: " + rule);
  }

  /**
   * GradaGrad with rho 2 and r 1.
   *
   * @param rule {@link SGD}, whose momentum averages iterates; not Nesterov's
   * @param initialRate gamma at first, finite and positive. The first step has this length (DIAGONAL: every element moves by it), so it
   *     may be far below the distance to the solution, and should not be far above
   */
  public static GradaGrad tuning(Rule rule, double initialRate) {
    return new GradaGrad(rule, initialRate, 2);
  }

  /**
   * AdaGrad-Norm, whose rate only falls: rho 0. Ward, Wu and Bottou, "AdaGrad Stepsizes: Sharp Convergence over Nonconvex Landscapes"
   * (2019), algorithm 1: {@code b^2 <- b^2 + |g|^2; x <- x - eta / b g}. The formula is that of the paper.
   *
   * @param rule {@link SGD}, whose momentum averages iterates (which is not in that paper); not Nesterov's
   * @param rate eta, finite and positive. It must be right: nothing makes it larger
   */
  public static GradaGrad adaGradNorm(Rule rule, double rate) {
    return new GradaGrad(rule, rate, 0);
  }

  @Override
  public GradaGrad group(String name, Rule groupRule, double rateFactor) {
    checkRule(Objects.requireNonNull(groupRule, "groupRule"));
    return super.group(name, groupRule, rateFactor);
  }

  /** Which form. The default is SCALAR. */
  public GradaGrad form(Form value) {
    form = Objects.requireNonNull(value, "form");
    return this;
  }

  /** rho, the weight of the last gradient, finite and not negative. The default is 2. */
  public GradaGrad rho(double value) {
    rho = Check.notNegative("rho", value);
    return this;
  }

  /** r, in [0, 1]: the part of alpha that a step may undo. gamma grows by at most sqrt(1 + r) a step. The default is 1. */
  public GradaGrad r(double value) {
    if (!(value >= 0 && value <= 1)) throw new IllegalArgumentException("r must be in [0, 1], not " + value);
    r = value;
    return this;
  }

  /** alpha at first, finite and not negative; b_0^2 of AdaGrad-Norm. The default is 0. */
  public GradaGrad initialAccumulator(double value) {
    initialAccumulator = Check.notNegative("initialAccumulator", value);
    return this;
  }

  /**
   * The largest gamma / initialRate, so that no number leaves its range; from 1 to 1e30. The default is 1e15. It is not in the paper.
   */
  public GradaGrad maxGrowth(double value) {
    if (!(value >= 1 && value <= 1e30)) throw new IllegalArgumentException("maxGrowth must be from 1 to 1e30, not " + value);
    maxGrowth = value;
    return this;
  }

  /** Which tensors share a rate. The default is ALL. */
  public GradaGrad scope(Scope value) {
    scope = Objects.requireNonNull(value, "scope");
    return this;
  }

  @Override
  TunedOptimizer optimizer(Engine engine) {
    return form == Form.SCALAR ? new GradaGradOptimizer(engine, this) : new GradaGradDiagonalOptimizer(engine, this);
  }

  /** Whether iterates are averaged: all groups have a momentum, or none has. */
  boolean averages() {
    return rule.kernel().equals("momentum");
  }

  /** Whether the last gradient is needed. */
  boolean compares() {
    return rho > 0;
  }

  // SGD's momentum buffer is not used.
  @Override
  List<String> ruleSlots() {
    return List.of();
  }

  @Override
  List<String> tunerSlots() {
    final List<String> slots = new ArrayList<>();
    if (form == Form.DIAGONAL) slots.addAll(List.of("accumulator", "growth", "previous"));
    else if (compares()) slots.add("direction");
    if (averages()) slots.add("point");
    return slots;
  }

  @Override
  boolean followsParameters(String slot) {
    return slot.equals("point");
  }

  @Override
  StateKind stateKind(String slot) {
    return slot.equals("point") ? StateKind.POINT : super.stateKind(slot);
  }

  @Override
  double initialValue(String slot) {
    return switch (slot) {
      case "accumulator" -> initialAccumulator;
      case "growth" -> 1;
      default -> 0;
    };
  }

  @Override
  boolean guarded() {
    return form == Form.DIAGONAL && needsNorm();
  }

  // AdaGrad-Norm's first sweep sums nothing but the gradient.
  @Override
  boolean observesL1() {
    return form == Form.SCALAR && !compares();
  }

  @Override
  Description describe() {
    final Description own = new Description("GradaGrad").form("form", form).form("compares", compares()).setting("rho", rho)
        .setting("r", r).setting("initialAccumulator", initialAccumulator).setting("maxGrowth", maxGrowth);
    // In the diagonal form the state has gamma / initialRate.
    return form == Form.DIAGONAL ? own.form("initialRate", initialRate) : own.setting("initialRate", initialRate);
  }
}
