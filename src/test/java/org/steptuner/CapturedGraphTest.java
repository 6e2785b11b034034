// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.steptuner.Refusal.assertRefused;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.Prodigy;

/** A stream that is captured into a graph: what becomes part of it, and what is refused meanwhile and does not spoil it. */
class CapturedGraphTest {
  private static Device device;
  private long stream;

  @BeforeAll
  static void load() {
    device = EmulatedGraphs.load();
  }

  @BeforeEach
  void createStream() {
    stream = EmulatedGraphs.createStream();
  }

  @AfterEach
  void destroyStream() {
    EmulatedGraphs.destroyStream(stream);
  }

  static List<Configuration> configurations() {
    return List.of(
        new Configuration("a fixed rate", () -> FixedRate.of(0.01, AdamW.defaults())),
        new Configuration("unchecked", () -> FixedRate.of(0.01, AdamW.defaults()).nonFinite(NonFinite.UNCHECKED)),
        new Configuration("Mechanic", () -> Mechanic.tuning(AdamW.defaults()).clipNorm(0.5)),
        new Configuration("Prodigy", () -> Prodigy.tuning(AdamW.defaults()).initialRate(1e-3)));
  }

  /** The graph holds two steps, is launched many times, and skips what is not finite. */
  @ParameterizedTest
  @MethodSource("configurations")
  void stepsOfAGraphAreOrdinaryOnes(Configuration configuration) {
    final int launches = 9;
    try (TestTensors expected = CapturableStepsTest.tensors();
        TestTensors actual = CapturableStepsTest.tensors();
        Optimizer ordinary = configuration.build(expected.on(device));
        Optimizer other = configuration.build(actual.on(device))) {
      other.setStream(stream);
      long attempts = 0;
      try (CapturableSteps steps = other.capturable()) {
        EmulatedGraphs.beginCapture(stream);
        steps.step();
        steps.step();
        final long graph = EmulatedGraphs.endCapture(stream);
        for (int i = 0; i < launches; ++i) {
          final boolean finite = i != 4 || configuration.name().equals("unchecked");
          CapturableStepsTest.backward(expected, i, finite);
          CapturableStepsTest.backward(actual, i, finite);
          ordinary.step();
          ordinary.step();
          steps.prepare(2);
          EmulatedGraphs.launch(graph, stream);
          final StepReport report = steps.await();
          attempts = report.step() + report.skippedSteps();
          assertEquals(ordinary.report().step(), report.step(), "launch " + i);
          assertEquals(ordinary.report().skippedSteps(), report.skippedSteps(), "launch " + i);
          actual.assertSameParameters(expected, "launch " + i);
        }
        EmulatedGraphs.destroyGraph(graph);
      }
      assertEquals(2 * launches, attempts);
      SavedState.of(ordinary).assertUnchanged(SavedState.of(other), "after the graph");
    }
  }

  @Test
  void whatIsRefusedWhileCapturing(@TempDir Path folder) {
    try (TestTensors tensors = CapturableStepsTest.tensors();
        Optimizer optimizer = Mechanic.tuning(SGD.defaults()).build(tensors.on(device))) {
      optimizer.setStream(stream);
      CapturableStepsTest.backward(tensors, 1, true);
      optimizer.step();
      final SavedState before = SavedState.of(optimizer);
      EmulatedGraphs.beginCapture(stream);
      assertRefused(IllegalStateException.class, optimizer::step, "being captured", "capturable()");
      assertRefused(IllegalStateException.class, optimizer::capturable, "being captured", "before the capture begins");
      assertRefused(IllegalStateException.class, () -> optimizer.save(folder.resolve("saved")), "being captured");
      EmulatedGraphs.destroyGraph(EmulatedGraphs.endCapture(stream)); // it is not spoiled
      before.assertUnchanged(SavedState.of(optimizer), "refusals");

      try (CapturableSteps steps = optimizer.capturable()) {
        EmulatedGraphs.beginCapture(stream);
        assertRefused(IllegalStateException.class, () -> steps.prepare(100), "being captured");
        assertRefused(IllegalStateException.class, steps::await, "being captured");
        assertRefused(IllegalStateException.class, steps::close, "being captured");
        assertEquals(1, steps.report().step());
        steps.step();
        final long graph = EmulatedGraphs.endCapture(stream);
        EmulatedGraphs.launch(graph, stream);
        assertEquals(2, steps.await().step());
        EmulatedGraphs.destroyGraph(graph);
      }
      assertEquals(3, optimizer.step().step());
    }
  }
}
