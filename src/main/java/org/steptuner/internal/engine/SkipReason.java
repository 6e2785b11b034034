// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.List;
import java.util.function.Predicate;
import org.steptuner.NonFiniteTensor;
import org.steptuner.StepReport.Skip;

/**
 * Finds out why a step had to be skipped, when it has been: a sum that is not finite may come from a gradient, a parameter or the state. It
 * looks at the parameters and gradients once, and at the state where nothing else explains it. Where there are several processes all of
 * them skip the step together, and so find the same reason together.
 */
final class SkipReason {
  private static final int MOST_NAMES = 3;

  private final Plan plan;
  private final Report report;
  private final GradientGuard guard;
  private final boolean reduces;
  private final Sweep sweep;
  private final Reduction found;
  private final Reduction.Term parameters;
  private final Reduction ofState;
  private final Reduction.Term state;

  SkipReason(Engine engine) {
    plan = engine.plan;
    report = engine.report;
    guard = engine.guard;
    reduces = engine.settings.sumReducer() != null;
    sweep = plan.bind("non_finite", "");
    found = new Reduction(plan, engine.processes);
    parameters = found.overall(sweep.sum("parameters"));
    ofState = new Reduction(plan, engine.processes);
    state = ofState.overall();
  }

  /** Puts the true reason into the report, which has what the guard saw. */
  void find() {
    if (report.skip != Skip.NON_FINITE_GRADIENT) return;
    sweep.run();
    sweep.await();
    found.collect();
    found.reduce();
    if (parameters.of(0) > 0) report.skip = Skip.NON_FINITE_PARAMETER;
    else if (Double.isFinite(report.gradientNorm)) findInState();
  }

  // The gradients are finite, and so is their norm: a sum with the state is not.
  private void findInState() {
    ofState.collect();
    state.set(0, new Diagnosis(plan).state() ? 1 : 0);
    ofState.reduce();
    if (state.of(0) > 0) report.skip = Skip.NON_FINITE_STATE;
  }

  /** The reason in words, with the names of tensors; for an exception. */
  String inWords() {
    switch (report.skip) {
      case NON_FINITE_LOSS:
        final String others = guard.hasBadLoss() ? ", and that of another process is not finite" : ", and those on trial are not finite";
        return "the loss is " + report.loss + (Double.isFinite(report.loss) ? others : "");
      case NON_FINITE_CURVATURE:
        return "the curvature is not finite, or a rate made of it";
      default:
        return withNames(new Diagnosis(plan));
    }
  }

  private String withNames(Diagnosis diagnosis) {
    return switch (report.skip) {
      case NON_FINITE_PARAMETER -> "a parameter is not finite" + in(diagnosis, NonFiniteTensor::parameters);
      case NON_FINITE_STATE -> "an element of the state is not finite" + in(diagnosis, tensor -> !tensor.slots().isEmpty());
      default -> gradients(diagnosis);
    };
  }

  private String gradients(Diagnosis diagnosis) {
    final String norm = "|g| = " + report.gradientNorm;
    if (diagnosis.tensors().stream().anyMatch(NonFiniteTensor::gradients))
      return "a gradient is not finite, " + norm + in(diagnosis, NonFiniteTensor::gradients);
    final String largest = diagnosis.largestGradient();
    final String where = largest == null ? "" : "; the largest are in tensor '" + largest + "'";
    if (reduces) return "a gradient of another process is not finite, or a sum is too large for its type, " + norm + where;
    return "every gradient is finite, but a sum of them, or a rate made of it, is too large for its type, " + norm + where;
  }

  private String in(Diagnosis diagnosis, Predicate<NonFiniteTensor> which) {
    final List<String> names = diagnosis.tensors().stream().filter(which).map(NonFiniteTensor::name).toList();
    if (names.isEmpty()) return reduces ? ", in another process" : "";
    final String first = "'" + String.join("', '", names.subList(0, Math.min(names.size(), MOST_NAMES))) + "'";
    final String more = names.size() > MOST_NAMES ? " and " + (names.size() - MOST_NAMES) + " more" : "";
    return ", in tensor" + (names.size() > 1 ? "s " : " ") + first + more;
  }
}
