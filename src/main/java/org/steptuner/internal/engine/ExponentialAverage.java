// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.Map;
import org.steptuner.ParameterSet;

/**
 * An exponential average of the parameters, in a slot of the state: after a step {@code a <- decay a + (1 - decay) x}, after the first one
 * {@code a <- x}.
 *
 * <p>It goes along with the sweep that the tuner calls the last one ({@link Sweep#runLast}), or else is a sweep of its own after the step.
 * So it is right for every tuner, whether that names its last sweep or not; both leave the same bits.
 */
final class ExponentialAverage {
  static final String SLOT = "exponentialAverage";

  private final Plan plan;
  private final Sweep copy;
  private final Sweep average;

  /** @param decay greater than 0 and less than 1 */
  ExponentialAverage(Plan plan, double decay) {
    this.plan = plan;
    copy = plan.bind("reference", "", Map.of("reference", SLOT));
    average = plan.bind("exponential_average", "");
    average.put("intake", 1 - decay).setAll();
  }

  /** Before a step. In the first one every tensor gets its parameters, whatever the tuner sweeps over. */
  void begin(long number) {
    plan.follow(number == 1 ? null : average);
  }

  /** After a step that was made, or skipped. */
  void end(long number, boolean made) {
    final boolean waits = plan.takeFollower() != null;
    if (made && number == 1) copy.run();
    else if (made && waits) average.run();
  }

  /** Words that it adds to a step, per element: on the CPU the last sweep has brought the parameters into the cache. */
  static int words(Settings settings, Plan plan) {
    if (!settings.averagesParameters()) return 0;
    return plan.parameters().device().isCpu() ? 2 : plan.inParts() ? 4 : 3;
  }
}
