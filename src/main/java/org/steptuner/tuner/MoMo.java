// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.List;
import java.util.Objects;
import org.steptuner.ParameterSet;
import org.steptuner.internal.engine.Description;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Rule;

/**
 * MoMo and MoMo-Adam: a rate from the loss, by a model of it that averages past losses and gradients and does not go below a known
 * bound. Schaipp, Ohana, Eickenberg, Defazio and Gower, "MoMo: Momentum Models for Adaptive Learning Rates" (2023), algorithms 1 and
 * 2, in the form of the authors' release or of optax.
 *
 * <p>With k = 1 + rate decay and c = 1, or 1 - beta^t where averages start at 0 (MoMo-Adam, and the others with {@link #biasCorrection}):
 *
 * <pre>
 * f &lt;- beta f + (1 - beta) loss;  gamma &lt;- beta gamma + (1 - beta) &lt;x, g&gt;;  m &lt;- beta m + (1 - beta) g
 * D   = 1                                          over SGD (MoMo)
 *     = sqrt(v / (1 - beta2^t)) + epsilon          over Adam and AdamW (MoMo-Adam),  v &lt;- beta2 v + (1 - beta2) g^2
 *     = sqrt(v) + epsilon, or sqrt(v + epsilon)    over RMSProp,  v &lt;- alpha v + (1 - alpha) g^2
 *     = sqrt(v) + epsilon                          over AdaGrad,  v &lt;- v + g^2
 * tau = min(rate / c, max(k (f - c bound) + &lt;x, m&gt; - k gamma, 0) / &lt;m, m / D&gt;)
 * x  &lt;- (x - tau m / D) / k
 * </pre>
 *
 * Without bias correction the averages start at the first loss, gradient and product. Where {@code <m, m / D>} is 0, tau is 0.
 *
 * <p>Certainty: over SGD, Adam and AdamW this is the release, with recorded runs of it. The paper derives the step for any positive
 * diagonal D and any momentum that is an average of gradients; RMSProp and AdaGrad are that formula with their D, which neither the paper's
 * experiments nor the releases have. Nesterov's momentum is no such average, and the releases have none.
 *
 * <p>A step needs the loss at x: {@code step(loss)}. tau is reported as the learned scale. There is one tau for all tensors, because there
 * is one loss; with several processes it is the mean of theirs.
 *
 * <p>{@link org.steptuner.Optimizer#scalars} has loss_avg (f), gamma, lb (the bound), tau, tau_unlimited (what tau would be without the
 * upper limit) and t.
 *
 * <p>State: one word per element (m), and one more (v) where D is not 1. Words moved per element: MoMo 8, the others 11; the guard against
 * non-finite gradients moves no more, clipping moves one more. A step reads sums back once.
 *
 * <p>Where the rate is 0, tau is 0: x stays, and the averages are still updated, as in the release. A momentumSchedule multiplies beta. It
 * is for MoMo without bias correction: c is the weight that averages have in all, and 1 - beta^t is that only for a constant beta.
 *
 * <p>Known to fail: with a bound above the least loss, steps are too short, and 0 once the loss is below the bound ({@link
 * org.steptuner.StepReport#hold} says so); with one far below it (the default, 0, where the loss cannot
 * reach 0), tau is only the upper limit, {@code rate}. Over AdaGrad D only grows, so tau reaches that limit sooner or later.
 * {@link #estimateBound} stalls on full-batch iris (loss 0.84 instead of 0.08 in the recorded runs).
 */
public final class MoMo extends TunerBuilder<MoMo> {
  /** The published forms. They differ in the decay and in the least {@code <m, m / D>}. */
  public enum Variant {
    /** The authors' PyTorch release. */
    TORCH,
    /** optax: {@code x <- x / k - tau m / D}; tau is 0 where {@code <m, m / D>} is at most 2.2e-16. */
    OPTAX
  }

  /** How MoMo-Adam applies decay. */
  public enum Decay {
    /** x is divided by k after the step, as the model gives it. */
    DIVIDE,
    /** x is multiplied by {@code 1 - rate decay} before the step, as AdamW does; not in optax's form. */
    MULTIPLY
  }

  final MoMoForm form;
  Variant variant = Variant.TORCH;
  Decay decay = Decay.DIVIDE;
  double rate;
  double beta;
  double bound;
  boolean estimateBound;
  boolean biasCorrection;

  private MoMo(Rule rule) {
    super(rule);
    form = MoMoForm.of(rule);
    rate = form.divides() ? 0.01 : 1;
    beta = Double.isNaN(form.beta()) ? 0.9 : form.beta();
  }

  /**
   * MoMo over SGD, MoMo-Adam, or MoMo with the D of RMSProp or AdaGrad. Every decay is decoupled.
   *
   * @param rule SGD, whose momentum is beta (0.9 in the paper; here an average, and not a sum, of gradients); AdamW, or Adam without
   *     decay; RMSProp, whose momentum is beta in the same sense; AdaGrad without rateDecay, see {@link #beta}
   */
  public static MoMo tuning(Rule rule) {
    return new MoMo(rule);
  }

  /** The weight of the old average of gradients, in [0, 1), over AdaGrad, which has none of its own. 0.9 by default. */
  public MoMo beta(double value) {
    if (!Double.isNaN(form.beta())) throw new IllegalArgumentException("beta is part of the rule, " + rule);
    if (!(value >= 0 && value < 1)) throw new IllegalArgumentException("beta must be in [0, 1), not " + value);
    beta = value;
    return this;
  }

  /** The largest rate, finite and not negative: tau is at most maxRate / c. The default is 1, and 0.01 where D is not 1. */
  public MoMo maxRate(double value) {
    rate = Check.rate(value);
    return this;
  }

  /** The published form. The default is TORCH. */
  public MoMo variant(Variant value) {
    variant = Objects.requireNonNull(value, "variant");
    return this;
  }

  /** How MoMo-Adam applies decay. The default is DIVIDE. */
  public MoMo decay(Decay value) {
    decay = Objects.requireNonNull(value, "decay");
    return this;
  }

  /** A lower bound of the loss, finite; 0 by default. */
  public MoMo bound(double value) {
    if (!Double.isFinite(value)) throw new IllegalArgumentException("bound must be finite, not " + value);
    bound = value;
    return this;
  }

  /** MoMo*: estimates the bound while training; {@link #bound} is then the least value of the estimate. Off by default. */
  public MoMo estimateBound(boolean value) {
    estimateBound = value;
    return this;
  }

  /** Starts averages at 0 and corrects their bias. Off by default; MoMo-Adam always does it. */
  public MoMo biasCorrection(boolean value) {
    biasCorrection = value;
    return this;
  }

  @Override
  void check(ParameterSet parameters) {
    groups.forEach((name, group) -> {
      if (!group.rule().equals(rule) || group.rateFactor() != 1)
        throw new IllegalArgumentException("MoMo has one model for all tensors: group '" + name + "' must not differ from " + rule);
    });
    if (momentumSchedule != null && corrected())
      throw new IllegalArgumentException("momentumSchedule: MoMo's model with bias correction needs the same momentum at every step");
    if (decay == Decay.MULTIPLY && !form.corrects()) throw new IllegalArgumentException("decay MULTIPLY is for MoMo-Adam, not for " + rule);
    if (decay == Decay.MULTIPLY && variant == Variant.OPTAX) throw new IllegalArgumentException("optax has no decay MULTIPLY");
  }

  @Override
  TunedOptimizer optimizer(Engine engine) {
    return new MoMoOptimizer(engine, this);
  }

  @Override
  boolean guarded() {
    return clips();
  }

  /** Whether averages start at 0. */
  boolean corrected() {
    return biasCorrection || form.corrects();
  }

  @Override
  boolean observesL1() {
    return true;
  }

  @Override
  List<String> ruleSlots() {
    return form.divides() ? List.of("momentum", "square") : List.of("momentum");
  }

  @Override
  Description describe() {
    return new Description("MoMo").form("variant", variant).form("biasCorrection", corrected()).setting("maxRate", rate)
        .setting("beta", beta).setting("bound", bound).setting("estimateBound", estimateBound).setting("decay", decay);
  }
}
