// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.StepReport.Skip;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Adan;
import org.steptuner.rule.Lion;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.rule.ScheduleFreeSGD;
import org.steptuner.tuner.DoG;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.Polyak;
import org.steptuner.tuner.TunerBuilder;

/** Steps that the device makes alone are those of Java, to the bit. */
class CapturableStepsTest {
  private static final int STEPS = 24;
  private static final int BEFORE = 4; // ordinary steps before the others
  private static final int ALONE = 14;

  static Stream<Configuration> configurations() {
    final List<Configuration> all = new ArrayList<>();
    final Map<String, Rule> rules = new LinkedHashMap<>(TestOptimizers.rules());
    rules.values().removeIf(rule -> rule.averageSlot() != null);
    rules.forEach((name, rule) -> all.addAll(variants(name, () -> FixedRate.of(0.01, rule), rule)));
    for (TestOptimizers.Form form : TestOptimizers.forms()) {
      if (form.delta() == Mechanic.Delta.RECOMPUTED || form.variant() == Mechanic.Variant.TORCH && form.decay() > 0) continue;
      all.addAll(variants("Mechanic " + form + " over AdamW", () -> form.over(rules.get("AdamW")), rules.get("AdamW")));
    }
    for (Scope scope : Scope.values()) {
      final Rule rule = rules.get("Lion");
      all.addAll(variants("Mechanic by " + scope, () -> Mechanic.tuning(rule).scope(scope).allowFreezing(), rule));
    }
    rules.forEach((name, rule) -> {
      if (name.equals("Adan")) return; // its decay is proximal
      all.add(new Configuration("Mechanic over " + name, () -> Mechanic.tuning(rule).variant(Mechanic.Variant.OPTAX).allowFreezing()));
    });
    all.add(
        new Configuration("a proximal decay that is not bounded", () -> Mechanic.tuning(rules.get("Adan")).decay(0).boundedDecay(false)));
    all.add(new Configuration("a decay that is bounded", () -> FixedRate.of(30, AdamW.defaults().weightDecay(0.5))));
    all.add(
        new Configuration(
            "a decay that the scale brings out of bounds",
            () -> Mechanic.tuning(AdamW.defaults().weightDecay(5)).decay(0).baseRate(3e5)));
    all.add(new Configuration("no first rate", () -> Mechanic.tuning(SGD.defaults()).baseRate(0)));
    all.addAll(narrowOnes(all));
    all.add(inParts("AdamW", () -> FixedRate.of(0.01, AdamW.defaults())));
    all.add(inParts("Mechanic", () -> Mechanic.tuning(rules.get("Lion")).allowFreezing()));
    return all.stream();
  }

  /** With everything that changes a step, and without. */
  private static List<Configuration> variants(String name, Supplier<TunerBuilder<?>> builder, Rule rule) {
    return List.of(
        new Configuration(name, builder),
        new Configuration(
            name + ", clipped, scheduled, groups",
            () -> {
              final TunerBuilder<?> all = builder.get();
              all.clipNorm(0.5).gradientMultiplier(-0.25).schedule(Schedule.linear(5, 40)).group("bias", rule, 0.5);
              if (rule.momentum() != 0) all.momentumSchedule(t -> 0.5 + 0.5 / t);
              if (rule.coupledDecay() + rule.decoupledDecay() != 0) all.decaySchedule(t -> 1.0 / t);
              return all;
            }),
        new Configuration(
            name + ", unchecked", () -> {
              final TunerBuilder<?> all = builder.get();
              all.nonFinite(NonFinite.UNCHECKED).schedule(Schedule.linear(5, 40));
              return all;
            }));
  }

  private static Configuration inParts(String name, Supplier<TunerBuilder<?>> builder) {
    return new Configuration(name + ", in parts", () -> builder.get().parameterRounding(ParameterRounding.IN_PARTS));
  }

  /** Some of them with state of 16 bits. */
  static List<Configuration> narrowOnes(List<Configuration> of) {
    final List<Configuration> narrow = new ArrayList<>();
    for (int i = 0; i < of.size(); i += 4) narrow.add(of.get(i).narrow());
    return narrow;
  }

  /** Those types that a configuration takes. */
  static TestTensors tensors(Configuration configuration) {
    if (configuration.name().endsWith("in parts"))
      return new TestTensors().add("w", BFLOAT16, 5000).group("bias").add("b", BFLOAT16, FLOAT32, 37, 1).group("default")
          .add("v", FLOAT64, 4099).parameters(i -> Math.sin(i) / 4);
    if (!configuration.name().endsWith("16-bit state")) return tensors();
    return new TestTensors().add("w", FLOAT32, 5000).group("bias").add("b", BFLOAT16, FLOAT32, 37, 1).group("default")
        .add("v", BFLOAT16, 4099).group("bias").add("h", FLOAT16, 130).add("none", FLOAT32, 0).parameters(i -> Math.sin(i) / 4);
  }

  static TestTensors tensors() {
    return new TestTensors()
        .add("w", FLOAT32, 5000)
        .group("bias").add("b", BFLOAT16, FLOAT32, 37, 1)
        .group("default").add("v", FLOAT64, 4099)
        .group("bias").add("h", FLOAT16, 130).add("none", FLOAT32, 0)
        .parameters(i -> Math.sin(i) / 4);
  }

  private static boolean isBad(int step) {
    return step == 0 || step == 6 || step == 7 || step == 13 || step == BEFORE + ALONE - 1;
  }

  /** Gradients of a step: of a bowl, noisy, and of the last step but one they are 0. Some are not finite. */
  static void backward(TestTensors tensors, int step, boolean finite) {
    for (TestTensors.Tensor tensor : tensors.all())
      tensor.gradients().fill(i -> step == STEPS - 2 ? 0 : (tensor.parameters().get(i) - 0.1 + Math.cos(i * 3.7 + step) / 8) * 16);
    if (!finite) tensors.gradients(step % 2 * 2).fill(i -> i == 3 ? Double.NaN : 1);
  }

  @ParameterizedTest
  @MethodSource("configurations")
  void bitsAreThoseOfOrdinarySteps(Configuration configuration) {
    for (TestDevices.Candidate candidate : List.of(new TestDevices.Candidate("CPU", true, () -> Device.cpu(2)), emulated())) {
      if (candidate == null) continue;
      assertSameBits(configuration, candidate.open(), 5);
    }
  }

  private static TestDevices.Candidate emulated() {
    return TestDevices.all().stream().filter(candidate -> !candidate.cpu()).findFirst()
        .orElse(new TestDevices.Candidate("CPU", true, () -> Device.cpu(1)));
  }

  private static void assertSameBits(Configuration configuration, Device device, int capacity) {
    final boolean checked = !configuration.name().contains("unchecked");
    try (TestTensors expected = tensors(configuration);
        TestTensors actual = tensors(configuration);
        Optimizer ordinary = configuration.build(expected.on(device));
        Optimizer other = configuration.build(actual.on(device))) {
      for (int step = 0; step < STEPS;) {
        final boolean alone = step == BEFORE;
        final int until = alone ? BEFORE + ALONE : step < BEFORE ? BEFORE : STEPS;
        try (CapturableSteps steps = alone ? other.capturable(CaptureOptions.defaults().capacity(capacity)) : null) {
          for (; step < until; ++step) {
            backward(expected, step, !checked || !isBad(step));
            backward(actual, step, !checked || !isBad(step));
            ordinary.step();
            if (alone) steps.step();
            else other.step();
            final StepReport report = alone ? steps.await() : other.report();
            final String what = configuration + " on " + device + ", step " + step;
            actual.assertSameParameters(expected, what);
            assertSameReport(ordinary.report(), report, what);
          }
        }
        final String what = configuration + " on " + device + " until step " + step;
        assertSameReport(ordinary.report(), other.report(), what);
        assertEquals(SavedState.of(ordinary).manifest(), SavedState.of(other).manifest(), what);
        SavedState.of(ordinary).assertUnchanged(SavedState.of(other), what);
      }
      actual.assertFencesStand(configuration.name());
    }
  }

  private static void assertSameReport(StepReport expected, StepReport actual, String what) {
    assertEquals(expected.toString(), actual.toString(), what);
    assertEquals(expected.step(), actual.step(), what);
    assertEquals(expected.skippedSteps(), actual.skippedSteps(), what);
    assertEquals(expected.skip(), actual.skip(), what);
    assertEquals(expected.hold(), actual.hold(), what);
    assertEquals(expected.clipFactor(), actual.clipFactor(), what);
    assertEquals(expected.rate(), actual.rate(), what);
    assertEquals(expected.decayBounded(), actual.decayBounded(), what);
  }

  /** Nothing waits between them, and the ring goes around many times. */
  @Test
  void stepsCanBeUnderWayTogether() {
    try (TestTensors expected = tensors();
        TestTensors actual = tensors();
        Optimizer ordinary = mechanic().build(expected.on(Device.cpu(1)));
        Optimizer other = mechanic().build(actual.on(Device.cpu(1)))) {
      backward(expected, 1, true);
      backward(actual, 1, true);
      for (int i = 0; i < 300; ++i) ordinary.step();
      try (CapturableSteps steps = other.capturable(CaptureOptions.defaults().capacity(70))) {
        for (int i = 0; i < 300; ++i) steps.step();
        assertEquals(70, steps.capacity());
        assertEquals(300, steps.report().step());
        assertSame(steps.report(), steps.report());
      }
      actual.assertSameParameters(expected, "300 steps");
      SavedState.of(ordinary).assertUnchanged(SavedState.of(other), "300 steps");
    }
  }

  private static Mechanic mechanic() {
    return Mechanic.tuning(AdamW.defaults().weightDecay(0.1)).variant(Mechanic.Variant.OPTAX).decay(0.01).allowFreezing();
  }

  @Test
  void anOptimizerIsHeldMeanwhile() {
    try (TestTensors tensors = tensors(); Optimizer optimizer = mechanic().build(tensors.on(Device.cpu(1)))) {
      final CapturableSteps steps = optimizer.capturable();
      assertRefused(IllegalStateException.class, optimizer::step, "held by its capturable steps");
      assertRefused(IllegalStateException.class, optimizer::close, "held by its capturable steps");
      assertRefused(IllegalStateException.class, optimizer::capturable, "held by its capturable steps");
      assertEquals(0, optimizer.report().step());
      steps.step();
      steps.close();
      steps.close();
      assertRefused(IllegalStateException.class, steps::step, "closed");
      assertEquals(1, optimizer.report().step());
      assertEquals(2, optimizer.step().step());
    }
  }

  @Test
  void whatCannotIsRefused() {
    final Rule rule = AdamW.defaults();
    refused(DoG.tuning(SGD.defaults()), UnsupportedOperationException.class, "computed by Java");
    refused(Mechanic.tuning(rule).delta(Mechanic.Delta.RECOMPUTED).allowFreezing(), UnsupportedOperationException.class,
        "Delta is rebuilt");
    refused(Mechanic.tuning(rule).variant(Mechanic.Variant.TORCH).decay(0.01), UnsupportedOperationException.class, "TORCH with decay");
    refused(Mechanic.tuning(Adan.defaults().weightDecay(0.1)).decay(0), UnsupportedOperationException.class, "proximal");
    refused(FixedRate.of(0.1, rule).exponentialAverage(0.9), UnsupportedOperationException.class, "exponential average");
    refused(FixedRate.of(0.1, rule).lossScale(LossScale.defaults()), UnsupportedOperationException.class, "loss scale");
    refused(FixedRate.of(0.1, rule).gradientL1(true), UnsupportedOperationException.class, "gradientL1");
    refused(FixedRate.of(0.1, rule).sumReducer((sums, count) -> {}), UnsupportedOperationException.class, "several processes");
    refused(FixedRate.of(0.1, ScheduleFreeSGD.defaults()), UnsupportedOperationException.class, "average that the rule keeps");
    refused(mechanic().tuneFor(10), UnsupportedOperationException.class, "tuneFor");
    refused(Polyak.tuning(rule), IllegalStateException.class, "needs the loss");
    try (TestTensors tensors = tensors(); Optimizer optimizer = mechanic().build(tensors.on(Device.cpu(1)))) {
      optimizer.sitOut(List.of("b"));
      assertRefused(IllegalStateException.class, optimizer::capturable, "sit out");
      optimizer.sitOut(List.of());
      final CaptureOptions options = CaptureOptions.defaults();
      assertRefused(IllegalArgumentException.class, () -> optimizer.capturable(options.loss(16, FLOAT32)), "loss: not memory");
      assertRefused(IllegalArgumentException.class, () -> optimizer.capturable(options.loss(17, FLOAT32)), "loss: its address");
      assertRefused(IllegalArgumentException.class, () -> optimizer.capturable(options.capacity(Integer.MAX_VALUE)), "capacity");
      assertRefused(IllegalArgumentException.class, () -> options.capacity(0), "capacity");
      assertRefused(IllegalArgumentException.class, () -> options.loss(0, null), "lossType");
      assertThrows(NullPointerException.class, () -> optimizer.capturable(null));
      backward(tensors, 1, true);
      assertEquals(1, optimizer.step().step(), "a refusal leaves the optimizer as it was");
      try (CapturableSteps steps = optimizer.capturable(options.capacity(3))) {
        assertRefused(IllegalArgumentException.class, () -> steps.prepare(4), "capacity, 3");
        assertRefused(IllegalArgumentException.class, () -> steps.prepare(0), "steps");
      }
    }
  }

  private static void refused(TunerBuilder<?> builder, Class<? extends RuntimeException> kind, String why) {
    try (TestTensors tensors = tensors(); Optimizer optimizer = builder.build(tensors.on(Device.cpu(1)))) {
      assertRefused(kind, optimizer::capturable, why);
      optimizer.report();
      optimizer.setGradientMultiplier(2); // it is not held
    }
  }

  @Test
  void aFailureIsTold() {
    try (TestTensors tensors = tensors();
        Optimizer optimizer = FixedRate.of(0.1, SGD.defaults()).nonFinite(NonFinite.THROW).build(tensors.on(Device.cpu(1)))) {
      final CapturableSteps steps = optimizer.capturable();
      backward(tensors, 0, false);
      steps.step();
      assertRefused(NonFiniteException.class, steps::report, "0 made and 1 skipped", "NaN");
      assertEquals(Skip.NON_FINITE_GRADIENT, steps.report().skip(), "told once");
      backward(tensors, 0, false);
      steps.step();
      backward(tensors, 0, true);
      assertThrows(NonFiniteException.class, steps::step);
      steps.step();
      assertEquals(1, steps.report().step());
      steps.close();
      assertEquals(2, optimizer.report().skippedSteps());
    }
  }

  @Test
  void aLossIsReportedAndChecked() {
    try (TestTensors tensors = tensors();
        TestArray loss = new TestArray(FLOAT64, 1, 0);
        Optimizer optimizer = FixedRate.of(0.1, SGD.defaults()).build(tensors.on(Device.cpu(1)));
        CapturableSteps steps = optimizer.capturable(CaptureOptions.defaults().loss(loss.address(), FLOAT64))) {
      backward(tensors, 0, true);
      loss.set(0, 0.75);
      steps.step();
      assertEquals(0.75, steps.await().loss());
      loss.set(0, Double.POSITIVE_INFINITY);
      steps.step();
      assertEquals(Skip.NON_FINITE_LOSS, steps.await().skip());
      assertEquals(1, steps.report().step());
    }
  }

  /** A schedule that fails: steps before it can be made, and the next one says what is wrong. */
  @Test
  void aScheduleMayFail() {
    try (TestTensors tensors = tensors();
        Optimizer optimizer = FixedRate.of(0.1, SGD.defaults()).schedule(t -> t > 3 ? -1 : 1).build(tensors.on(Device.cpu(1)))) {
      try (CapturableSteps steps = optimizer.capturable(CaptureOptions.defaults().capacity(2))) {
        assertRefused(IllegalStateException.class, () -> {
          for (int i = 0; i < 4; ++i) steps.step();
        }, "schedule gives -1.0 for step 4");
        assertRefused(IllegalStateException.class, () -> steps.prepare(1), "schedule gives -1.0 for step 4");
        assertEquals(3, steps.report().step());
      }
      assertEquals(3, optimizer.steps());
    }
  }

  @Test
  void nothingIsAllocated() {
    final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    Assumptions.assumeTrue(threads.isThreadAllocatedMemoryEnabled());
    try (TestTensors tensors = tensors();
        Optimizer optimizer = mechanic().build(tensors.on(Device.cpu(1)));
        CapturableSteps steps = optimizer.capturable()) {
      backward(tensors, 1, true);
      for (int i = 0; i < 200; ++i) steps.step();
      long least = Long.MAX_VALUE;
      for (int round = 0; round < 10 && least > 0; ++round) {
        final long before = threads.getCurrentThreadAllocatedBytes();
        for (int i = 0; i < 1000; ++i) {
          steps.step();
          steps.report();
        }
        least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
      }
      assertEquals(0, least);
      assertTrue(steps.report().step() + steps.report().skippedSteps() >= 1200);
    }
  }

  @Test
  void lionAndOthersMayBePrepared() {
    try (TestTensors tensors = tensors();
        Optimizer optimizer = FixedRate.of(0.1, Lion.defaults()).build(tensors.on(Device.cpu(1)));
        CapturableSteps steps = optimizer.capturable(CaptureOptions.defaults().capacity(8))) {
      backward(tensors, 1, true);
      for (int i = 0; i < 20; ++i) {
        steps.prepare(8);
        steps.step();
        assertEquals(i + 1, steps.report().step());
      }
    }
  }
}
