// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.List;
import java.util.function.Function;
import java.util.function.IntFunction;
import org.steptuner.internal.engine.GradientGuard;
import org.steptuner.internal.engine.Plan;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.Sweep;
import org.steptuner.rule.Rule;

/**
 * Sums of the gradient that a rule sees, taken by a sweep that only reads.
 *
 * <p>With s what multiplies gradients and w a group's decay in this step, the rule's gradient is s g + w x. Clipping changes s, which is
 * therefore known only when |g|^2 has been added over all processes. So the sums are reduced without s, and combined after that. Decays
 * of groups are taken relative to the largest of them, which is then a separate factor.
 */
final class DecayedGradient {
  /** Of the gradients as they are in memory, over everything: what the guard looks at. */
  final Reduction.Term total;

  private final Plan plan;
  private final Reduction sums;
  private final Sweep observe;
  private final double decay; // the largest that a group adds to the gradient
  private final double[] share; // of it, by group
  private final Reduction.Term gradientSquare; // |g|^2 of each scope
  private final Reduction.Term gradientDirection; // <g, u>; null without u
  private final Reduction.Term directionSquare; // |u|^2; null without u
  private final Weighed gradientParameter; // <g, x>; this and the others null without a decay
  private final Weighed parameterSquare; // |x|^2
  private final Weighed parameterDirection; // <x, u>; null without u too

  /**
   * @param rules by group
   * @param everywhere the rules of all groups, those of other processes too
   * @param sweep the name of the sweep. With a decay that is part of the gradient, its form with "_decay" behind is taken. If it sums
   *     {@code gradientDirection}, there is a direction u
   * @param bind binds a sweep by its name
   */
  DecayedGradient(
      Plan plan, Reduction sums, IntFunction<Rule> rules, List<Rule> everywhere, String sweep, Function<String, Sweep> bind) {
    this.plan = plan;
    this.sums = sums;
    share = new double[plan.parameters().groups().size()];
    double largest = 0;
    for (Rule rule : everywhere) largest = Math.max(largest, rule.coupledDecay());
    decay = largest;
    for (int group = 0; group < share.length; ++group) share[group] = decay == 0 ? 0 : rules.apply(group).coupledDecay() / decay;
    observe = bind.apply(decay > 0 ? sweep + "_decay" : sweep);
    total = sums.overall(observe.sum("gradientSquare"));
    gradientSquare = sums.perScope(observe.sum("gradientSquare"));
    final boolean directed = observe.sums("gradientDirection");
    gradientDirection = directed ? sums.perScope(observe.sum("gradientDirection")) : null;
    directionSquare = directed ? sums.perScope(observe.sum("directionSquare")) : null;
    parameterDirection = directed && decay > 0 ? new Weighed("parameterDirection", 1) : null;
    gradientParameter = decay > 0 ? new Weighed("gradientParameter", 1) : null;
    parameterSquare = decay > 0 ? new Weighed("parameterSquare", 2) : null;
  }

  /** A sum to which every group contributes by a power of its share. */
  private final class Weighed {
    private final Sweep.Sum source;
    private final Reduction.Term term;
    private final int power;

    Weighed(String name, int power) {
      source = observe.sum(name);
      term = sums.perScope();
      this.power = power;
    }

    void collect() {
      for (int segment = 0; segment < plan.segments(); ++segment) {
        final double weight = share[plan.group(segment)];
        term.add(plan.scope(segment), (power == 2 ? weight * weight : weight) * source.of(segment));
      }
    }
  }

  /** Reads the gradients, and starts the sums of the step anew. */
  void observe() {
    observe.run();
    observe.await();
    sums.collect();
    if (decay == 0) return;
    if (parameterDirection != null) parameterDirection.collect();
    gradientParameter.collect();
    parameterSquare.collect();
  }

  /**
   * {@code |s g + w x|^2} of a scope; known, like the others, after the sums have been reduced.
   *
   * @param decayFactor of the step, on w
   */
  double square(int scope, double s, double decayFactor) {
    final double w = decay * decayFactor;
    double square = s * s * gradientSquare.of(scope);
    if (decay > 0) square += w * (2 * s * gradientParameter.term.of(scope) + w * parameterSquare.term.of(scope));
    return square;
  }

  /** {@code <s g + w x, u>} of a scope. */
  double product(int scope, double s, double decayFactor) {
    double product = s * gradientDirection.of(scope);
    if (decay > 0) product += decay * decayFactor * parameterDirection.term.of(scope);
    return product;
  }

  /** {@code |u|^2} of a scope. */
  double directionSquare(int scope) {
    return directionSquare.of(scope);
  }

  /** Adds |g|_1 to the sums, where the sweep has it. */
  void addL1(GradientGuard guard) {
    guard.addL1(observe, sums);
  }

  /** Words that the sweep reads per element. */
  int words() {
    return observe.words();
  }
}
