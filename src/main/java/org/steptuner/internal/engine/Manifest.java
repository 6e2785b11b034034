// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.steptuner.DataType;
import org.steptuner.ParameterSet;
import org.steptuner.Scope;

/**
 * What the manifest of a checkpoint says. docs/checkpoints.md has the format.
 *
 * @param version of the format
 * @param tuner with its rule, form and settings. For files before version 3 what is form and what is a setting is not known, and all is
 *     among the settings
 * @param groups the groups that have tensors, in the order of their first tensors, with rule and rate
 * @param slots the state slots; for files before version 3 in no order
 * @param storages of the slots that are not stored as they are computed
 * @param scope the extent of a scope
 * @param tensors in their order
 * @param scalars by name; for files before version 3 their kinds are null
 * @param entries the names of the caller's entries; null for files before version 3, which do not say
 * @param unreadable what a file before version 3 says in words that could not be read
 */
record Manifest(
    int version,
    long steps,
    long skippedSteps,
    Description tuner,
    List<Description> groups,
    List<String> slots,
    Map<String, Storage> storages,
    Scope scope,
    List<Tensor> tensors,
    Map<String, Scalars.Values> scalars,
    List<String> entries,
    List<String> unreadable) {
  static final String FORMAT = "steptuner-checkpoint";
  /** Of files in which all state is stored as it is computed; libraries before version 4 read no other. */
  static final int COMPUTED_VERSION = 3;
  static final int VERSION = 4;

  /** A tensor of the file. */
  record Tensor(String name, String group, long count, DataType type) {}

  /** Whether the file is of version 3 or later. */
  boolean structured() {
    return version >= 3;
  }

  /** How a slot is stored. */
  Storage storage(String slot) {
    return storages.getOrDefault(slot, Storage.COMPUTED);
  }

  /** Whether random bits may have had a part in what the numbers are: something has 16 bits. */
  boolean rounds() {
    return haveHalves() || !storages.isEmpty();
  }

  /** Whether some parameters have 16 bits. */
  boolean haveHalves() {
    return tensors.stream().anyMatch(tensor -> tensor.type.bytes() == 2);
  }

  /** What is to be saved, or compared, without entries of the caller. */
  static Manifest of(BoundOptimizer optimizer) {
    return of(optimizer, List.of());
  }

  /** @param entries the names of the caller's entries */
  static Manifest of(BoundOptimizer optimizer, List<String> entries) {
    return of(optimizer, optimizer.settings(), optimizer.stepping(), optimizer.plan.slots(), entries);
  }

  /** The same for steps that an optimizer is to go on with. */
  static Manifest of(BoundOptimizer optimizer, Succession next) {
    return of(optimizer, next.settings(), next.steps(), next.slots(), List.of());
  }

  private static Manifest of(BoundOptimizer optimizer, Settings settings, Steps steps, List<String> slots, List<String> entries) {
    final ParameterSet parameters = optimizer.parameters();
    final List<Description> groups = new ArrayList<>();
    for (String name : parameters.groups()) {
      final Settings.Group own = settings.groups().get(name);
      final Description group = new Description(name).setting("rateFactor", own == null ? 1.0 : own.rateFactor());
      groups.add(group.rule("rule", own == null ? settings.rule() : own.rule()));
    }
    final List<Tensor> tensors =
        parameters.tensors().stream()
            .map(tensor -> new Tensor(tensor.name(), tensor.group(), tensor.count(), tensor.parameterType()))
            .toList();
    final Map<String, Storage> storages = new LinkedHashMap<>();
    for (String slot : slots) if (optimizer.plan.storage(slot) != Storage.COMPUTED) storages.put(slot, optimizer.plan.storage(slot));
    return new Manifest(
        storages.isEmpty() ? COMPUTED_VERSION : VERSION, optimizer.steps(), optimizer.report().skippedSteps(), settings.description(),
        groups, slots, storages, settings.scope(), tensors,
        steps.savedScalars(), entries, List.of());
  }

  /** The numbers of the groups, by name. */
  Map<String, Integer> groupNumbers() {
    final Map<String, Integer> numbers = new HashMap<>();
    for (Description group : groups) numbers.put(group.name(), numbers.size());
    return numbers;
  }

  /** The number of every tensor's group. */
  int[] groupOfTensor() {
    final Map<String, Integer> numbers = groupNumbers();
    return tensors.stream().mapToInt(tensor -> numbers.getOrDefault(tensor.group, -1)).toArray();
  }

  /** The lines, by what stands before the first '='. */
  Map<String, String> lines() {
    final Map<String, String> lines = new LinkedHashMap<>();
    lines.put("format", FORMAT);
    lines.put("version", Integer.toString(version));
    lines.put("steps", Long.toString(steps));
    lines.put("skippedSteps", Long.toString(skippedSteps));
    put("tuner", tuner, lines);
    lines.put("scope", scope.name());
    lines.put("groups", Integer.toString(groups.size()));
    for (int g = 0; g < groups.size(); ++g) put("group." + g, groups.get(g), lines);
    lines.put("slots", Integer.toString(slots.size()));
    for (int s = 0; s < slots.size(); ++s) {
      lines.put("slot." + s, Escaped.escape(slots.get(s)));
      final Storage storage = storage(slots.get(s));
      if (storage != Storage.COMPUTED) lines.put("slot." + s + ".storage", storage.name());
    }
    lines.put("tensors", Integer.toString(tensors.size()));
    final int[] group = groupOfTensor();
    for (int t = 0; t < tensors.size(); ++t) {
      final Tensor tensor = tensors.get(t);
      lines.put(
          "tensor." + t, tensor.type + " " + tensor.count + " " + group[t] + " " + Escaped.escape(tensor.name));
    }
    scalars.forEach(
        (name, scalar) -> lines.put(
            "scalar." + name, scalar.kind() + " " + scalar.per() + " "
                + String.join(",", Arrays.stream(scalar.values()).mapToObj(Double::toHexString).toArray(String[]::new))));
    lines.put("entries", Integer.toString(entries.size()));
    for (int e = 0; e < entries.size(); ++e) lines.put("entry." + e, Escaped.escape(entries.get(e)));
    return lines;
  }

  private static void put(String key, Description description, Map<String, String> lines) {
    lines.put(key, Escaped.escape(description.name()));
    description.form().forEach((name, value) -> lines.put(key + ".form." + name, Escaped.escape(value)));
    description.settings().forEach((name, value) -> lines.put(key + ".setting." + name, Escaped.escape(value)));
  }
}
