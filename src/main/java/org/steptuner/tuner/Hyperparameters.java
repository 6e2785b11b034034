// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.HashMap;
import java.util.Map;
import org.steptuner.rule.Coefficients;
import org.steptuner.rule.Rule;
import org.steptuner.rule.RuleStep;

/**
 * What tuners with a formula of their own take from a rule: the coefficients that it has at the rate 1, by name. Those that do not depend
 * on rate and step, such as {@code beta1}, are its hyperparameters.
 */
final class Hyperparameters implements Coefficients {
  private static final Double NONE = 0.0;

  private final Map<String, Double> values = new HashMap<>();

  private Hyperparameters() {}

  /** At the first step, without schedules. */
  static Hyperparameters of(Rule rule) {
    return of(rule, 1);
  }

  static Hyperparameters of(Rule rule, long step) {
    final Hyperparameters of = new Hyperparameters();
    rule.coefficients(RuleStep.of(1, step), of);
    return of;
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
