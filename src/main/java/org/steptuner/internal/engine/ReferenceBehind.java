// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.Map;
import java.util.function.IntToDoubleFunction;

/**
 * For tuners that rebuild x as {@code reference + factor way}, with the slot {@code reference} and another one: puts the reference where it
 * fits an x that others have written, or a factor that has changed. Words per element: 4.
 */
public final class ReferenceBehind {
  private final Plan plan;
  private final String way;
  private Sweep sweep; // null until it is first needed

  /** @param way the other slot */
  public ReferenceBehind(Plan plan, String way) {
    this.plan = plan;
    this.way = way;
  }

  /**
   * {@code reference <- x - factor way}. Where x is what would be rebuilt, the reference stays.
   *
   * @param factor by segment
   */
  public void run(IntToDoubleFunction factor) {
    if (sweep == null) sweep = plan.bind("reference_behind", "", Map.of("way", way));
    for (int segment = 0; segment < plan.segments(); ++segment) {
      sweep.put("factor", factor.applyAsDouble(segment));
      sweep.set(segment);
    }
    sweep.run();
  }
}
