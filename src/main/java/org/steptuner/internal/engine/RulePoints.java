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
  private final IntFunction<Rule> rules; // by group
  private final ScheduledStep step;
  private final Sweep moved; // null for a rule without
  private final Sweep returned; // null for a rule whose point stays while x does

  /** @param step to use again and again */
  RulePoints(Plan plan, String kernel, IntFunction<Rule> rules, ScheduledStep step) {
    this.plan = plan;
    this.rules = rules;
    this.step = step;
    moved = Kernel.has("rule_moved", kernel) ? plan.bind("rule_moved", kernel) : null;
    returned = Kernel.has("rule_returned", kernel) ? plan.bind("rule_returned", kernel) : null;
  }

  /** After x has been written by others. */
  void moved(long steps, double momentumFactor) {
    run(moved, steps, momentumFactor);
  }

  /** After steps of other tensors, in which x stayed. */
  void returned(long steps, double momentumFactor) {
    run(returned, steps, momentumFactor);
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
