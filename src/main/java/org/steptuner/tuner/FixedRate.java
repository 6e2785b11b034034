// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.internal.engine.Description;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.FixedSteps;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Rule;

/**
 * A rule at a given rate, times the schedule: {@code x <- x + u(g, x; rate * schedule)}, with the step u of the rule.
 *
 * <p>Words per element: 3 over SGD, and 2 more for each word of a rule's state (SGD with momentum 5, AdamW 7, Adan 11); one more for the
 * guard against non-finite gradients or for clipping, unless both are off.
 */
public final class FixedRate extends TunerBuilder<FixedRate> {
  private final double rate;

  private FixedRate(double rate, Rule rule) {
    super(rule);
    this.rate = Check.rate(rate);
  }

  /**
   * A rule at a rate.
   *
   * @param rate finite and not negative
   * @param rule any rule
   */
  public static FixedRate of(double rate, Rule rule) {
    return new FixedRate(rate, rule);
  }

  @Override
  boolean takesAverages() {
    return true;
  }

  @Override
  boolean guarded() {
    return needsNorm();
  }

  @Override
  TunedOptimizer optimizer(Engine engine) {
    return new FixedSteps(engine, rate);
  }

  @Override
  Description describe() {
    return new Description("FixedRate").setting("rate", rate);
  }
}
