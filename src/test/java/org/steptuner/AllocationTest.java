// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
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
            new Configuration(
                "Hypergradient, released",
                () -> Hypergradient.tuning(Adam.defaults(), 0.01, 1e-9).variant(Hypergradient.Variant.ADDITIVE_RELEASED)),
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
    assertNothingIsAllocated(configuration, List.of());
  }

  /** Nor while scalars are held. */
  @ParameterizedTest
  @MethodSource("configurations")
  void nothingIsAllocatedWhileTensorsSitOut(Configuration configuration) {
    assertNothingIsAllocated(configuration, List.of("b", "c"));
  }

  private static void assertNothingIsAllocated(Configuration configuration, List<String> out) {
    Assumptions.assumeTrue(THREADS.isThreadAllocatedMemoryEnabled());
    final TestTensors tensors =
        new TestTensors().add("a", FLOAT32, 300).group("second").add("b", BFLOAT16, 10).add("c", FLOAT64, 10).gradients(i -> 1);
    final TunerBuilder<?> builder = configuration.builder().get().clipNorm(5).schedule(Schedule.linear(10, 1_000_000));
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

  private static void steps(Optimizer optimizer, int count) {
    for (int i = 0; i < count; ++i) optimizer.step(0.5);
  }
}
