// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import java.util.List;
import java.util.stream.Stream;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.StepReport.Skip;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.SGD;
import org.steptuner.rule.SuppliedUpdate;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Hypergradient;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.MoMo;

/** A step that is skipped says what was not finite: a gradient, a parameter, the state, or a sum; and in which tensors. */
class NonFiniteReasonTest {
  private static final Device CPU = Device.cpu(2);

  static Stream<Configuration> configurations() {
    return Stream.concat(TestOptimizers.some().stream(), TestOptimizers.others().stream());
  }

  private static TestTensors tensors() {
    return new TestTensors()
        .add("a", FLOAT32, 4100)
        .add("none", FLOAT32, 0)
        .group("second")
        .add("b", FLOAT64, 3)
        .add("c", BFLOAT16, 130)
        .group("third")
        .add("d", FLOAT16, FLOAT32, 600, 0)
        .parameters(i -> 1 + i % 3)
        .gradients(i -> 1 + Math.sin(i) / 2);
  }

  /** Where a parameter is no number, the gradients mostly are none either: the parameter is the reason. */
  @ParameterizedTest
  @MethodSource("configurations")
  void aParameterIsNotCalledAGradient(Configuration configuration) {
    if (configuration.name().contains("Supplied")) return;
    try (TestTensors tensors = tensors(); Optimizer optimizer = configuration.build(tensors.on(CPU))) {
      assertFalse(optimizer.step(1).skipped());
      final SavedState before = SavedState.of(optimizer);
      for (double poison : new double[] {Double.NaN, Double.POSITIVE_INFINITY}) {
        final long good = tensors.parameters(3).bits(77);
        tensors.parameters(3).set(77, poison);
        tensors.gradients(3).set(77, Double.NaN);
        assertEquals(Skip.NON_FINITE_PARAMETER, optimizer.step(1).skip());
        tensors.parameters(3).setBits(77, good);
        assertEquals(Skip.NON_FINITE_GRADIENT, optimizer.step(1).skip());
        tensors.gradients(3).set(77, 1);
      }
      before.assertUnchanged(SavedState.of(optimizer), configuration.name());
    }
  }

  /** A sum has the parameter in it, and every gradient is finite. */
  @Test
  void aSumOverParametersIsNotCalledAGradient() {
    final List<Configuration> sums = List.of(
        new Configuration("MoMo", () -> MoMo.tuning(SGD.defaults())),
        new Configuration("Hypergradient", () -> Hypergradient.tuning(SGD.defaults().weightDecay(0.1), 0.1, 1e-3)),
        new Configuration("Mechanic",
            () -> Mechanic.tuning(SGD.defaults()).variant(Mechanic.Variant.TORCH).delta(Mechanic.Delta.RECOMPUTED).allowFreezing()));
    for (Configuration configuration : sums) {
      try (TestTensors tensors = tensors(); Optimizer optimizer = configuration.build(tensors.on(CPU))) {
        assertFalse(optimizer.step(1).skipped(), configuration.name());
        tensors.parameters(0).set(4099, Double.NaN);
        final StepReport report = optimizer.step(1);
        if (configuration.name().equals("Hypergradient") && !report.skipped()) continue; // it keeps its rate instead
        assertEquals(Skip.NON_FINITE_PARAMETER, report.skip(), configuration.name());
        assertTrue(Double.isFinite(report.gradientNorm()), configuration.name());
        assertEquals(List.of(new NonFiniteTensor("a", true, false, List.of())), optimizer.nonFiniteTensors());
      }
    }
  }

  /** As the documentation says of it. */
  @Test
  void aFixedRateDoesNotLookAtParameters() {
    try (TestTensors tensors = tensors(); Optimizer optimizer = FixedRate.of(0.1, SGD.defaults()).build(tensors.on(CPU))) {
      tensors.parameters(0).set(5, Double.NaN);
      assertFalse(optimizer.step().skipped());
      assertEquals(List.of(new NonFiniteTensor("a", true, false, List.of())), optimizer.nonFiniteTensors());
    }
  }

  private static final class Floats extends FloatPointer {
    Floats(StateTensor at) {
      super((Pointer) null);
      address = at.address();
    }
  }

  @Test
  void theStateIsNotCalledAGradient() {
    try (TestTensors tensors = tensors();
        Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).nonFinite(NonFinite.THROW).build(tensors.on(CPU))) {
      optimizer.step();
      new Floats(optimizer.state("delta", "c")).put(129, Float.NaN);
      assertRefused(NonFiniteException.class, optimizer::step, "step 2", "state", "'c'");
      assertEquals(Skip.NON_FINITE_STATE, optimizer.report().skip());
      assertEquals(List.of(new NonFiniteTensor("c", false, false, List.of("delta"))), optimizer.nonFiniteTensors());
      // The guard sees no momentum, but who asks is told.
      new Floats(optimizer.state("delta", "c")).put(129, 0);
      new Floats(optimizer.state("momentum", "d")).put(0, Float.POSITIVE_INFINITY);
      new Floats(optimizer.state("square", "a")).put(4096, Float.NaN);
      assertEquals(
          List.of(new NonFiniteTensor("a", false, false, List.of("square")), new NonFiniteTensor("d", false, false, List.of("momentum"))),
          optimizer.nonFiniteTensors());
    }
  }

  @ParameterizedTest
  @MethodSource("org.steptuner.TestDevices#all")
  void tensorsAreNamedOnEveryDeviceAndInEveryType(TestDevices.Candidate candidate) {
    final Device device = candidate.open();
    try (TestTensors tensors = tensors(); Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).build(tensors.on(device))) {
      assertEquals(List.of(), optimizer.nonFiniteTensors());
      for (int t : new int[] {0, 2, 3, 4}) {
        final TestTensors.Tensor tensor = tensors.all().get(t);
        for (int at : new int[] {0, tensor.gradients().count() / 2, tensor.gradients().count() - 1})
          for (double poison : new double[] {Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY}) {
            final long good = tensor.gradients().bits(at);
            tensor.gradients().set(at, poison);
            assertTrue(optimizer.step().skipped());
            final List<NonFiniteTensor> expected = List.of(new NonFiniteTensor(tensor.name(), false, true, List.of()));
            assertEquals(expected, optimizer.nonFiniteTensors(), candidate.name());
            tensor.gradients().setBits(at, good);
          }
      }
      assertFalse(optimizer.step().skipped());
    }
  }

  /** Updates that are supplied are not gradients, which there may be none of. */
  @Test
  void aTensorWithoutGradientsHasNoneThatAreNotFinite() {
    try (TestTensors tensors = tensors()) {
      final ParameterSet.Builder builder = ParameterSet.on(CPU);
      for (TestTensors.Tensor tensor : tensors.all()) {
        final TestArray x = tensor.parameters();
        builder.add(tensor.name(), x.address(), x.type(), 0, x.type(), tensor.updates().address(), x.count());
      }
      final ParameterSet set = builder.build();
      try (Optimizer optimizer = FixedRate.of(1, new SuppliedUpdate()).nonFinite(NonFinite.UNCHECKED).build(set)) {
        tensors.updates(3).set(0, Double.NaN);
        assertEquals(List.of(), optimizer.nonFiniteTensors());
        tensors.parameters(3).set(0, Double.NaN);
        assertEquals(List.of(new NonFiniteTensor("c", true, false, List.of())), optimizer.nonFiniteTensors());
      }
    }
  }

  @Test
  void exceptionsNameTheTensors() {
    try (TestTensors tensors = tensors();
        Optimizer optimizer = FixedRate.of(0.1, AdamW.defaults()).nonFinite(NonFinite.THROW).build(tensors.on(CPU))) {
      tensors.gradients(2).set(1, Double.NaN);
      tensors.gradients(3).set(1, Double.NaN);
      assertRefused(NonFiniteException.class, optimizer::step, "step 1", "a gradient is not finite", "NaN", "in tensors 'b', 'c'");
      tensors.gradients(2).set(1, 1);
      tensors.gradients(3).set(1, 1);
      tensors.parameters(4).set(7, Double.NEGATIVE_INFINITY);
      tensors.gradients(4).set(7, Double.NaN);
      assertRefused(NonFiniteException.class, optimizer::step, "a parameter is not finite, in tensor 'd'");
      tensors.parameters(4).set(7, 1);
      tensors.gradients(4).set(7, 1e30);
      assertRefused(NonFiniteException.class, optimizer::step, "every gradient is finite", "too large", "Infinity", "'d'");
      assertEquals(Skip.NON_FINITE_GRADIENT, optimizer.report().skip());
      assertEquals(List.of(), optimizer.nonFiniteTensors());
    }
  }

  /** Four tensors: three are named, and the rest counted. */
  @Test
  void longListsAreCut() {
    try (TestTensors tensors = tensors().add("e", FLOAT32, 5);
        Optimizer optimizer = FixedRate.of(0.1, SGD.defaults()).nonFinite(NonFinite.THROW).build(tensors.on(CPU))) {
      for (TestTensors.Tensor tensor : tensors.all()) if (tensor.gradients().count() > 0) tensor.gradients().set(0, Double.NaN);
      assertRefused(NonFiniteException.class, optimizer::step, "in tensors 'a', 'b', 'c' and 2 more");
    }
  }
}
