// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.Armijo;
import org.steptuner.tuner.CDAT;
import org.steptuner.tuner.ExactSharpness;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Hypergradient;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.MetaCurvature;
import org.steptuner.tuner.MetaOptimize;
import org.steptuner.tuner.NewtonRate;
import org.steptuner.tuner.Polyak;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/** A step allocates nothing on the Java heap: a training loop in production gives the collector no work. */
class AllocationTest {
  private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

  static Stream<Configuration> configurations() {
    return Stream.of(
        TestOptimizers.all(),
        TestOptimizers.others(),
        List.of(
            new Configuration(
                "schedules of the rule",
                () -> FixedRate.of(0.01, AdamW.defaults()).momentumSchedule(t -> 0.5).decaySchedule(t -> 0.5)),
            new Configuration("a loss scale", () -> Mechanic.tuning(AdamW.defaults()).lossScale(LossScale.defaults().interval(7))),
            new Configuration("a decay that is bounded", () -> FixedRate.of(300, AdamW.defaults())),
            new Configuration("one that stands still", () -> Polyak.tuning(AdamW.defaults()).bound(1)),
            new Configuration(
                "Hypergradient, released",
                () -> Hypergradient.tuning(Adam.defaults(), 0.01, 1e-9).variant(Hypergradient.Variant.ADDITIVE_RELEASED)),
            new Configuration("in parts", () -> FixedRate.of(0.01, AdamW.defaults()).parameterRounding(ParameterRounding.IN_PARTS)),
            new Configuration("AdamW", () -> FixedRate.of(0.01, AdamW.defaults())).narrow(),
            new Configuration("Mechanic", () -> Mechanic.tuning(Lion.defaults())).narrow(),
            new Configuration("Prodigy", () -> Prodigy.tuning(AdamW.defaults()).maxRate(0.01)).narrow(),
            new Configuration("an exponential average", () -> FixedRate.of(0.01, AdamW.defaults()).exponentialAverage(0.9)),
            new Configuration(
                "an exponential average by itself", () -> Prodigy.tuning(AdamW.defaults()).exponentialAverage(0.9).baseRate(0)),
            new Configuration("MetaOptimize per weight", () -> MetaOptimize.tuning(Lion.defaults()).perWeight()),
            new Configuration(
                "MetaOptimize, 2x2",
                () -> MetaOptimize.tuning(SGD.defaults()).meta(SGD.defaults()).metaStepSize(0)
                    .curvature(MetaCurvature.PRODUCT).approximation(MetaOptimize.Approximation.TWO_BY_TWO)),
            new Configuration(
                "MetaOptimize over AdamW, 2x2",
                () -> MetaOptimize.tuning(AdamW.defaults()).metaStepSize(0).gamma(0.5)
                    .curvature(MetaCurvature.PRODUCT).approximation(MetaOptimize.Approximation.TWO_BY_TWO)),
            new Configuration(
                "MetaOptimize over RMSProp with a curvature, per weight",
                () -> MetaOptimize.tuning(RMSProp.defaults()).metaStepSize(0).gamma(0.5).perWeight().curvature(MetaCurvature.DIAGONAL)),
            new Configuration("IDBD", () -> MetaOptimize.idbd(1e-6, 1e-3)),
            new Configuration("CDAT", () -> CDAT.tuning(AdamW.defaults()).ema(0.9).curvature(u -> 1)),
            new Configuration("CDAT with products", () -> CDAT.tuning(SGD.defaults()).every(2).hessian((vector, product) -> {})),
            new Configuration("ExactSharpness", () -> ExactSharpness.tuning(SGD.defaults(), (vector, product) -> {})),
            new Configuration("Polyak", () -> Polyak.tuning(AdamW.defaults()).alongUpdate()),
            new Configuration("CDAT over MADGRAD", () -> CDAT.tuning(MADGRAD.defaults()).every(2).curvature(u -> 1)),
            new Configuration("SPS_max, smoothed", () -> Polyak.spsMax(SGD.defaults(), 0.5, 1e-3).smoothing(2, 100)),
            new Configuration("Armijo", () -> Armijo.tuning(AdamW.defaults(), () -> -1e9)),
            new Configuration("NewtonRate", () -> NewtonRate.tuning(AdamW.defaults(), 1e-3).interval(3))))
        .flatMap(List::stream);
  }

  @ParameterizedTest
  @MethodSource("configurations")
  void nothingIsAllocated(Configuration configuration) {
    assertNothingIsAllocated(configuration, null, List.of());
  }

  /** Nor while scalars are held. */
  @ParameterizedTest
  @MethodSource("configurations")
  void nothingIsAllocatedWhileTensorsSitOut(Configuration configuration) {
    assertNothingIsAllocated(configuration, null, List.of("b", "c"));
  }

  static Stream<Configuration> shared() {
    return Stream.of(TestOptimizers.mechanicsOverAdamW(), TestOptimizers.others()).flatMap(List::stream);
  }

  /** Nor is anything for the sums over processes and what goes with them, after the first step. */
  @ParameterizedTest
  @MethodSource("shared")
  void nothingIsAllocatedForOtherProcesses(Configuration configuration) {
    assertNothingIsAllocated(configuration, (sums, count) -> {}, List.of());
  }

  private static void assertNothingIsAllocated(Configuration configuration, SumReducer reducer, List<String> out) {
    Assumptions.assumeTrue(THREADS.isThreadAllocatedMemoryEnabled());
    final TunerBuilder<?> builder = configuration.builder().get().clipNorm(5).schedule(Schedule.linear(10, 1_000_000));
    final DataType third = configuration.name().endsWith("16-bit state") ? FLOAT16 : FLOAT64;
    final TestTensors tensors =
        new TestTensors().add("a", FLOAT32, 300).group("second").add("b", BFLOAT16, 10).add("c", third, 10).gradients(i -> 1);
    builder.sumReducer(reducer);
    if (builder instanceof Mechanic mechanic) mechanic.scope(Scope.GROUP);
    try (tensors; Optimizer optimizer = builder.build(tensors.on(Device.cpu(1)))) {
      steps(optimizer, 20);
      optimizer.sitOut(out);
      steps(optimizer, 180);
      // The JVM itself may allocate once, when it throws compiled code away; a step that allocates does so in every round.
      long least = Long.MAX_VALUE;
      for (int round = 0; round < 10 && least > 0; ++round) {
        final long before = THREADS.getCurrentThreadAllocatedBytes();
        steps(optimizer, 1000);
        least = Math.min(least, THREADS.getCurrentThreadAllocatedBytes() - before);
      }
      assertEquals(0, least, "bytes allocated by 1000 steps of " + configuration);
      // The measure works: one small object shows.
      final long before = THREADS.getCurrentThreadAllocatedBytes();
      final StepReport copy = optimizer.report().copy();
      assertTrue(THREADS.getCurrentThreadAllocatedBytes() > before && copy.step() > 200);
    }
  }

  /** Trainers move and zero gradients at every step. */
  @Test
  void movingAndZeroingGradientsAllocatesNothing() {
    Assumptions.assumeTrue(THREADS.isThreadAllocatedMemoryEnabled());
    try (TestTensors here = many(0);
        TestTensors there = many(3);
        Optimizer optimizer = FixedRate.of(0.01, AdamW.defaults()).build(here.on(Device.cpu(2)))) {
      final long[] parameters = optimizer.parameters().tensors().stream().mapToLong(ParameterSet.Tensor::parameterAddress).toArray();
      final long[][] gradients = new long[2][];
      int set = 0;
      for (TestTensors tensors : List.of(here, there))
        gradients[set++] = tensors.all().stream().mapToLong(tensor -> tensor.gradients().address()).toArray();
      long least = Long.MAX_VALUE;
      for (int round = 0; round < 20 && least > 0; ++round) {
        final long before = THREADS.getCurrentThreadAllocatedBytes();
        for (int i = 0; i < 500; ++i) {
          optimizer.rebind(parameters, gradients[i % 2]);
          optimizer.rebind(parameters, gradients[i % 2]);
          optimizer.rebind("t3", parameters[3], gradients[(i + 1) % 2][3]);
          optimizer.zeroGradients();
          optimizer.step();
        }
        least = Math.min(least, THREADS.getCurrentThreadAllocatedBytes() - before);
      }
      assertEquals(0, least, "bytes allocated by 500 steps whose gradients have moved");
    }
  }

  private static TestTensors many(int offset) {
    final TestTensors tensors = new TestTensors();
    for (int t = 0; t < 30; ++t) tensors.group(t % 3 == 0 ? "a" : "b").add("t" + t, FLOAT32, FLOAT32, 50, offset);
    return tensors;
  }

  /** Nor by one that is skipped, though it looks for the reason. */
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void skippedStepsAllocateNothing(boolean parameter) {
    Assumptions.assumeTrue(THREADS.isThreadAllocatedMemoryEnabled());
    try (TestTensors tensors = TestTensors.of(FLOAT32, 300).gradients(i -> Double.NaN);
        Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).lossScale(LossScale.defaults()).build(tensors.on(Device.cpu(1)))) {
      if (parameter) tensors.parameters(0).set(7, Double.NaN);
      steps(optimizer, 200);
      long least = Long.MAX_VALUE;
      for (int round = 0; round < 10 && least > 0; ++round) {
        final long before = THREADS.getCurrentThreadAllocatedBytes();
        steps(optimizer, 1000);
        least = Math.min(least, THREADS.getCurrentThreadAllocatedBytes() - before);
      }
      assertEquals(0, least);
      assertEquals(parameter ? StepReport.Skip.NON_FINITE_PARAMETER : StepReport.Skip.NON_FINITE_GRADIENT, optimizer.report().skip());
    }
  }

  private static void steps(Optimizer optimizer, int count) {
    for (int i = 0; i < count; ++i) optimizer.step(0.5);
  }
}
