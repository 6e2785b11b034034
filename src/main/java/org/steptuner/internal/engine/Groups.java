// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import org.steptuner.ParameterSet;
import org.steptuner.rule.Rule;

/** The rule of each parameter group and its factor on the rate, by the group's place in {@link ParameterSet#groups}. */
final class Groups {
  private final Rule[] rules;
  private final double[] rateFactors;

  Groups(Settings settings, ParameterSet parameters) {
    for (String group : settings.groups().keySet())
      if (!parameters.groups().contains(group))
        throw new IllegalArgumentException("the parameter set has no group '" + group + "'; it has " + parameters.groups());
    final int count = parameters.groups().size();
    rules = new Rule[count];
    rateFactors = new double[count];
    for (int g = 0; g < count; ++g) {
      final Settings.Group group = settings.groups().get(parameters.groups().get(g));
      rules[g] = group == null ? settings.rule() : group.rule();
      rateFactors[g] = group == null ? 1 : group.rateFactor();
    }
  }

  Rule rule(int group) {
    return rules[group];
  }

  double rateFactor(int group) {
    return rateFactors[group];
  }

  /** Fills the rule's slots with what they hold before the first step. */
  void initialise(Plan plan, Iterable<String> slots) {
    for (String slot : slots) {
      final double value = rules[0].initialValue(slot);
      for (Rule rule : rules)
        if (rule.initialValue(slot) != value)
          throw new IllegalArgumentException("all groups must start " + slot + " from the same value, " + value);
      if (value != 0) plan.fill(slot, value);
    }
  }
}
