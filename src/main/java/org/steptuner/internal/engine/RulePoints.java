// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.function.IntFunction;
import org.steptuner.rule.Rule;

/**
 * The points that rules keep in their state and lead x to, such as MADGRAD's z: puts them at x. Rules that keep steps and sums only have
 * none; which ones have is said where their formula is.
 */
final class RulePoints {
  private final Plan plan;
  private final String kernel;
  private final IntFunction<Rule> rules; // by group
  private final ScheduledStep step;
  private Sweep moved; // sweeps are null until they are first needed
  private Sweep returned;

  /** @param step to use again and again */
  RulePoints(Plan plan, String kernel, IntFunction<Rule> rules, ScheduledStep step) {
    this.plan = plan;
    this.kernel = kernel;
    this.rules = rules;
    this.step = step;
  }

  /** After x has been written by others. */
  void moved(long steps, double momentumFactor) {
    if (moved == null) moved = bind("rule_moved");
    run(moved, steps, momentumFactor);
  }

  /** After steps of other tensors, in which x stayed. */
  void returned(long steps, double momentumFactor) {
    if (returned == null) returned = bind("rule_returned");
    run(returned, steps, momentumFactor);
  }

  /** A sweep; null where the rule has no point for it to move. */
  private Sweep bind(String sweep) {
    return Kernel.has(sweep, kernel) ? plan.bind(sweep, kernel) : null;
  }

  private void run(Sweep sweep, long steps, double momentumFactor) {
    if (sweep == null) return;
    step.begin(steps, momentumFactor, 1);
    for (int segment = 0; segment < plan.segments(); ++segment) {
      rules.apply(plan.group(segment)).coefficients(step.at(1), sweep);
      sweep.set(segment);
    }
    sweep.run();
  }
}
