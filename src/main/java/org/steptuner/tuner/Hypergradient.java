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

/**
 * Hypergradient descent: moves the rate of a base rule along the derivative of the loss by the rate of the last step. Baydin, Cornish,
 * Martinez Rubio, Schmidt and Wood, "Online Learning Rate Adaptation with Hypergradient Descent" (2018). MetaOptimize becomes this method
 * when its discount gamma is 0 (appendix B.2 of its paper).
 *
 * <pre>
 * u'   = the base rule's step at the rate 1, of the last step          (u' = 0 at first)
 * rate &lt;- rate - hyperRate &lt;g, u'&gt;                                     additive
 * rate &lt;- rate (1 - hyperRate &lt;g, u'&gt; / (|g| |u'|))                    multiplicative
 * x    &lt;- x + rate u
 * </pre>
 *
 * <p>A weight decay that the rule adds to the gradient ({@link Rule#coupledDecay}) is part of g here as well. Where g or u' is 0, the rate
 * stays. The rate may become negative; see {@link #rateBounds}. In the multiplicative form the rate becomes 0 or negative when the cosine
 * between g and u' is 1 / hyperRate or more, which can happen from a hyperRate of 1 on; a rate of 0 stays 0.
 *
 * <p>State: u', one word per element over the base rule's. Words moved per element: SGD 6, SGD with momentum, RMSProp, AdaGrad and Lion 8,
 * Adam and AdamW 10; 1 more with a decay that is part of the gradient. Non-finite gradients are noticed before anything is written, without
 * an extra pass.
 *
 * <p>{@link org.steptuner.StepReport#learnedScale(int)} is the rate that the step used. A schedule and a group's factor multiply it where
 * it is used.
 */
public final class Hypergradient extends TunerBuilder<Hypergradient> {
  /** The published forms. */
  public enum Variant {
    /** Additive, over any base rule. */
    ADDITIVE,
    /**
     * Additive, as the authors released it for SGD and Adam. With Adam, epsilon is added to the root before its bias is corrected:
     * {@code u = -sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + epsilon)}. Their Adam also depends on the order of the tensors,
     * which {@link Hypergradient#inTensorOrder} asks for.
     */
    ADDITIVE_RELEASED,
    /** Multiplicative, by the cosine between g and u'. */
    MULTIPLICATIVE
  }

  final double initialRate;
  final double hyperRate;
  Variant variant = Variant.ADDITIVE;
  double smallestRate = Double.NEGATIVE_INFINITY;
  double largestRate = Double.POSITIVE_INFINITY;
  boolean tensorOrder;

  private Hypergradient(Rule rule, double initialRate, double hyperRate) {
    super(rule);
    this.initialRate = Check.notNegative("initialRate", initialRate);
    this.hyperRate = Check.notNegative("hyperRate", hyperRate);
  }

  /**
   * Hypergradient descent over a base rule.
   *
   * @param base the base rule
   * @param initialRate the first rate, finite and not negative
   * @param hyperRate the rate of the rate, finite and not negative. In the additive form it has the dimension of rate^2 / loss and must be
   *     chosen for each problem; in the multiplicative form it has no dimension
   */
  public static Hypergradient tuning(Rule base, double initialRate, double hyperRate) {
    return new Hypergradient(base, initialRate, hyperRate);
  }

  /** The published form. The default is ADDITIVE. */
  public Hypergradient variant(Variant value) {
    variant = Objects.requireNonNull(value, "variant");
    return this;
  }

  /**
   * Bounds of the rate. By default there are none, and the rate may become negative.
   *
   * @param smallest may be negative, or negative infinity for no bound
   * @param largest not less than smallest; infinity for no bound
   */
  public Hypergradient rateBounds(double smallest, double largest) {
    if (!(smallest <= largest)) throw new IllegalArgumentException("rate bounds must be ordered, not " + smallest + " and " + largest);
    smallestRate = smallest;
    largestRate = largest;
    return this;
  }

  /** Which tensors share a rate. The default is ALL. */
  public Hypergradient scope(Scope value) {
    scope = Objects.requireNonNull(value, "scope");
    return this;
  }

  /**
   * Updates the one rate tensor by tensor, in the order in which they were added, so each tensor uses the rate after its own update and
   * those of the tensors before it. The authors' release for Adam does this. Only for the scope ALL; a report then has the rate of each
   * tensor. All tensors must be in one process: {@link #build} refuses it together with a {@link #sumReducer}.
   */
  public Hypergradient inTensorOrder() {
    tensorOrder = true;
    return this;
  }

  @Override
  void check(ParameterSet parameters) {
    if (variant == Variant.ADDITIVE_RELEASED && !released())
      throw new IllegalArgumentException("variant ADDITIVE_RELEASED is of SGD and Adam, not of " + rule + "; use ADDITIVE");
    if (initialRate < smallestRate || initialRate > largestRate)
      throw new IllegalArgumentException(
          "initialRate " + initialRate + " must be within the bounds, " + smallestRate + " and " + largestRate);
    if (tensorOrder && scope != Scope.ALL)
      throw new IllegalArgumentException("inTensorOrder is of one rate for all tensors, and the scope is " + scope);
    if (tensorOrder && sumReducer != null)
      throw new IllegalArgumentException("inTensorOrder needs all tensors in one process, and there is a sumReducer");
  }

  @Override
  TunedOptimizer optimizer(Engine engine) {
    return new HypergradientOptimizer(engine, this);
  }

  @Override
  List<String> tunerSlots() {
    return List.of("direction");
  }

  @Override
  boolean guarded() {
    return false;
  }

  // SGD or Adam, which has no decoupled decay.
  private boolean released() {
    return switch (rule.kernel()) {
      case "sgd", "momentum" -> true;
      case "adam" -> rule.decoupledDecay() == 0;
      default -> false;
    };
  }

  @Override
  Scope planScope() {
    return tensorOrder ? Scope.TENSOR : scope;
  }

  @Override
  Description describe() {
    return new Description("Hypergradient").form("variant", variant).form("inTensorOrder", tensorOrder)
        .setting("initialRate", initialRate).setting("hyperRate", hyperRate)
        .setting("rateBounds", smallestRate + " to " + largestRate);
  }
}
