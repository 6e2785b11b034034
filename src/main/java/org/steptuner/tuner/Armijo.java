// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Objects;
import org.steptuner.Optimizer;
import org.steptuner.curvature.LossFunction;
import org.steptuner.internal.engine.Description;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Rule;

/**
 * Backtracking line search with the condition of Armijo and Goldstein. Armijo (1966); as in Roulet et al., "Stepping on the Edge: Curvature
 * Aware Learning Rate Tuners" (2024), equation 1 and appendix C. {@link #stochastic} is the line search of Vaswani, Mishkin, Laradji,
 * Schmidt, Gidel and Lacoste-Julien, "Painless Stochastic Gradient: Interpolation, Line-Search, and Convergence Rates" (2019).
 *
 * <pre>
 * u   = the base rule's step at the rate 1
 * eta = min(increase eta, firstGuess)             firstGuess at the first step
 * while f(x + eta u) &gt; (1 + delta) f(x) + c eta &lt;g, u&gt;:  eta &lt;- decrease eta
 * x  &lt;- x + eta u
 * </pre>
 *
 * f(x) is the loss given to {@link Optimizer#step(double)}. For each trial the optimizer moves the parameters in place to {@code x + eta u}
 * and calls the trainer's {@link LossFunction}, on the batch of the step. After the last trial it puts them back bit for bit and makes the
 * step, which ends exactly at the parameters of that trial: 16-bit parameters that are not {@linkplain
 * org.steptuner.ParameterRounding#IN_PARTS in parts} are rounded to the nearest number in both. A trial whose loss is NaN or positive infinity fails. If all {@link #maxTrials}
 * trials fail, the last and smallest eta is taken. If the loss of the last trial is not finite, the step is skipped. If the trainer throws,
 * nothing has changed. If u is an ascent direction, the condition allows an ascent.
 *
 * <p>g and f are those of the trainer's loss. A weight decay of the rule and clipping change only u. A schedule multiplies eta wherever it
 * is used, in the condition too. {@link CDAT} says over which rules it goes, and what u is over each. Over {@link
 * org.steptuner.rule.Lion}, for example, the slope is about -|g|_1.
 *
 * <p>State over the rule's: none. Scratch memory: two words per element. Words moved per element, beside what the trainer moves: 9 over
 * SGD, 3 more for each word of a rule's state (Lion 12, AdamW 15), 1 more over a supplied update, and 3 for each trial and for the way
 * back.
 *
 * <p>{@link org.steptuner.StepReport#learnedScale()} is eta. {@link Optimizer#scalars} has eta, backtracks (how often it was decreased in
 * the last step) and trial_loss, the loss at the end of the last step.
 */
public final class Armijo extends TunerBuilder<Armijo> {
  final LossFunction loss;
  double c = 1e-4;
  double increase = 4;
  double decrease = 0.8;
  double delta;
  double firstGuess = 1;
  int maxTrials = 100;

  private Armijo(Rule rule, LossFunction loss) {
    super(rule);
    this.loss = Objects.requireNonNull(loss, "loss");
  }

  /**
   * A line search over a base rule.
   *
   * @param base any rule but the Schedule-Free ones
   * @param loss the loss on the batch of the step, at the parameters as they are in memory
   */
  public static Armijo tuning(Rule base, LossFunction loss) {
    return new Armijo(base, loss);
  }

  /**
   * The stochastic line search (SLS) of Vaswani et al. (2019), with the condition of Armijo on the batch: c is 0.1, {@code decrease} 0.9,
   * at most 100 trials, and a step begins at {@code 2^(1 / n)} times the last eta, n being the steps of an epoch ({@link #resetByEpoch}).
   * {@link #firstGuess}, eta_max in the paper, is 1.
   *
   * <p>Formula and values are those of the authors' release; the printed text could not be compared. Two things differ. In the release a
   * guess may grow beyond the first one, and here {@link #firstGuess} bounds all. Where all trials fail, the release steps with 1e-6, and
   * here the smallest eta is taken. Over SGD {@code <g, u>} is -|g|^2, as in the paper; over other rules this is a generalisation of ours.
   *
   * @param base any rule but the Schedule-Free ones; SGD without momentum in the paper
   * @param loss the loss on the batch of the step, at the parameters as they are in memory
   * @param stepsPerEpoch n, 1 or more: examples over the size of a batch
   */
  public static Armijo stochastic(Rule base, LossFunction loss, long stepsPerEpoch) {
    return new Armijo(base, loss).sufficientDecrease(0.1).decrease(0.9).resetByEpoch(2, stepsPerEpoch);
  }

  /** Begins every search at {@link #firstGuess}, as Vaswani et al. may. The same as an infinite {@link #increase}. */
  public Armijo resetToLargest() {
    return increase(Double.POSITIVE_INFINITY);
  }

  /** Begins a search at the last eta, which so never grows, as Vaswani et al. may. The same as an {@link #increase} of 1. */
  public Armijo resetToPrevious() {
    return increase(1);
  }

  /**
   * Begins a search at {@code gamma^(1 / n)} times the last eta, which so grows by gamma in an epoch without a failed trial, as in the
   * release of Vaswani et al. Sets {@link #increase}.
   *
   * @param gamma finite, at least 1; 2 in the release
   * @param stepsPerEpoch n, 1 or more
   */
  public Armijo resetByEpoch(double gamma, long stepsPerEpoch) {
    return increase(Check.growth("gamma", gamma, stepsPerEpoch));
  }

  /** c, the required part of the decrease that the slope predicts, in [0, 1). The default is 1e-4; the paper has 0, 1e-4, 0.5. */
  public Armijo sufficientDecrease(double value) {
    if (!(value >= 0 && value < 1)) throw new IllegalArgumentException("sufficientDecrease must be in [0, 1), not " + value);
    c = value;
    return this;
  }

  /** c+, the factor by which eta may grow from step to step, at least 1; infinity begins every search at firstGuess. The default is 4. */
  public Armijo increase(double value) {
    increase = Check.limit("increase", value, 1);
    return this;
  }

  /** c-, the factor on eta after a trial that fails, in (0, 1). The default is 0.8. */
  public Armijo decrease(double value) {
    if (!(value > 0 && value < 1)) throw new IllegalArgumentException("decrease must be in (0, 1), not " + value);
    decrease = value;
    return this;
  }

  /** delta, the relative increase of the loss that is allowed, finite and not negative. The default is 0. */
  public Armijo allowedIncrease(double value) {
    delta = Check.notNegative("allowedIncrease", value);
    return this;
  }

  /** The first and the largest eta to be tried, finite and positive. The default is 1. */
  public Armijo firstGuess(double value) {
    firstGuess = Check.positive("firstGuess", value);
    return this;
  }

  /** The largest number of trials of a step, 1 or more. The default is 100; the paper has 30 with small batches. */
  public Armijo maxTrials(int value) {
    if (value < 1) throw new IllegalArgumentException("maxTrials must be 1 or more, not " + value);
    maxTrials = value;
    return this;
  }

  @Override
  TunedOptimizer optimizer(Engine engine) {
    return new ArmijoOptimizer(engine, this);
  }

  @Override
  boolean guarded() {
    return clips();
  }

  @Override
  Description describe() {
    return new Description("Armijo").setting("sufficientDecrease", c).setting("increase", increase).setting("decrease", decrease)
        .setting("allowedIncrease", delta).setting("firstGuess", firstGuess).setting("maxTrials", maxTrials);
  }
}
