// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.Refusal.assertRefused;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.SGD;
import org.steptuner.rule.SuppliedUpdate;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.TunerBuilder;

/** Use after close, close during use, use during use: a clear exception every time, and nothing lost. */
@Timeout(60)
class LifecycleTest {
  private static final Device CPU = Device.cpu(2);
  private static final Path NOWHERE = Path.of("/nonexistent/checkpoint");

  /** Every method of {@link Optimizer} but close. */
  private static final Map<String, Consumer<Optimizer>> CALLS = new LinkedHashMap<>();

  static {
    CALLS.put("step()", Optimizer::step);
    CALLS.put("step(loss)", optimizer -> optimizer.step(1));
    CALLS.put("setGradientMultiplier", optimizer -> optimizer.setGradientMultiplier(2));
    CALLS.put("setStream", optimizer -> optimizer.setStream(0));
    CALLS.put("rebind", optimizer -> optimizer.rebind("x", 64, 64));
    CALLS.put("rebind with the update", optimizer -> optimizer.rebind("x", 64, 64, 64));
    CALLS.put("rebind to a set", optimizer -> optimizer.rebind(optimizer.parameters()));
    CALLS.put("rebind to addresses", optimizer -> optimizer.rebind(new long[1], new long[1]));
    CALLS.put("rebind to addresses, updates too", optimizer -> optimizer.rebind(new long[1], new long[1], new long[1]));
    CALLS.put("zeroGradients", Optimizer::zeroGradients);
    CALLS.put("scalars", Optimizer::scalars);
    CALLS.put("state", optimizer -> optimizer.state("momentum", "x"));
    CALLS.put("evaluating", Optimizer::evaluating);
    CALLS.put("training", Optimizer::training);
    CALLS.put("save", optimizer -> optimizer.save(NOWHERE));
    CALLS.put("saveInBackground", optimizer -> optimizer.saveInBackground(NOWHERE));
    CALLS.put("awaitSaved", Optimizer::awaitSaved);
    CALLS.put("restore", optimizer -> optimizer.restore(NOWHERE));
  }

  /** Those that must not be made while another is. */
  private static final List<String> CHANGING =
      List.of(
          "step()", "step(loss)", "setGradientMultiplier", "setStream", "rebind", "rebind with the update", "rebind to a set",
          "rebind to addresses", "rebind to addresses, updates too", "zeroGradients", "scalars", "state", "evaluating", "training", "save",
          "saveInBackground", "awaitSaved", "restore");

  static Stream<String> calls() {
    return CALLS.keySet().stream();
  }

  /** "Any call after close throws IllegalStateException", but for those that need no native state. */
  @ParameterizedTest
  @MethodSource("calls")
  void afterClose(String call) {
    for (TunerBuilder<?> builder : List.of(FixedRate.of(1, SGD.defaults()), Mechanic.tuning(AdamW.defaults())))
      try (TestTensors tensors = TestTensors.of(FLOAT32, 10)) {
        final Optimizer optimizer = builder.build(tensors.on(CPU));
        optimizer.step();
        optimizer.close();
        assertRefused(IllegalStateException.class, () -> CALLS.get(call).accept(optimizer), "closed");
      }
  }

  /** What needs no native state still answers: a report is often looked at when training is over. */
  @Test
  void afterCloseReportsRemain() {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 10)) {
      final Optimizer optimizer = FixedRate.of(1, AdamW.defaults()).build(tensors.on(CPU));
      optimizer.step();
      optimizer.close();
      assertEquals(1, optimizer.report().step());
      assertEquals(1, optimizer.steps());
      assertEquals(8, optimizer.wordsPerElement());
      assertEquals(10, optimizer.parameters().elements());
      assertEquals(2, optimizer.slots().size());
      assertFalse(optimizer.isEvaluating());
    }
  }

  @Test
  void closingTwiceIsHarmless() {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 10)) {
      final Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).build(tensors.on(CPU));
      optimizer.close();
      optimizer.close();
    }
  }

  /** A step that waits in its reducer until it is let go. */
  private static final class LongStep implements SumReducer {
    final CountDownLatch reached = new CountDownLatch(1);
    final CountDownLatch released = new CountDownLatch(1);

    @Override
    public void reduce(double[] sums, int count) {
      reached.countDown();
      try {
        assertTrue(released.await(30, TimeUnit.SECONDS));
      } catch (InterruptedException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  /** While a step runs on another thread every call that needs the optimizer is refused; the step then ends as if nothing had been. */
  @Test
  void duringAStep() throws InterruptedException {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 5000).gradients(i -> i % 7);
        TestTensors undisturbed = TestTensors.of(FLOAT32, 5000).gradients(i -> i % 7);
        Optimizer other = Mechanic.tuning(AdamW.defaults()).build(undisturbed.on(CPU))) {
      final LongStep longStep = new LongStep();
      final Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).sumReducer(longStep).build(tensors.on(CPU));
      final AtomicReference<Throwable> thrown = new AtomicReference<>();
      final Thread thread =
          new Thread(
              () -> {
                try {
                  optimizer.step();
                } catch (Throwable e) {
                  thrown.set(e);
                }
              });
      thread.start();
      assertTrue(longStep.reached.await(30, TimeUnit.SECONDS));
      try {
        assertRefused(IllegalStateException.class, optimizer::close, "close", "in use");
        for (String call : CHANGING) assertRefused(IllegalStateException.class, () -> CALLS.get(call).accept(optimizer), "in use");
      } finally {
        longStep.released.countDown();
        thread.join();
      }
      assertNull(thrown.get());
      other.step();
      for (int step = 0; step < 3; ++step) {
        optimizer.step();
        other.step();
      }
      tensors.assertSameParameters(undisturbed, "nothing was lost");
      assertEquals(4, optimizer.steps());
      optimizer.close();
    }
  }

  /** What is called from within a step, by a schedule or a reducer, is a call during a call. */
  @Test
  void fromWithinAStep() {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 10).gradients(i -> 1)) {
      final Optimizer[] self = new Optimizer[1];
      final Schedule schedule =
          step -> {
            assertRefused(IllegalStateException.class, () -> self[0].step(), "in use");
            assertRefused(IllegalStateException.class, () -> self[0].close(), "in use");
            return 1;
          };
      self[0] = FixedRate.of(1, SGD.defaults()).schedule(schedule).build(tensors.on(CPU));
      assertEquals(1, self[0].step().step());
      self[0].close();
    }
  }

  /** A step that fails on the way leaves an optimizer that works. */
  @Test
  void afterAStepThatThrew() {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 10).gradients(i -> 1)) {
      final Schedule schedule =
          step -> {
            if (tensors.gradients(0).get(0) == 2) throw new UnsupportedOperationException("no such step");
            return 1;
          };
      try (Optimizer optimizer = FixedRate.of(1, SGD.defaults()).schedule(schedule).build(tensors.on(CPU))) {
        optimizer.step();
        tensors.gradients(i -> 2);
        assertRefused(UnsupportedOperationException.class, optimizer::step, "no such step");
        assertEquals(-1, tensors.parameters(0).get(0));
        tensors.gradients(i -> 1);
        assertEquals(2, optimizer.step().step());
      }
    }
  }

  /** A build that fails leaves nothing behind: many of them would fill the memory. */
  @Test
  void failedBuildsFreeTheirState() throws IOException {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 1 << 20)) {
      final ParameterSet set =
          ParameterSet.on(CPU)
              .add(
                  "x", tensors.parameters(0).address(), FLOAT32, tensors.gradients(0).address(), FLOAT32, 0, 1 << 20)
              .build();
      final long before = virtualPages();
      for (int i = 0; i < 200; ++i)
        assertRefused(IllegalArgumentException.class, () -> Mechanic.tuning(new SuppliedUpdate()).build(set), "update");
      assertTrue(virtualPages() - before < 100_000, "400 slots of 1024 pages each must not stay");
    }
  }

  private static long virtualPages() throws IOException {
    return Long.parseLong(Files.readString(Path.of("/proc/self/statm")).split(" ")[0]);
  }

  /** Optimizers on the same set do not share state, and closing one leaves the other. */
  @Test
  void twoOptimizersOnOneSet(@TempDir Path folder) {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 10).gradients(i -> 1)) {
      final ParameterSet set = tensors.on(CPU);
      final Optimizer one = FixedRate.of(1, SGD.defaults().momentum(0.5)).build(set);
      try (Optimizer other = FixedRate.of(1, SGD.defaults().momentum(0.5)).build(set)) {
        one.step();
        one.close();
        assertEquals(1, other.step().step());
        assertEquals(-2, tensors.parameters(0).get(0), "both moved by a first step");
        other.save(folder.resolve("still works"));
      }
    }
  }
}
