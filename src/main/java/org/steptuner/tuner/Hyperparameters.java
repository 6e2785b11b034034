// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.HashMap;
import java.util.Map;
import java.util.function.IntFunction;
import org.steptuner.rule.Coefficients;
import org.steptuner.rule.Rule;

/**
 * What tuners with a formula of their own take from a rule: the coefficients that it has at the rate 1, by name. Those that do not depend
 * on rate and step, such as {@code beta1}, are its hyperparameters.
 */
final class Hyperparameters implements Coefficients {
  private static final Double NONE = 0.0;

  private final Map<String, Double> values = new HashMap<>();

  private Hyperparameters() {}

  /** At the first step. */
  static Hyperparameters of(Rule rule) {
    return of(rule, 1);
  }

  static Hyperparameters of(Rule rule, long step) {
    final Hyperparameters of = new Hyperparameters();
    rule.coefficients(1, step, of);
    return of;
  }

  /** A value that rules of this kind may lack, 0 then; of every group. */
  static double[] ofGroups(int groups, IntFunction<Rule> rules, String name) {
    final double[] values = new double[groups];
    for (int group = 0; group < groups; ++group) values[group] = of(rules.apply(group)).orZero(name);
    return values;
  }

  @Override
  public Coefficients put(String name, double value) {
    values.put(name, value);
    return this;
  }

  /** A value that every rule of this kind has. */
  double get(String name) {
    final Double value = values.get(name);
    if (value == null) throw new IllegalArgumentException("no '" + name + "' among " + values.keySet());
    return value;
  }

  /** A value that rules of this kind may lack; 0 then. */
  double orZero(String name) {
    return values.getOrDefault(name, NONE);
  }
}
