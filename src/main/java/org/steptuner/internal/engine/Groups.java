// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.steptuner.ParameterSet;
import org.steptuner.rule.Rule;

/** The rule of each parameter group and its factor on the rate, by the group's place in {@link ParameterSet#groups}. */
final class Groups {
  private final Rule[] rules;
  private final double[] rateFactors;
  private final List<Rule> everywhere;
  private final Settings.Group[] all; // all groups, those of other processes too

  Groups(Settings settings, ParameterSet parameters) {
    final boolean shared = settings.sumReducer() != null;
    // Where there are several processes, another one may have the tensors of a group.
    for (String group : settings.groups().keySet())
      if (!shared && !parameters.groups().contains(group))
        throw new IllegalArgumentException("the parameter set has no group '" + group + "'; it has " + parameters.groups());
    final int count = parameters.groups().size();
    rules = new Rule[count];
    rateFactors = new double[count];
    for (int g = 0; g < count; ++g) {
      final Settings.Group group = settings.groups().get(parameters.groups().get(g));
      rules[g] = group == null ? settings.rule() : group.rule();
      rateFactors[g] = group == null ? 1 : group.rateFactor();
    }
    final Set<Settings.Group> groups = new LinkedHashSet<>();
    for (int g = 0; g < count; ++g) groups.add(new Settings.Group(rules[g], rateFactors[g]));
    if (shared) {
      groups.add(new Settings.Group(settings.rule(), 1));
      groups.addAll(settings.groups().values());
    }
    all = groups.toArray(Settings.Group[]::new);
    everywhere = groups.stream().map(Settings.Group::rule).distinct().toList();
  }

  Rule rule(int group) {
    return rules[group];
  }

  double rateFactor(int group) {
    return rateFactors[group];
  }

  /**
   * The rules of all groups, those of other processes too. What a tuner decides by them, such as whether it needs a sum, is the same in
   * every process.
   */
  List<Rule> everywhere() {
    return everywhere;
  }

  /**
   * The largest decoupled decay of any group, times its factor on the rate; the same in every process.
   *
   * @param factor on all decays
   */
  double largestDecay(double factor) {
    double largest = 0;
    for (Settings.Group group : all) largest = Math.max(largest, group.rateFactor() * (group.rule().decoupledDecay() * factor));
    return largest;
  }

  /** The rule's slots, which must start from the same value in all groups. */
  List<StateSlot> slots(List<String> names) {
    final List<StateSlot> slots = new ArrayList<>();
    for (String name : names) {
      final double value = rules[0].initialValue(name);
      for (Rule rule : everywhere)
        if (rule.initialValue(name) != value)
          throw new IllegalArgumentException("all groups must start " + name + " from the same value, " + value);
      slots.add(new StateSlot(name, value, rules[0].followsParameters(name), rules[0].stateKind(name)));
    }
    return slots;
  }
}
