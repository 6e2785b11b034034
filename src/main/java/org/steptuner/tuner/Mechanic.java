// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.steptuner.DataType;
import org.steptuner.ParameterSet;
import org.steptuner.Scope;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Rule;

/**
 * Mechanic: learns the scale of any base rule's steps while it trains. Cutkosky, Defazio and Mehta, "Mechanic: A Learning Rate Tuner"
 * (2023), algorithm 1.
 *
 * <pre>
 * u = the base rule's step at x;  Delta &lt;- Delta + u;  x &lt;- reference + S Delta
 * h = &lt;Delta, g + c y&gt;,  c = decay S |g| / (|y| + epsilon)       (Delta, S before the step; y: see Variant)
 * S = sum of s_i, which n learners bet with the feedback h          (see MechanicScalars)
 * </pre>
 *
 * <p>The base rate matters little, since S makes up for it; leave it at 1 and give a schedule if training wants one.
 *
 * <p>State: two words per element over the base rule's (Delta and the reference), one with {@link Delta#RECOMPUTED}. Words moved per
 * element over AdamW: 11 (TORCH with decay: 12, of which 1 is the guard against non-finite gradients).
 *
 * <p>x is rebuilt from the reference and Delta at every step: a change that the trainer makes to x in between is overwritten. The
 * reference is what x holds at the first step.
 */
public final class Mechanic extends TunerBuilder<Mechanic> {
  /** Which of the published forms. They differ in the scalars and in the decay term's y. */
  public enum Variant {
    /**
     * The authors' PyTorch release: y is x after the base's own step. To know it, the state must be written before the new scale is
     * known, so with decay the gradients are read once more, by the guard.
     */
    TORCH(1e-8),
    /** The release in optax, with which the paper's experiments were made: y is x, as printed in the paper. */
    OPTAX(1e-6),
    /** Algorithm 2 of the paper's appendix C, the form with the proof; y is x. The initial scale is its initial wealth W_0. */
    THEORETICAL(1e-8);

    final double initialScale;

    Variant(double initialScale) {
      this.initialScale = initialScale;
    }
  }

  /** How the sum of the base's steps is kept. */
  public enum Delta {
    /** As a sum, in the state's type. */
    STORED,
    /**
     * As a sum that is multiplied by {@code S / (S + epsilon)} at every step: in exact arithmetic what {@link #RECOMPUTED} gives,
     * without its loss of precision. The releases recompute, so this matches them.
     */
    DISCOUNTED,
    /**
     * Not: {@code (x - reference) / (S + epsilon)}. Saves a word of memory per element. While S is small, x - reference rounds to 0
     * in any type but float64, h is then 0 and S never grows: refused for other types unless {@link Mechanic#allowFreezing} is set.
     */
    RECOMPUTED
  }

  Variant variant = Variant.OPTAX;
  Delta delta;
  double rate = 1;
  double[] betas = {0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999};
  double decay = 0.01;
  double initialScale = Double.NaN;
  double epsilon = 1e-8;
  boolean allowFreezing;

  private Mechanic(Rule rule) {
    super(rule);
  }

  /** Mechanic over a base rule, with nothing to tune. */
  public static Mechanic tuning(Rule rule) {
    return new Mechanic(rule);
  }

  /** The published form; sets the defaults of {@link #initialScale} and {@link #delta}. The default is OPTAX. */
  public Mechanic variant(Variant value) {
    variant = Objects.requireNonNull(value, "variant");
    return this;
  }

  /** How Delta is kept. The default is STORED for TORCH and THEORETICAL, and DISCOUNTED for OPTAX, which recomputes. */
  public Mechanic delta(Delta value) {
    delta = Objects.requireNonNull(value, "delta");
    return this;
  }

  /** Accepts {@link Delta#RECOMPUTED} in types in which the scale may stay at 0 for ever. */
  public Mechanic allowFreezing() {
    allowFreezing = true;
    return this;
  }

  /** The rate of the base rule. The default is 1. */
  public Mechanic baseRate(double value) {
    rate = checkRate(value);
    return this;
  }

  /**
   * The discounts of the learners, one each.
   *
   * @param values one or more, in [0, 1]; the default is 0.9, 0.99, ... 0.999999
   */
  public Mechanic betas(double... values) {
    Objects.requireNonNull(values, "betas");
    if (values.length == 0) throw new IllegalArgumentException("betas must not be empty");
    for (double beta : values)
      if (!(beta >= 0 && beta <= 1)) throw new IllegalArgumentException("betas must be in [0, 1], not " + beta);
    betas = values.clone();
    return this;
  }

  /** lambda, the weight of the decay term in h; not negative, 0.01 by default. Not the base rule's own weight decay. */
  public Mechanic decay(double value) {
    if (!(value >= 0 && value <= Double.MAX_VALUE))
      throw new IllegalArgumentException("decay must be finite and not negative, not " + value);
    decay = value;
    return this;
  }

  /** s_init, the first scale: far below the right one. The default is the variant's: 1e-8, and 1e-6 for OPTAX. */
  public Mechanic initialScale(double value) {
    if (!(value > 0 && value <= Double.MAX_VALUE))
      throw new IllegalArgumentException("initialScale must be finite and positive, not " + value);
    initialScale = value;
    return this;
  }

  /** Keeps divisions finite; positive, 1e-8 by default. */
  public Mechanic epsilon(double value) {
    if (!(value > 0 && value <= Double.MAX_VALUE))
      throw new IllegalArgumentException("epsilon must be finite and positive, not " + value);
    epsilon = value;
    return this;
  }

  /**
   * What shares a scale. The default is ALL, as in the paper. {@link Scope#TENSOR} learns one per tensor; biases and last layers may
   * then get very small scales, which cost a little accuracy on Fashion-MNIST (examples/results): a group per layer is the milder
   * choice.
   */
  public Mechanic scope(Scope value) {
    scope = Objects.requireNonNull(value, "scope");
    return this;
  }

  @Override
  void check(ParameterSet parameters) {
    if (variant == Variant.THEORETICAL && delta() != Delta.STORED)
      throw new IllegalArgumentException(
          "variant THEORETICAL needs delta STORED, not " + delta() + ": its first scale is 0, which the other two never leave");
    if (delta() == Delta.RECOMPUTED && !allowFreezing)
      for (ParameterSet.Tensor tensor : parameters.tensors())
        if (tensor.parameterType() != DataType.FLOAT64)
          throw new IllegalArgumentException(
              "delta RECOMPUTED needs FLOAT64 parameters, and tensor '" + tensor.name() + "' is " + tensor.parameterType()
                  + ": while the scale is small, x - reference rounds to 0 and the scale stays 0; use STORED, or allowFreezing()");
  }

  @Override
  TunedOptimizer optimizer(Engine engine) {
    return new MechanicOptimizer(engine, this);
  }

  @Override
  List<String> tunerSlots() {
    return delta() == Delta.RECOMPUTED ? List.of("reference") : List.of("delta", "reference");
  }

  @Override
  boolean guarded() {
    return MechanicOptimizer.Arrangement.of(this).guarded(this);
  }

  Delta delta() {
    return delta != null ? delta : variant == Variant.OPTAX ? Delta.DISCOUNTED : Delta.STORED;
  }

  double initialScale() {
    return Double.isNaN(initialScale) ? variant.initialScale : initialScale;
  }

  @Override
  boolean observesL1() {
    return delta() != Delta.RECOMPUTED && !(variant == Variant.TORCH && decay > 0);
  }

  @Override
  String description() {
    return "Mechanic[variant=" + variant + ", delta=" + delta() + ", rate=" + rate + ", betas=" + Arrays.toString(betas)
        + ", decay=" + decay + ", initialScale=" + initialScale() + ", epsilon=" + epsilon + common() + "]";
  }
}
