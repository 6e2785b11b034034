// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.List;
import java.util.Objects;
import org.steptuner.ParameterSet;
import org.steptuner.Scope;
import org.steptuner.internal.engine.Description;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.rule.StateKind;

/**
 * Distance over gradients: SGD whose rate is the largest distance from the start so far, divided by the root of what all squared
 * gradients add up to. DoG and L-DoG: Ivgi, Hinder and Carmon, "DoG is SGD's Best Friend: A Parameter-Free Dynamic Step Size Schedule"
 * (2023, arXiv 2302.12022). DoWG: Khaled, Mishchenko and Jin, "DoWG Unleashed: An Efficient Universal Parameter-Free Gradient Descent
 * Method" (2023, arXiv 2305.16284), algorithm 1.
 *
 * <pre>
 * r &lt;- max(r, |x - x0|)              r = r_eps (1 + |x0|) at the first step; x0 is x before it
 * DoG:  G &lt;- G + |g|^2               eta = c r / sqrt(G + epsilon)
 * DoWG: G &lt;- G + r^2 |g|^2           eta = c r^2 / sqrt(G + epsilon)
 * x &lt;- x - eta g
 * </pre>
 *
 * r and eta have the unit of x and of x / g. With {@link Scope#TENSOR} DoG is L-DoG: each tensor by itself, as if there were no other.
 * The rule is SGD without momentum. Its decay is part of g, as in the DoG release. g is the clipped gradient. A schedule and a group's
 * factor multiply eta where it is used.
 *
 * <p>The release says that DoG needs an average of iterates to be at its best, because nothing makes its rate small at the end. {@link
 * #averaging} keeps theirs.
 *
 * <p>How certain these formulas are: DoG, L-DoG, the decay, {@link #initialStep} and the average are those of the authors' release
 * (formll/dog 1.0.3), which was read. DoWG is its paper's formula, from memory of it: no release of DoWG was compared. c, epsilon and
 * scopes for DoWG are ours, by the pattern of DoG.
 *
 * <p>State: one word per element, x - x0 or x0 ({@link #displacement}); with the average two. Words moved per element, the guard against
 * non-finite gradients included: 6, or 5 with {@link Displacement#RECOMPUTED}; 1 more with a decay, 2 more with the average. The sweep
 * that makes a step also sums how far x is from x0 afterwards, which the next step needs. The release measures that in passes of its own
 * before the step.
 *
 * <p>{@link org.steptuner.StepReport#learnedScale(int)} is eta. {@link org.steptuner.Optimizer#scalars} has eta, r and G, as the last
 * step used them.
 *
 * <p>Known to fail: where r_eps (1 + |x0|) is above the distance to the solution, eta starts too large. On gradients that do not depend
 * on x, r grows without bound. DoWG begins slowly while r^2 |g|^2 is below epsilon, as it is with the defaults: a smaller epsilon or a
 * larger r_eps helps. Where parameters of 16 bits are rounded to the nearest, small steps are lost; x - x0, which is kept, is then the way that x would have
 * gone.
 */
public final class DoG extends TunerBuilder<DoG> {
  /** Which formula. */
  enum Variant {
    DOG, DOWG
  }

  /** How x - x0, of which r is made, is kept. */
  public enum Displacement {
    /** As a sum of steps in the state's type, which loses nothing while r is small. */
    ACCUMULATED,
    /**
     * It is not kept, but computed from x0 and x, as the release does. This moves a word less per element. While r is small, x moves by a
     * few units in its last place in all types but float64, and r is too large by some tenths of a percent then. A change that the trainer
     * makes to x is seen after the next step, unless {@link org.steptuner.Optimizer#parametersMoved()} is called. Refused for 16-bit
     * parameters, in which x would never move.
     */
    RECOMPUTED
  }

  final Variant variant;
  Displacement displacement = Displacement.ACCUMULATED;
  double factor = 1;
  double relativeDistance = 1e-6;
  double epsilon = 1e-8;
  double initialStep = Double.NaN;
  double averaging = Double.NaN;

  private DoG(Rule rule, Variant variant) {
    super(rule);
    this.variant = variant;
    checkRule(rule);
  }

  private static void checkRule(Rule rule) {
    if (!rule.kernel().equals("sgd")) throw new IllegalArgumentException("DoG goes over SGD without momentum, not over " + rule);
  }

  /**
   * DoG, with nothing to tune.
   *
   * @param rule {@link SGD} without momentum
   */
  public static DoG tuning(Rule rule) {
    return new DoG(rule, Variant.DOG);
  }

  /**
   * L-DoG: DoG for each tensor by itself.
   *
   * @param rule {@link SGD} without momentum
   */
  public static DoG layerwise(Rule rule) {
    return tuning(rule).scope(Scope.TENSOR);
  }

  /**
   * DoWG, which weighs every gradient with the distance that there was at its time.
   *
   * @param rule {@link SGD} without momentum
   */
  public static DoG weighted(Rule rule) {
    return new DoG(rule, Variant.DOWG);
  }

  /** c, a factor on eta, finite and positive. The default is 1; the release advises against another. */
  public DoG factor(double value) {
    factor = Check.positive("factor", value);
    return this;
  }

  /**
   * r_eps, the first r as a part of 1 + |x0|, finite and positive. The default is 1e-6; the release advises 1e-4 for networks with batch
   * normalization. It should be small enough for a harmless first step.
   */
  public DoG relativeDistance(double value) {
    relativeDistance = Check.positive("relativeDistance", value);
    return this;
  }

  /**
   * epsilon, which is added to G once; finite and not negative. The default is 1e-8. With 0, there is no step until there is a gradient.
   */
  public DoG epsilon(double value) {
    epsilon = Check.notNegative("epsilon", value);
    return this;
  }

  /**
   * The first eta, instead of r_eps; finite and positive. r then starts at 0, and this eta is used until x has moved: for one step,
   * unless its gradient is 0.
   */
  public DoG initialStep(double eta) {
    initialStep = Check.positive("initialStep", eta);
    return this;
  }

  /**
   * Keeps an average of iterates whose last ones weigh most, in the slot {@code average}. {@link org.steptuner.Optimizer#evaluating} puts
   * it in the place of x. Shamir and Zhang (2013); the release's {@code PolynomialDecayAverager}.
   *
   * <pre>
   * average &lt;- (1 - w) average + w x,   w = (1 + power) / (t + power), after step t = 1, 2, ...
   * </pre>
   *
   * @param power finite and not negative; 0 is the plain mean, and the release has 8
   */
  public DoG averaging(double power) {
    averaging = Check.notNegative("power", power);
    return this;
  }

  /** How x - x0 is kept. The default is ACCUMULATED. */
  public DoG displacement(Displacement value) {
    displacement = Objects.requireNonNull(value, "displacement");
    return this;
  }

  /** Which tensors share r, G and eta. The default is ALL; {@link Scope#TENSOR} is L-DoG. */
  public DoG scope(Scope value) {
    scope = Objects.requireNonNull(value, "scope");
    return this;
  }

  @Override
  void check(ParameterSet parameters) {
    if (recomputes()) Check.wide(parameters, "displacement RECOMPUTED", "while r is small, steps round to 0; use ACCUMULATED");
  }

  @Override
  TunedOptimizer optimizer(Engine engine) {
    return new DoGOptimizer(engine, this);
  }

  boolean recomputes() {
    return displacement == Displacement.RECOMPUTED;
  }

  boolean averages() {
    return !Double.isNaN(averaging);
  }

  boolean startsByStep() {
    return !Double.isNaN(initialStep);
  }

  @Override
  List<String> tunerSlots() {
    final String way = recomputes() ? "reference" : "displacement";
    return averages() ? List.of(way, "average") : List.of(way);
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
    return new Description("DoG").form("variant", variant).form("displacement", displacement).form("averages", averages())
        .setting("factor", factor).setting("relativeDistance", relativeDistance).setting("epsilon", epsilon)
        .setting("initialStep", initialStep).setting("averaging", averaging);
  }
}
