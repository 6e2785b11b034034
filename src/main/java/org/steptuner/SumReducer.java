// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/**
 * Adds sums over all processes that train one model. Each process owns a part of the parameters, whole tensors or pieces of tensors. What
 * such processes share, and what stops them, is on the page {@code docs/processes.md}.
 *
 * <p>An optimizer calls it within {@code step}: once or twice in most steps, always as often, and with as many sums, as in all other
 * processes. In the first step it calls it some dozen times more, with other counts, until the processes have agreed; so it does again in
 * the first step after {@link Optimizer#freeze} or a change of settings. {@link Optimizer#sitOut} calls it once, and before the first step
 * agrees too. The methods of {@link org.steptuner.curvature.CurvatureInstruments} call it, and no others, so all processes must make these
 * calls together.
 *
 * <p>It must add, not average, in {@code double}, and give every process the same bits. It must succeed in all processes or fail in all of
 * them. It decides how long to wait for a process that does not come, and may throw then; the step passes the exception on.
 */
@FunctionalInterface
public interface SumReducer {
  /**
   * Replaces every element by its total over all processes, the same bits on each of them.
   *
   * @param sums the sums of this process; to be used only during the call
   * @param count the number of leading elements to replace; the same in all processes
   */
  void reduce(double[] sums, int count);
}
