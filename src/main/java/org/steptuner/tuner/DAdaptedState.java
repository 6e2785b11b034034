// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.List;
import org.steptuner.internal.engine.Plan;
import org.steptuner.internal.engine.Sweep;

/**
 * What D-Adaptation's forms make of a rule's state, and how it becomes what the rule alone would have: averages of gradients have the rate
 * as their gain, and the rule's have not. Where the tuner did not correct a bias, the rule is going to; the average is taken as corrected.
 *
 * @param hyperparameters by group
 * @param corrected whether the tuner corrects the bias of averages
 * @param gains by segment: the rate that is divided out, of the present d and the last step's schedule
 * @param momentumFactor of the last step's schedule
 * @param steps that were made
 */
record DAdaptedState(
    Plan plan, Hyperparameters[] hyperparameters, boolean corrected, double[] gains, double momentumFactor, long steps) {
  /** Sweeps that make the rule's state of a form's. */
  List<Sweep> ofRule(DAdaptation.Form form) {
    return switch (form) {
      case SGD -> hyperparameters[0].orZero("momentum") == 0 ? List.of() : List.of(buffer());
      case ADAM -> List.of(gained("momentum", "beta1"), corrected("square", "beta2"));
      case LION -> List.of(Sweep.scaling(plan, "momentum", this::inverseGain));
      case ADAN -> List.of(gained("momentum", "beta1"), gained("difference", "beta2"), corrected("square", "beta3"));
      case ADAGRAD -> throw new IllegalStateException("no rule goes on with averaged duals");
    };
  }

  private Sweep gained(String slot, String beta) {
    return Sweep.scaling(plan, slot, segment -> bias(segment, beta) * inverseGain(segment));
  }

  private Sweep corrected(String slot, String beta) {
    return Sweep.scaling(plan, slot, segment -> bias(segment, beta));
  }

  private double inverseGain(int segment) {
    return gains[segment] > 0 ? 1 / gains[segment] : 1;
  }

  private double bias(int segment, String beta) {
    final double factor = beta.equals("beta1") ? momentumFactor : 1;
    return corrected ? 1 : 1 - Math.pow(hyperparameters[plan.group(segment)].get(beta) * factor, steps);
  }

  // The way from the point x0 - s to x, by the rate with which gradients came into it.
  private Sweep buffer() {
    final double momentum = hyperparameters[0].orZero("momentum") * momentumFactor;
    final Sweep buffer = plan.bind("dadaptation_buffer", "");
    for (int segment = 0; segment < plan.segments(); ++segment)
      buffer.put("factor", gains[segment] * momentum > 0 ? 1 / (gains[segment] * momentum) : 0).set(segment);
    return buffer;
  }
}
