// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.ArrayList;
import java.util.List;
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

  /** The rule's slots, which must start from the same value in all groups. */
  List<StateSlot> slots(List<String> names) {
    final List<StateSlot> slots = new ArrayList<>();
    for (String name : names) {
      final double value = rules[0].initialValue(name);
      for (Rule rule : rules)
        if (rule.initialValue(name) != value)
          throw new IllegalArgumentException("all groups must start " + name + " from the same value, " + value);
      slots.add(new StateSlot(name, value, rules[0].followsParameters(name)));
    }
    return slots;
  }
}
