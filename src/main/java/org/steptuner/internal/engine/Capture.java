// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.nio.DoubleBuffer;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.IntStream;
import org.steptuner.CaptureOptions;
import org.steptuner.NonFinite;
import org.steptuner.internal.Natives;

/** The native side of steps that a device makes alone: its memory, and the scalars on their way there and back. */
final class Capture {
  static final int REPORT = 3;
  private static final int SETTINGS = 0;
  private static final int STATE = 1;
  private static final int RING = 2;
  private static final int NONE = -1; // in the place of a sweep
  private static final long MOST_NUMBERS = 1 << 27; // in the ring, which is one buffer

  final Machine machine;
  private final Plan plan;
  private final int length; // of the machine's list
  private final int stateWidth;
  private final DoubleBuffer state;

  /** Allocates, and sends the scalars as they are. */
  Capture(Engine engine, Steps steps, DeviceScalars scalars, CaptureOptions options) {
    plan = engine.plan;
    machine = Machine.find(scalars.machine);
    final double[] list = scalars.list();
    length = list.length;
    final int groups = plan.parameters().groups().size();
    final int numbers = (scalars.first == null ? 0 : scalars.first.coefficients().size()) + scalars.second.coefficients().size();
    if ((long) options.capacity() * (3 + (long) groups * (numbers + machine.row().size())) > MOST_NUMBERS)
      throw new IllegalArgumentException("capacity " + options.capacity() + " is too much for " + groups + " groups of coefficients");
    final int[] scopeOf = IntStream.range(0, plan.segments()).map(plan::scope).toArray();
    final int[] groupOf = IntStream.range(0, plan.segments()).map(plan::group).toArray();
    final int first = scalars.first == null ? NONE : scalars.first.binding();
    final long handle = plan.handle();
    plan.check(
        Natives.captureCreate(
            handle, machine.number(), first, scalars.second.binding(), plan.scopes(), scopeOf, groups, groupOf, length,
            options.capacity()));
    try {
      stateWidth = Natives.captureWidth(handle, STATE);
      state = Sweep.view(Natives.captureAddress(handle, STATE), plan.scopes() * stateWidth);
      final DoubleBuffer settings =
          Sweep.view(Natives.captureAddress(handle, SETTINGS), Natives.captureWidth(handle, SETTINGS));
      final NamedNumbers named = new NamedNumbers("setting", machine, machine.settings());
      scalars.settings(named);
      named.checkAll();
      named.copyTo(settings);
      settings.put(list);
      final Map<String, Scalars.Values> values = steps.savedScalars();
      machine.state().forEach(name -> moveState(name, values.get(name), true));
      machine.lists().forEach(name -> moveState(name, values.get(name), true));
      final Report report = engine.report;
      for (int scope = 0; scope < plan.scopes(); ++scope) state.put(effectiveRateAt(scope), report.effectiveRate[scope]);
      final int checks = engine.guard.nonFinite() == NonFinite.UNCHECKED ? 0 : 1;
      plan.check(
          Natives.captureBegin(
              handle, engine.guard.given(), engine.settings.clipNorm(), checks, report.step, report.skippedSteps, options.lossAddress(),
              options.lossType().ordinal(), plan.stream()));
    } catch (RuntimeException | Error e) {
      destroy();
      throw e;
    }
  }

  private int effectiveRateAt(int scope) {
    return scope * stateWidth + stateWidth - 1;
  }

  // Between the tuner's values and the machine's, which has those of a scope together.
  private void moveState(String name, Scalars.Values of, boolean toMachine) {
    final int single = machine.state().indexOf(name);
    final int per = single >= 0 ? 1 : length;
    final int at = single >= 0 ? single : machine.state().size() + machine.lists().indexOf(name) * length;
    if (of == null || of.values().length != plan.scopes() * per)
      throw new IllegalStateException("the scalars '" + name + "' are not those that the device computes");
    for (int scope = 0; scope < plan.scopes(); ++scope)
      if (toMachine) state.put(scope * stateWidth + at, of.values(), scope * per, per);
      else state.get(scope * stateWidth + at, of.values(), scope * per, per);
  }

  /** The rows of steps, and how many numbers one has. */
  DoubleBuffer ring(int capacity) {
    return Sweep.view(Natives.captureAddress(plan.handle(), RING), capacity * ringWidth());
  }

  int ringWidth() {
    return Natives.captureWidth(plan.handle(), RING);
  }

  /** Whether the stream is being captured. */
  boolean capturing() {
    return isCapturing(plan);
  }

  /** Whether the stream of a plan is being captured. */
  static boolean isCapturing(Plan plan) {
    return Natives.captureCapturing(plan.handle(), plan.stream()) != 0;
  }

  void step() {
    plan.check(Natives.captureStep(plan.handle(), plan.stream()));
  }

  void send(int row, int rows) {
    if (rows > 0) plan.check(Natives.captureSend(plan.handle(), row, rows, plan.stream()));
  }

  /** Waits for the stream; all sums are taken then. */
  void await() {
    plan.check(Natives.captureEnd(plan.handle(), plan.stream()));
  }

  /** Gives the scalars back, as they are after {@link #await}. */
  void giveBack(Steps steps) {
    final Map<String, Scalars.Values> values = steps.savedScalars();
    machine.state().forEach(name -> moveState(name, values.get(name), false));
    machine.lists().forEach(name -> moveState(name, values.get(name), false));
    final Map<String, double[]> all = new HashMap<>();
    values.forEach((name, of) -> all.put(name, of.values()));
    steps.takeBack(all);
  }

  /** Frees everything. The stream has been waited for, unless it has failed. */
  void destroy() {
    Natives.captureDestroy(plan.handle());
  }
}
