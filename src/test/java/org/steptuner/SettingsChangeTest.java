// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.GradaGrad;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/** Settings change while a run goes on. */
class SettingsChangeTest {
  private static final Device CPU = Device.cpu(2);

  static List<Configuration> configurations() {
    final List<Configuration> all = new ArrayList<>(TestOptimizers.some());
    all.addAll(TestOptimizers.others());
    return all;
  }

  private static TestTensors tensors() {
    return new TestTensors().add("a", FLOAT32, 4500).group("second").add("b", FLOAT64, 70).parameters(i -> 1 + Math.sin(i));
  }

  private static void train(Optimizer optimizer, TestTensors tensors, int from, int to) {
    for (int step = from; step < to; ++step) {
      final int t = step;
      tensors.gradients(i -> Math.sin(i + t) + 0.5);
      for (TestTensors.Tensor tensor : tensors.all()) if (tensor.updates() != null) tensor.updates().fill(i -> Math.sin(i + t) / 100);
      optimizer.step(3.0 / (1 + step));
    }
  }

  /** Every tuner and rule: what is changed in a running optimizer is what a new one with these settings would make of its checkpoint. */
  @ParameterizedTest
  @MethodSource("configurations")
  void aChangedRunIsOneThatWasSavedAndRestored(Configuration configuration, @TempDir Path folder) {
    final Path file = folder.resolve("before");
    try (TestTensors tensors = tensors(); TestTensors others = tensors(); Optimizer running = configuration.build(tensors.on(CPU))) {
      train(running, tensors, 0, 5);
      running.save(file);
      changed(configuration).applyTo(running);
      try (Optimizer restored = changed(configuration).build(others.on(CPU))) {
        restored.restore(file, RestoreOptions.strict().allowSettings());
        assertEquals(restored.slots(), running.slots());
        assertEquals(restored.wordsPerElement(), running.wordsPerElement());
        train(running, tensors, 5, 10);
        train(restored, others, 5, 10);
        tensors.assertSameParameters(others, configuration.name());
        SavedState.of(restored).assertUnchanged(SavedState.of(running), configuration.name());
        assertEquals(restored.report().clipFactor(), running.report().clipFactor());
        assertTrue(running.report().clipFactor() < 1, "the new settings clip");
      }
    }
  }

  private static TunerBuilder<?> changed(Configuration configuration) {
    final TunerBuilder<?> builder = configuration.builder().get();
    return builder.schedule(step -> 1.0 / step).clipNorm(5).gradientL1(true);
  }

  @Test
  void limitsRatesAndDecayChange() {
    try (TestTensors tensors = tensors(); Optimizer optimizer = Prodigy.tuning(AdamW.defaults()).initialRate(1e-3).build(tensors.on(CPU))) {
      train(optimizer, tensors, 0, 20);
      optimizer.setGradientMultiplier(0.5);
      final double learned = optimizer.report().learnedScale();
      final double effective = optimizer.report().effectiveRate();
      Prodigy.tuning(AdamW.defaults().weightDecay(0)).initialRate(1e-3).maxRate(learned / 2).applyTo(optimizer);
      assertEquals(learned / 2, optimizer.report().learnedScale(), "what was learned is brought within the new limit");
      assertEquals(effective, optimizer.report().effectiveRate(), "the report is still that of the last step");
      assertEquals(20, optimizer.steps());
      train(optimizer, tensors, 20, 22);
      assertEquals(learned / 2, optimizer.report().learnedScale());
      double square = 0;
      for (TestTensors.Tensor tensor : tensors.all()) for (double g : tensor.gradients().toDoubles()) square += g * g / 4;
      assertEquals(Math.sqrt(square), optimizer.report().gradientNorm(), 1e-6, "the gradient multiplier stays");
    }
  }

  @Test
  void theDecayOfAnExponentialAverageChanges() {
    try (TestTensors tensors = TestTensors.of(FLOAT64, 10).gradients(i -> 1);
        Optimizer optimizer = FixedRate.of(1, SGD.defaults()).exponentialAverage(0.5).build(tensors.on(CPU))) {
      optimizer.step();
      optimizer.step(); // x is -2, and its average -1.5
      FixedRate.of(1, SGD.defaults()).exponentialAverage(0.75).applyTo(optimizer);
      optimizer.step();
      optimizer.swapAverages();
      assertEquals(-1.5 * 0.75 - 3 * 0.25, tensors.values()[0], 1e-15);
      optimizer.swapAverages();
      refused(optimizer, FixedRate.of(1, SGD.defaults()), "exponentialAverage");
    }
  }

  @Test
  void aFrozenRunTakesSettingsButItsRate() {
    try (TestTensors tensors = tensors(); Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).build(tensors.on(CPU))) {
      train(optimizer, tensors, 0, 10);
      optimizer.freeze();
      final double rate = optimizer.scalars().get("rate")[0];
      Mechanic.tuning(AdamW.defaults().weightDecay(0)).baseRate(7).schedule(step -> 0.25).clipNorm(5).applyTo(optimizer);
      assertTrue(optimizer.isFrozen());
      train(optimizer, tensors, 10, 11);
      assertEquals(rate * 0.25, optimizer.report().effectiveRate());
      assertTrue(optimizer.report().clipFactor() < 1);
    }
  }

  @Test
  void whatIsNoSettingIsRefused() {
    final AdamW rule = AdamW.defaults();
    try (TestTensors tensors = tensors(); Optimizer optimizer = Mechanic.tuning(rule).build(tensors.on(CPU))) {
      train(optimizer, tensors, 0, 3);
      final SavedState before = SavedState.of(optimizer);
      refused(optimizer, Prodigy.tuning(rule), "Mechanic", "Prodigy");
      refused(optimizer, Mechanic.tuning(Lion.defaults()), "AdamW", "Lion");
      refused(optimizer, Mechanic.tuning(Adam.defaults()), "AdamW", "Adam");
      refused(optimizer, Mechanic.tuning(rule).scope(Scope.TENSOR), "scope", "ALL", "TENSOR");
      refused(optimizer, Mechanic.tuning(rule).variant(Mechanic.Variant.TORCH), "variant");
      refused(optimizer, Mechanic.tuning(rule).group("third", rule), "third");
      refused(optimizer, Mechanic.tuning(rule.weightDecay(0)).decaySchedule(step -> 1), "decaySchedule");
      assertRefused(NullPointerException.class, () -> Mechanic.tuning(rule).applyTo(null), "optimizer");
      before.assertUnchanged(SavedState.of(optimizer), "after refusals");
      optimizer.evaluating();
      train(optimizer, tensors, 3, 5);
    }
    try (TestTensors tensors = tensors()) {
      final Optimizer momentum = FixedRate.of(0.1, SGD.defaults().momentum(0.5)).build(tensors.on(CPU));
      refused(momentum, FixedRate.of(0.1, SGD.defaults()), "momentum");
      FixedRate.of(0.1, SGD.defaults().momentum(0.9)).applyTo(momentum);
      momentum.close();
      assertRefused(IllegalStateException.class, () -> FixedRate.of(1, SGD.defaults().momentum(0.9)).applyTo(momentum), "closed");
    }
  }

  /** As building is: tuning would go on for ever without a word. */
  @Test
  void tuneForIsRefusedWhereTheRunCannotBeFrozen() {
    try (TestTensors tensors = tensors();
        Optimizer optimizer = GradaGrad.tuning(SGD.defaults(), 0.1).form(GradaGrad.Form.DIAGONAL).build(tensors.on(CPU))) {
      train(optimizer, tensors, 0, 3);
      final SavedState before = SavedState.of(optimizer);
      refused(optimizer, GradaGrad.tuning(SGD.defaults(), 0.1).form(GradaGrad.Form.DIAGONAL).tuneFor(5), "tuneFor", "a rate of its own");
      before.assertUnchanged(SavedState.of(optimizer), "after a refusal");
      train(optimizer, tensors, 3, 5);
    }
  }

  private static void refused(Optimizer optimizer, TunerBuilder<?> builder, String... words) {
    assertRefused(IllegalArgumentException.class, () -> builder.applyTo(optimizer), words);
  }

  /** A trainer may change a setting at every step: nothing piles up. */
  @Test
  void manyChangesLeaveNothingBehind() throws Exception {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 100).gradients(i -> 1);
        Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).build(tensors.on(CPU))) {
      final Runnable change = () -> {
        for (int i = 0; i < 2000; ++i) {
          final double decay = i % 2 * 0.01;
          Mechanic.tuning(AdamW.defaults().weightDecay(decay)).applyTo(optimizer);
          optimizer.step();
          optimizer.parametersMoved(); // it binds sweeps of its own
        }
      };
      change.run();
      final int before = bindings(optimizer);
      change.run();
      assertEquals(before, bindings(optimizer));
    }
  }

  // The number that the next binding gets.
  private static int bindings(Optimizer optimizer) throws Exception {
    final var plan = ((org.steptuner.internal.engine.Instrumented) optimizer).plan();
    final var sweep = plan.bind("reference", "");
    final var field = sweep.getClass().getDeclaredField("binding");
    field.setAccessible(true);
    final int number = field.getInt(sweep);
    sweep.release();
    return number;
  }
}
