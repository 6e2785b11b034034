// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.List;
import java.util.Objects;
import org.steptuner.DataType;
import org.steptuner.ParameterSet;
import org.steptuner.Scope;
import org.steptuner.internal.engine.Description;
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
 * <p>The base rate matters little, because S adapts to it. Leave it at 1, and give a schedule if training needs one.
 *
 * <p>State: two words per element over the base rule's (Delta and the reference), one with {@link Delta#RECOMPUTED}. Words moved per
 * element over AdamW: 11 (TORCH with decay: 12, of which 1 is the guard against non-finite gradients).
 *
 * <p>x is rebuilt from the reference and Delta at every step: a trainer that writes into x calls
 * {@link org.steptuner.Optimizer#parametersMoved()}, or its change is overwritten. The
 * reference is what x holds at the first step.
 */
public final class Mechanic extends TunerBuilder<Mechanic> {
  /** The published forms. They differ in the scalars and in the y of the decay term. */
  public enum Variant {
    /**
     * The authors' PyTorch release: y is x after the base rule's own step. To compute y, the state must be written before the new scale is
     * known. So with decay, the guard reads the gradients once more.
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

  /** How Delta, the sum of the base rule's steps, is kept. */
  public enum Delta {
    /** As a sum, in the state's type. */
    STORED,
    /**
     * As a sum that is multiplied by {@code S / (S + epsilon)} at every step. In exact arithmetic this equals {@link #RECOMPUTED}; it
     * avoids the loss of precision of that form. It matches the releases, which recompute.
     */
    DISCOUNTED,
    /**
     * It is not kept, but computed as {@code (x - reference) / (S + epsilon)} at every step. This saves a word of memory per element. While
     * S is small, x - reference rounds to 0 in all types but float64; then h is 0 and S never grows. So other types are refused, unless
     * {@link Mechanic#allowFreezing} is called.
     */
    RECOMPUTED
  }

  Variant variant = Variant.OPTAX;
  Delta delta;
  double rate = 1;
  double[] betas = {0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999};
  double decay = 0.01;
  double initialScale = Double.NaN;
  private static final double LARGEST_FIRST_SCALE = 1e15;

  double epsilon = 1e-8;
  boolean allowFreezing;

  private Mechanic(Rule rule) {
    super(rule);
  }

  /**
   * Mechanic over a base rule, with nothing to tune.
   *
   * @param rule the base rule
   */
  public static Mechanic tuning(Rule rule) {
    return new Mechanic(rule);
  }

  /** The published form; sets the defaults of {@link #initialScale} and {@link #delta}. The default is OPTAX. */
  public Mechanic variant(Variant value) {
    variant = Objects.requireNonNull(value, "variant");
    return this;
  }

  /** How Delta is kept. The default is STORED for TORCH and THEORETICAL, and DISCOUNTED for OPTAX. */
  public Mechanic delta(Delta value) {
    delta = Objects.requireNonNull(value, "delta");
    return this;
  }

  /** Accepts {@link Delta#RECOMPUTED} in types in which the scale may stay at 0 for ever. */
  public Mechanic allowFreezing() {
    allowFreezing = true;
    return this;
  }

  /** The rate of the base rule, finite and not negative. The default is 1. */
  public Mechanic baseRate(double value) {
    rate = Check.rate(value);
    return this;
  }

  /**
   * The discounts of the learners, one for each.
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

  /** lambda, the weight of the decay term in h; not negative, 0.01 by default. It is not the base rule's weight decay. */
  public Mechanic decay(double value) {
    decay = Check.notNegative("decay", value);
    return this;
  }

  /** s_init, the first scale: finite, positive, and far below the right one. The default is 1e-6 for OPTAX, and 1e-8 for the others. */
  public Mechanic initialScale(double value) {
    if (!(value > 0 && value <= Double.MAX_VALUE))
      throw new IllegalArgumentException("initialScale must be finite and positive, not " + value);
    initialScale = value;
    return this;
  }

  /**
   * Added to divisors so that they are not 0; finite and positive. The default is 1e-8. Variant TORCH divides by it alone in its first
   * step, to the scale {@code 1e-6 initialScale / epsilon}: {@link #build} refuses an epsilon that makes this more than 1e15.
   */
  public Mechanic epsilon(double value) {
    if (!(value > 0 && value <= Double.MAX_VALUE))
      throw new IllegalArgumentException("epsilon must be finite and positive, not " + value);
    epsilon = value;
    return this;
  }

  /**
   * Which tensors share a scale. The default is ALL, as in the paper. {@link Scope#TENSOR} learns one per tensor. Biases and last layers
   * may then get very small scales, which cost a little accuracy on Fashion-MNIST (examples/results); a group per layer is a milder
   * choice.
   */
  public Mechanic scope(Scope value) {
    scope = Objects.requireNonNull(value, "scope");
    return this;
  }

  @Override
  void check(ParameterSet parameters) {
    final double first = MechanicScalars.FIRST_MAXIMUM * initialScale() / epsilon;
    if (variant == Variant.TORCH && !(first <= LARGEST_FIRST_SCALE))
      throw new IllegalArgumentException(
          "epsilon " + epsilon + " is too small: variant TORCH begins with the scale 1e-6 initialScale / epsilon, which would be " + first);
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
  boolean followsParameters(String slot) {
    return slot.equals("reference");
  }

  @Override
  boolean takesAverages() {
    return true;
  }

  @Override
  boolean guarded() {
    return MechanicArrangement.of(this).guarded(this);
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
  Description describe() {
    return new Description("Mechanic").form("variant", variant).form("delta", delta()).form("learners", betas.length).setting("rate", rate)
        .setting("betas", betas).setting("decay", decay).setting("initialScale", initialScale()).setting("epsilon", epsilon);
  }
}
