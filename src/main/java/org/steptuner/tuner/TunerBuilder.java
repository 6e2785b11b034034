// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.javacpp.Pointer;
import org.steptuner.DataType;
import org.steptuner.LossScale;
import org.steptuner.NonFinite;
import org.steptuner.Optimizer;
import org.steptuner.ParameterRounding;
import org.steptuner.ParameterSet;
import org.steptuner.Schedule;
import org.steptuner.Scope;
import org.steptuner.SumReducer;
import org.steptuner.internal.engine.Changeable;
import org.steptuner.internal.engine.Description;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.GradientGuard;
import org.steptuner.internal.engine.Precision;
import org.steptuner.internal.engine.Settings;
import org.steptuner.rule.Rule;

/**
 * The settings that all tuners have. They may be given in any order, and every setting returns the builder. {@link #build} checks them
 * together and copies them: changing a builder afterwards changes no optimizer.
 *
 * @param <B> the tuner's own builder
 */
public abstract sealed class TunerBuilder<B extends TunerBuilder<B>> extends TunerForm implements Cloneable
    permits Armijo, CDAT, DAdaptation, DistanceAdaptation, DoG, ExactSharpness, FixedRate, GradaGrad, Hypergradient, Mechanic, MetaOptimize,
    MoMo, MovingTarget, NewtonRate, Polyak, Prodigy {
  Map<String, Settings.Group> groups = new LinkedHashMap<>();
  Schedule schedule = Schedule.constant();
  Schedule momentumSchedule; // null: none was given
  Schedule decaySchedule;
  Scope scope = Scope.ALL;
  NonFinite nonFinite = NonFinite.SKIP;
  double gradientMultiplier = 1;
  double clipNorm = Double.POSITIVE_INFINITY;
  SumReducer sumReducer;
  boolean gradientL1;
  long tuneFor = Settings.ALWAYS;
  double averageDecay = Double.NaN; // no exponential average
  LossScale lossScale; // null: none
  boolean boundedDecay = true;
  DataType stateStorage = DataType.FLOAT32;
  ParameterRounding parameterRounding = ParameterRounding.STOCHASTIC;
  long roundingSeed;
  long stream;

  TunerBuilder(Rule rule) {
    super(rule);
  }

  /** The schedule: a factor on the rate, by step. The default is the constant 1. */
  public B schedule(Schedule value) {
    schedule = Objects.requireNonNull(value, "schedule");
    return self();
  }

  /**
   * A factor on the momentum, by step: {@link Rule#momentum() momentum or beta1} of the rule is multiplied by it. Bias corrections 1 -
   * beta1^t take the present beta1, as PyTorch does. The default is no schedule.
   *
   * <p>{@link #build} refuses a schedule where there is no momentum. A step whose momentum would be out of the rule's range throws
   * {@link IllegalStateException} before anything has changed.
   */
  public B momentumSchedule(Schedule value) {
    momentumSchedule = Objects.requireNonNull(value, "momentumSchedule");
    return self();
  }

  /**
   * A factor on the weight decay of either kind, by step. Decoupled decay is also multiplied by the rate, as without a schedule. The
   * default is no schedule. {@link #build} refuses a schedule where there is no weight decay.
   */
  public B decaySchedule(Schedule value) {
    decaySchedule = Objects.requireNonNull(value, "decaySchedule");
    return self();
  }

  /** What a step does about a gradient or a loss that is infinite or not a number. The default is {@link NonFinite#SKIP}. */
  public B nonFinite(NonFinite value) {
    nonFinite = Objects.requireNonNull(value, "nonFinite");
    return self();
  }

  /** A factor on every gradient, see {@link Optimizer#setGradientMultiplier}. The default is 1. */
  public B gradientMultiplier(double value) {
    gradientMultiplier = GradientGuard.checkMultiplier(value);
    return self();
  }

  /**
   * Whether decoupled weight decay is bounded: a step shrinks a parameter by the rate times the decay, and where that is more than 1, as
   * a tuner's rate may make it, the parameter would change its sign and might grow. It is then shrunk by 1, to 0, before the rule's
   * direction is added, and {@link org.steptuner.StepReport#decayBounded} is true. On by default; off, the decay is that of the papers and
   * of their authors' releases, whatever becomes of it. Decay that is added to the gradient is not meant: it is part of the direction.
   */
  public B boundedDecay(boolean value) {
    boundedDecay = value;
    return self();
  }

  /**
   * Scales the loss, so that small gradients do not underflow: the trainer multiplies it by {@link Optimizer#lossScale} before the backward
   * pass, and gradients are divided by that within the sweeps. The loss given to {@code step(loss)} is not scaled, and clipping and reports
   * are about gradients that are not. Null, the default, is for none. {@link #build} refuses it with {@link NonFinite#UNCHECKED}, which
   * does not notice an overflow.
   */
  public B lossScale(LossScale value) {
    lossScale = value;
    return self();
  }

  /**
   * Clips the gradient to a norm over all tensors: g is multiplied by {@code min(1, norm / (|g| + 1e-6))}. The default is no clipping.
   *
   * @param norm positive
   */
  public B clipNorm(double norm) {
    if (!(norm > 0)) throw new IllegalArgumentException("clipNorm must be positive, not " + norm);
    clipNorm = norm;
    return self();
  }

  /**
   * Whether reports have |g|_1 beside |g|. {@link org.steptuner.ScheduleRefinement} needs it for rules like Adam. The first sweep over the
   * gradients sums it without moving more words: that of the guard, or the first sweep of Mechanic and Prodigy (in their default forms) and
   * MoMo. Other tuners without a guard get one, which moves one word more per element. Off by default.
   */
  public B gradientL1(boolean value) {
    gradientL1 = value;
    return self();
  }

  /**
   * Keeps an exponential average of the parameters: after every step {@code a <- decay a + (1 - decay) x}, with x as it is in memory; after
   * the first one {@code a <- x}. A step that is skipped leaves it as it is. {@link Optimizer#swapAverages} puts it in the place of the
   * parameters. It is the state slot {@code exponentialAverage}, of the state's type, and so saved in checkpoints. Whether there is one is
   * part of the form; the decay is a setting, which a run may change.
   *
   * <p>It costs one word of state per element. On the CPU it goes along with the last sweep of a step and moves 2 words per element more;
   * on a GPU, and where a step moves nothing, it is a sweep of its own of 3 words. The default is no average.
   *
   * @param decay greater than 0 and less than 1, such as 0.999: the average then reaches over some 1 / (1 - decay) steps
   */
  public B exponentialAverage(double decay) {
    if (!(decay > 0 && decay < 1))
      throw new IllegalArgumentException("exponentialAverage: decay must be greater than 0 and less than 1, not " + decay);
    averageDecay = decay;
    return self();
  }

  /**
   * How state is stored. FLOAT32, the default, is as it is computed (FLOAT64 beside FLOAT64 parameters). BFLOAT16 stores statistics in half
   * the bytes: averages, sums, squares, ways. A number of 8 significant bits is left of each, rounded stochastically, so that small
   * changes are right on average: a step of AdamW at a fixed rate then moves 24 bytes per element in place of 32. Copies of the
   * parameters, such as the point at which a run began, are stored as the parameters are. Points that move slowly stay FLOAT32: {@code
   * exponentialAverage}, other averages of iterates, the points of Schedule-Free and MirrorMADGRAD, and MetaOptimize's logarithms of step
   * sizes ({@link org.steptuner.rule.StateKind}). Arithmetic is in float32 always.
   *
   * <p>It is a setting: {@link Optimizer#restore} converts the state of a file that is stored in another way, if settings may differ.
   * {@link #applyTo} refuses another one.
   *
   * @param type FLOAT32 or BFLOAT16; {@link #build} refuses BFLOAT16 beside FLOAT64 parameters, naming the tensor
   * @throws IllegalArgumentException if it is another type
   */
  public B stateStorage(DataType type) {
    Objects.requireNonNull(type, "stateStorage");
    if (type != DataType.FLOAT32 && type != DataType.BFLOAT16)
      throw new IllegalArgumentException("stateStorage must be FLOAT32 or BFLOAT16, not " + type);
    stateStorage = type;
    return self();
  }

  /**
   * How steps round 16-bit parameters. The default is {@link ParameterRounding#STOCHASTIC}. STOCHASTIC and NEAREST are settings, which a
   * run may change. IN_PARTS is part of the form, because it needs a state slot; {@link #build} refuses it for FLOAT16 parameters, naming
   * the tensor.
   */
  public B parameterRounding(ParameterRounding value) {
    parameterRounding = Objects.requireNonNull(value, "parameterRounding");
    return self();
  }

  /** What the random bits of stochastic rounding depend on beside step, tensor and element. The default is 0. */
  public B roundingSeed(long value) {
    roundingSeed = value;
    return self();
  }

  /**
   * Sets the hyperparameters of a parameter group. Other groups have those of the tuner.
   *
   * @param name a group of the parameter set; with a {@link #sumReducer}, of that of any process
   * @param groupRule the same kind of rule with other values
   */
  public B group(String name, Rule groupRule) {
    return group(name, groupRule, 1);
  }

  /**
   * The same, with a factor on the rate.
   *
   * @param name a group of the parameter set; with a {@link #sumReducer}, of that of any process
   * @param groupRule the same kind of rule with other values
   * @param rateFactor finite and not negative
   */
  public B group(String name, Rule groupRule, double rateFactor) {
    Objects.requireNonNull(name, "name");
    Objects.requireNonNull(groupRule, "groupRule");
    Check.notNegative("rateFactor of group '" + name + "'", rateFactor);
    if (!groupRule.kernel().equals(rule.kernel()))
      throw new IllegalArgumentException(
          "group '" + name + "' must use the formula of the tuner's rule, " + rule + ", not of " + groupRule);
    groups.put(name, new Settings.Group(groupRule, rateFactor));
    return self();
  }

  /**
   * Ends tuning after a number of steps, as {@link Optimizer#freeze} does: at the beginning of the step behind them. Where no rate above 0
   * has been learned by then, tuning goes on until there is one. The default is to tune for ever.
   *
   * @param steps 1 or more; {@link #build} refuses a tuner that cannot be frozen
   */
  public B tuneFor(long steps) {
    if (steps < 1) throw new IllegalArgumentException("tuneFor must be 1 step or more, not " + steps);
    tuneFor = steps;
    return self();
  }

  /**
   * How sums are added over all processes that train one model; null, the default, is for one process. All processes must be built with the
   * same settings. They find out in their first step whether they are, and throw {@link IllegalStateException} otherwise.
   */
  public B sumReducer(SumReducer value) {
    sumReducer = value;
    return self();
  }

  /** The stream of a GPU that sweeps run on, see {@link Optimizer#setStream(long)}. */
  public B stream(long value) {
    stream = value;
    return self();
  }

  /** The same for a stream of bytedeco's CUDA presets, see {@link Optimizer#setStream(Pointer)}. */
  public B stream(Pointer value) {
    return stream(value == null ? 0 : value.address());
  }

  /**
   * Makes the optimizer: allocates its state and binds the parameters.
   *
   * @param parameters the tensors to optimize
   * @return the optimizer, which must be closed
   * @throws IllegalArgumentException if settings and parameters do not fit together
   * @throws org.steptuner.DeviceException if there is not enough memory
   */
  public Optimizer build(ParameterSet parameters) {
    Objects.requireNonNull(parameters, "parameters");
    final TunerBuilder<B> frozen = checked(parameters);
    return Engine.build(frozen.settings(parameters), parameters, frozen::optimizer);
  }

  /**
   * Makes a running optimizer go on with these settings, where {@link #build} would make a new one: with other rates and limits, schedules,
   * decay, clipping, betas, callbacks. It keeps its memory, its state, what it has learned, its steps, stream and gradient multiplier. What
   * it has learned is brought within the new limits. The new settings hold from the next step on; they are those of this builder, also
   * where it was not told anything: a schedule that is not set again is gone. Rounding may change between STOCHASTIC and NEAREST, and so
   * may its seed; {@link #stateStorage} and IN_PARTS stay as they are.
   *
   * <p>Tuner and rule must have the same form: what fixes the meaning of the state cannot change, as for a restored {@linkplain
   * Optimizer#restore checkpoint}. In a {@linkplain Optimizer#freeze frozen} run the rate stays that which was learned.
   *
   * <p>Every process of a training must call this between the same steps.
   *
   * @param optimizer of this tuner, open
   * @throws IllegalArgumentException if the settings do not fit to the parameters, or more than settings would change; the message says
   *     what, and the optimizer is as before
   * @throws IllegalStateException if the optimizer is closed, in use or {@linkplain Optimizer#isEvaluating evaluating}
   */
  public void applyTo(Optimizer optimizer) {
    Objects.requireNonNull(optimizer, "optimizer");
    if (!(optimizer instanceof Changeable running))
      throw new IllegalArgumentException("optimizer must be one that this library has built, not a " + optimizer.getClass().getName());
    final TunerBuilder<B> frozen = checked(optimizer.parameters());
    running.change(frozen.settings(optimizer.parameters()), frozen::optimizer);
  }

  private TunerBuilder<B> checked(ParameterSet parameters) {
    final TunerBuilder<B> frozen = frozen();
    if (rule.averageSlot() != null && !takesAverages())
      throw new IllegalArgumentException(
          getClass().getSimpleName() + " does not go over rules that keep an average of iterates, as " + rule + " does");
    if (lossScale != null && nonFinite == NonFinite.UNCHECKED)
      throw new IllegalArgumentException("lossScale needs nonFinite SKIP or THROW: with UNCHECKED no overflow is noticed");
    frozen.precision().check(parameters);
    frozen.check(parameters);
    return frozen;
  }

  /** A copy that nobody else has. What a tuner's fields refer to is never changed, only replaced. */
  @SuppressWarnings("unchecked")
  private TunerBuilder<B> frozen() {
    try {
      final TunerBuilder<B> copy = (TunerBuilder<B>) clone();
      copy.groups = new LinkedHashMap<>(groups);
      return copy;
    } catch (CloneNotSupportedException e) {
      throw new AssertionError(e);
    }
  }

  private Precision precision() {
    return new Precision(stateStorage, parameterRounding, roundingSeed);
  }

  private Settings settings(ParameterSet parameters) {
    final Description description = described();
    precision().describe(description, parameters);
    return new Settings(
        rule, groups, schedule, momentumSchedule, decaySchedule, planScope(), nonFinite, gradientMultiplier, clipNorm, sumReducer,
        gradientL1, stream, description, ruleSlots(), stateSlots(), tuneFor, guarded(), observesL1(), averageDecay, lossScale,
        boundedDecay, precision());
  }

  private Description described() {
    final Description all = describe().form("scope", scope).setting("clipNorm", clipNorm).rule("rule", rule);
    // Where there is none nothing is said, as in files of versions that had none.
    if (!Double.isNaN(averageDecay)) all.form("exponentialAverage", true).setting("exponentialAverage.decay", averageDecay);
    if (!boundedDecay) all.setting("boundedDecay", false);
    if (tuneFor != Settings.ALWAYS) all.setting("tuneFor", tuneFor);
    return all;
  }

  /** The tuner with all of its settings, in words. */
  final String description() {
    return described() + (groups.isEmpty() ? "" : " with groups " + groups);
  }

  /** The largest part that may share coefficients: the scope, unless a tuner needs smaller ones. */
  Scope planScope() {
    return scope;
  }

  /** Whether the norm of the gradients must be known before a sweep that writes parameters or state. */
  final boolean needsNorm() {
    return nonFinite != NonFinite.UNCHECKED || clips();
  }

  final boolean clips() {
    return clipNorm != Double.POSITIVE_INFINITY;
  }

  @SuppressWarnings("unchecked")
  private B self() {
    return (B) this;
  }
}
