// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.lang.reflect.RecordComponent;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.StringJoiner;
import org.steptuner.rule.Rule;

/**
 * What something says of itself: a name, and values by name. Values of its <em>form</em> fix what the numbers in the state mean, and may
 * never differ between a checkpoint and the optimizer that takes it. <em>Settings</em> are numbers and flags that a run may change.
 *
 * <p>A tuner describes itself once; checkpoints and messages use that. Values are text that gives back every double exactly.
 */
public final class Description {
  private static final String FROZEN = "frozen";

  private final String name;
  private final Map<String, String> form = new LinkedHashMap<>();
  private final Map<String, String> settings = new LinkedHashMap<>();

  /** @param name it stays the same when packages are renamed */
  public Description(String name) {
    this.name = name;
  }

  /** Adds a value that fixes the meaning of the state. */
  public Description form(String key, Object value) {
    form.put(key, text(value));
    return this;
  }

  /** Adds a value that may differ from one part of a run to the next. */
  public Description setting(String key, Object value) {
    settings.put(key, text(value));
    return this;
  }

  /** Adds a rule: its name, its formula, and its components as {@code key.component}. */
  public Description rule(String key, Rule rule) {
    form(key, rule.getClass().getSimpleName()).form(key + ".kernel", rule.kernel());
    for (RecordComponent component : rule.getClass().getRecordComponents()) {
      final String of = key + "." + component.getName();
      if (rule.fixesState(component.getName())) form(of, value(rule, component));
      else setting(of, value(rule, component));
    }
    return this;
  }

  /** The same of a run whose tuning has ended. */
  Description frozen() {
    final Description frozen = new Description(name);
    frozen.form.putAll(form);
    frozen.settings.putAll(settings);
    return isFrozen() ? frozen : frozen.form(FROZEN, true);
  }

  boolean isFrozen() {
    return form.containsKey(FROZEN);
  }

  /** What of its form another one does not have, in words; null if both have the same. */
  String differsInForm(Description other) {
    if (!name.equals(other.name)) return "it is " + name + ", not " + other.name;
    final Set<String> keys = new LinkedHashSet<>(form.keySet());
    keys.addAll(other.form.keySet());
    keys.remove(FROZEN);
    for (String key : keys)
      if (!Objects.equals(form.get(key), other.form.get(key))) return key + " is " + form.get(key) + ", not " + other.form.get(key);
    return null;
  }

  private static Object value(Rule rule, RecordComponent component) {
    try {
      return component.getAccessor().invoke(rule);
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException("cannot read " + component.getName() + " of " + rule, e);
    }
  }

  private static String text(Object value) {
    return value instanceof double[] values ? Arrays.toString(values) : String.valueOf(value);
  }

  String name() {
    return name;
  }

  Map<String, String> form() {
    return Collections.unmodifiableMap(form);
  }

  Map<String, String> settings() {
    return Collections.unmodifiableMap(settings);
  }

  /** All values by name, those of the form first. */
  Map<String, String> values() {
    final Map<String, String> all = new LinkedHashMap<>(form);
    all.putAll(settings);
    return all;
  }

  @Override
  public String toString() {
    final StringJoiner text = new StringJoiner(", ", name + "[", "]");
    values().forEach((key, value) -> text.add(key + "=" + value));
    return text.toString();
  }
}
