// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/**
 * Steps of an optimizer that the device makes alone: the tuner's scalars are computed there, between the sweeps, and nothing is read back.
 * So a step can be captured into a CUDA graph, together with the forward and the backward pass, and replayed. See {@code docs/capture.md}.
 *
 * <pre>{@code
 * try (CapturableSteps steps = optimizer.capturable()) {
 *   ... begin to capture the optimizer's stream; forward and backward pass
 *   steps.step(); // into the graph: nothing is done yet
 *   ... end the capture, instantiate the graph
 *   for (int i = 0; i < 100_000; ++i) {
 *     if (i % 500 == 0) steps.prepare(1000);
 *     ... new data, launch the graph into the same stream
 *   }
 * } // waits; the optimizer goes on from there
 * }</pre>
 *
 * <p>Parameters and state have the same bits as after as many ordinary steps, skipped ones included. Without a graph, {@link #step} makes a
 * step each time; it prepares what it needs, and only enqueues work.
 *
 * <p>What depends on the number of a step, such as schedules and bias corrections, is prepared ahead by Java ({@link #prepare}). The device
 * counts the steps that it has made, and a skipped step is not counted, as ever. A step that was not prepared is not made: its report has
 * {@link StepReport.Skip#NOT_PREPARED}, and parameters and state are as before.
 *
 * <p>While this is open the optimizer is held: its other calls, {@code close} included, throw {@link IllegalStateException}, but for those
 * that always answer, which answer as before. Tensors must stay where they are, and the parameters must be left to the steps. Graphs must
 * be launched into the stream of the optimizer, or be ordered with it by events. One thread at a time may call this object.
 */
public interface CapturableSteps extends AutoCloseable {
  /**
   * Enqueues one step on the optimizer's stream. While that is being captured, the step becomes part of the graph, and is made whenever the
   * graph is launched. Otherwise it is made once; then the steps ahead are prepared as needed. Nothing is allocated, and nothing waits,
   * except where more steps are under way than were prepared.
   *
   * @throws NonFiniteException if the optimizer was built with {@link NonFinite#THROW}, and the report of a skipped step has arrived; no
   *     step is enqueued then
   * @throws IllegalStateException if it is closed, or the schedule gives a factor that is negative or not finite
   * @throws DeviceException if the device fails
   */
  void step();

  /**
   * Prepares steps ahead: at least as many steps as given, counted from the last one whose {@linkplain #report report} has arrived, can be
   * made. What is prepared already costs nothing. Call it with twice as many steps as you launch between two calls, since the reports of
   * some may still be on their way.
   *
   * @param steps from 1 to the capacity
   * @throws IllegalArgumentException if it is not in this range
   * @throws IllegalStateException if the stream is being captured, or it is closed, or the schedule gives a factor that is negative or not
   *     finite; steps before that one are prepared
   * @throws DeviceException if the device fails
   */
  void prepare(int steps);

  /** The most steps that can be prepared ahead. */
  int capacity();

  /**
   * The newest report that has arrived, without waiting: mostly that of a step or two before the last one. Which one it is say {@link
   * StepReport#step} and {@link StepReport#skippedSteps}: their sum is the number of steps made and skipped up to it. Before the first one
   * has arrived it is that of the optimizer's last step.
   *
   * <p>A step that was skipped because something was not finite says {@link StepReport.Skip#NON_FINITE_GRADIENT}, whether a gradient, a
   * parameter or the state was the reason, or {@link StepReport.Skip#NON_FINITE_LOSS}. {@link StepReport#gradientL1} is NaN. Where the
   * tuner learns its scale from sums of the step itself, as {@code DAdaptation} and {@code MetaOptimize} do, {@link
   * StepReport#learnedScale} is that of the step, without these sums.
   *
   * @return the same object every time, see {@link StepReport#copy}
   * @throws NonFiniteException as in {@link #step}
   * @throws IllegalStateException if it is closed
   */
  StepReport report();

  /**
   * Waits for all work of the optimizer's stream so far.
   *
   * @return the report of the last step that was launched, as in {@link #report}
   * @throws IllegalStateException if the stream is being captured, or it is closed
   * @throws DeviceException if the device fails
   */
  StepReport await();

  /**
   * Waits as {@link #await}, and hands the optimizer back, with its scalars, numbers of steps and report as they are now. Graphs that hold
   * steps must not be launched any more: they would use memory that is freed. Closing twice is harmless.
   *
   * @throws IllegalStateException if the stream is being captured; nothing has changed then
   * @throws DeviceException if the device fails; the optimizer is handed back with the scalars that it had at first, and should be restored
   *     from a checkpoint
   */
  @Override
  void close();
}
