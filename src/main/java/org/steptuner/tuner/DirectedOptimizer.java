// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.steptuner.ParameterSet;
import org.steptuner.internal.SlotVector;
import org.steptuner.internal.Sweep;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;

/**
 * A tuner that forms the base rule's step u at the rate 1, finds a rate eta for it, and then makes the step {@code x + eta u}. Until eta
 * is known only scratch memory is written, and the parameters where a trial needs them displaced; those are put back bit for bit.
 */
abstract class DirectedOptimizer extends TunedOptimizer {
  /** How a tuner makes itself known in checkpoints and reports. */
  static final String RATE = "eta";

  double eta;
  /** {@code <g, u>} with the gradient of the loss, which clipping does not change. */
  double slope;
  double gradientSquare;
  double directionSquare;
  double parameterSquare;

  private final double[] terms = new double[4]; // the sums of the sweep that forms u, in their order
  private final double[] values = new double[16];
  private final int count; // of the rule's coefficients
  private final boolean trials;
  private final Sweep direction; // null where u itself is not needed
  private final Sweep apply;
  private final Sweep keep; // null without trials
  private final Sweep trial;
  private SlotVector vector;

  /**
   * @param guarded whether the gradients must be read ahead of all sweeps
   * @param directed whether u is needed at all
   * @param trials whether {@link #displace} will be called
   */
  DirectedOptimizer(TunerBuilder<?> settings, ParameterSet parameters, boolean guarded, boolean directed, boolean trials) {
    super(settings, parameters, List.of(), guarded);
    this.trials = trials;
    count = rule(0).coefficientNames().size();
    try {
      if (directed) plan.addScratch("direction");
      if (trials) plan.addScratch("reference");
      direction = directed ? plan.bind("direction", ruleKernel()) : null;
      // A trial that is accepted must be the step: the same sum of x and eta u.
      apply = plan.bind(trials ? "hypergradient_apply" : "fixed_rate", ruleKernel());
      keep = trials ? plan.bind("mechanic_reference", "") : null;
      trial = trials ? plan.bind("trial", "") : null;
    } catch (RuntimeException | Error e) {
      plan.close();
      throw e;
    }
    report.learnedScale[0] = eta;
  }

  /** The rules whose step is a multiple of their rate, and whose native formula there is. */
  static void checkRule(String tuner, Rule rule) {
    if (!(rule instanceof SGD || rule instanceof RMSProp || rule instanceof Adam || rule instanceof AdamW))
      throw new IllegalArgumentException(tuner + " goes over SGD, RMSProp, Adam and AdamW, not over " + rule);
  }

  @Override
  double baseRate() {
    return 1;
  }

  /** u, for the trainer. */
  final SlotVector direction() {
    if (vector == null) vector = new SlotVector(plan, "direction");
    return vector;
  }

  /** Forms u and takes its sums. False: skip the step. */
  final boolean observe(long step) {
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int group = plan.group(segment);
      rule(group).coefficients(rateFactor(group), step, values);
      direction.set(segment, 0, sourceScale());
      direction.set(segment, 1, values, count);
    }
    direction.run();
    final double[] sums = direction.sums();
    Arrays.fill(terms, 0);
    for (int row = 0; row < sums.length; row += terms.length)
      for (int column = 0; column < terms.length; ++column) terms[column] += sums[row + column];
    if (badLoss()) terms[0] = Double.NaN;
    reduce(terms, terms.length);
    if (!guarded() && !accept(terms[0])) return false;
    for (double term : terms) if (refuses(term)) return false;
    gradientSquare = gradientMultiplier() * gradientMultiplier() * terms[0];
    slope = gradientMultiplier() * terms[1];
    directionSquare = terms[2];
    parameterSquare = terms[3];
    return true;
  }

  /** Keeps the parameters, so that they can be displaced. */
  final void keep() {
    keep.run();
  }

  /** Moves the parameters to what was kept plus {@code rate} u; at 0 they are what was kept, bit for bit. */
  final void displace(double rate) {
    for (int segment = 0; segment < plan.segments(); ++segment) trial.set(segment, 0, rate);
    trial.run();
    trial.sums(); // the trainer's work may be on another stream
  }

  /** Makes the step {@code x + rate u}, and notes the rate. */
  final void apply(long step, double rate) {
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int group = plan.group(segment);
      apply.set(segment, 0, sourceScale());
      rule(group).coefficients(trials ? rateFactor(group) : rate * rateFactor(group), step, values);
      if (trials) apply.set(segment, 1, rate);
      apply.set(segment, trials ? 2 : 1, values, count);
    }
    apply.run();
    report.learnedScale[0] = eta;
  }

  /** Words of a step without u. */
  final int applyWords() {
    return apply.words();
  }

  @Override
  int sweepWords() {
    return (direction == null ? 0 : direction.words()) + apply.words();
  }

  /** Words of keeping the parameters, and of one displacement. */
  final int keepWords() {
    return keep.words();
  }

  final int trialWords() {
    return trial.words();
  }

  @Override
  void saveScalars(Map<String, double[]> to) {
    to.put(RATE, new double[] {eta});
  }

  @Override
  void restoreScalars(Map<String, double[]> from) {
    eta = from.get(RATE)[0];
    report.learnedScale[0] = eta;
  }
}
