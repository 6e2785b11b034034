// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.NamedTensors.find;
import static org.steptuner.NamedTensors.make;
import static org.steptuner.NamedTensors.train;
import static org.steptuner.NamedTensors.usual;
import static org.steptuner.Refusal.assertRefused;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.DoubleUnaryOperator;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.NamedTensors.Spec;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.MirrorMADGRAD;
import org.steptuner.rule.ModernizedDualAveraging;
import org.steptuner.rule.PrimalAveraging;
import org.steptuner.rule.SGD;
import org.steptuner.rule.ScheduleFreeAdamW;
import org.steptuner.rule.ScheduleFreeSGD;
import org.steptuner.tuner.DAdaptation;
import org.steptuner.tuner.DistanceAdaptation;
import org.steptuner.tuner.DoG;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.GradaGrad;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.NewtonRate;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/** A trainer that writes into the parameters, and says so: they stay as written, and training goes on from there. */
class ParametersMovedTest extends CheckpointFileTest {
  private static final Device CPU = Device.cpu(1);

  static Stream<Configuration> scoped() {
    return RestoreTest.scoped();
  }

  private static void write(TestTensors tensors, DoubleUnaryOperator value) {
    for (TestTensors.Tensor tensor : tensors.all())
      for (int i = 0; i < tensor.parameters().count(); ++i)
        tensor.parameters().set(i, value.applyAsDouble(tensor.parameters().get(i)));
  }

  private static void quiet(TestTensors tensors, Optimizer optimizer) {
    tensors.gradients(i -> 0);
    optimizer.step(1);
  }

  /** What the next step does, with gradients of 0, after all parameters were written. */
  private static double[] stepAfter(Configuration configuration, DoubleUnaryOperator value, boolean says) {
    try (TestTensors tensors = make(usual(), 0); Optimizer optimizer = configuration.build(tensors.on(CPU))) {
      train(tensors, optimizer, 0, 5);
      write(tensors, value);
      final double[] written = tensors.values();
      if (says) {
        optimizer.parametersMoved();
        assertArrayEquals(written, tensors.values(), 0, configuration + ": as written");
      }
      quiet(tensors, optimizer);
      final double[] step = tensors.values();
      for (int i = 0; i < step.length; ++i) step[i] -= written[i];
      return step;
    }
  }

  private static double size(double[] values) {
    return Arrays.stream(values).map(Math::abs).max().orElseThrow();
  }

  /** A step from there is no longer than one from where the parameters were, but for the decay of what was written, and rounding. */
  @ParameterizedTest
  @MethodSource("scoped")
  void staysAsWritten(Configuration configuration) {
    final double usual = size(stepAfter(configuration, x -> x, false));
    for (DoubleUnaryOperator value : List.<DoubleUnaryOperator>of(x -> x + 3, x -> Math.max(-0.5, Math.min(0.5, x - 2)))) {
      final double moved = size(stepAfter(configuration, value, true));
      assertTrue(moved <= 3 * usual + 0.1, configuration + ": moved by " + moved + ", usually by " + usual);
    }
  }

  /** What is undone without the call; the others go on from where they are by themselves. */
  @Test
  void withoutTheCall() {
    final List<String> undone = new ArrayList<>();
    for (Configuration configuration : scoped().filter(c -> !c.name().contains(" by ")).toList()) {
      final double usual = size(stepAfter(configuration, x -> x, false));
      if (size(stepAfter(configuration, x -> x + 3, false)) > 3 * usual + 0.1) undone.add(configuration.name());
    }
    for (String part : List.of(
        "MADGRAD", "MirrorMADGRAD", "ModernizedDualAveraging", "Prodigy", "Prodigy sliced", "Prodigy over Schedule-Free",
        "D-Adaptation SGD", "D-Adaptation AdaGrad", "D-Adaptation, dual averaging", "D-Adaptation, gradient descent", "Resetting",
        "Prodigy, gradient descent", "Prodigy, dual averaging", "GradaGrad with momentum", "GradaGrad diagonal",
        "Mechanic TORCH without decay STORED over AdamW", "Mechanic OPTAX DISCOUNTED over AdamW",
        "Mechanic THEORETICAL STORED over AdamW"))
      assertTrue(undone.contains(part), part + " is not among " + undone);
  }

  /** Some tensors only: the others do not notice, where nothing is shared. */
  @ParameterizedTest
  @MethodSource("scoped")
  void someTensors(Configuration configuration) {
    try (TestTensors tensors = make(usual(), 0);
        TestTensors still = make(usual(), 0);
        Optimizer optimizer = configuration.build(tensors.on(CPU));
        Optimizer exact = configuration.build(still.on(CPU))) {
      train(tensors, optimizer, 0, 5);
      train(still, exact, 0, 5);
      final Map<String, byte[]> before = new LinkedHashMap<>();
      for (String slot : optimizer.slots()) before.put(slot, RestoreTest.bytes(optimizer.state(slot, "w")));
      find(tensors, "v").parameters().fill(i -> 4);
      optimizer.parametersMoved(Set.of("v"));
      optimizer.parametersMoved(Set.of());
      for (String slot : optimizer.slots())
        assertArrayEquals(before.get(slot), RestoreTest.bytes(optimizer.state(slot, "w")), configuration + ": " + slot);
      train(tensors, optimizer, 5, 8);
      train(still, exact, 5, 8);
      if (configuration.name().endsWith("by TENSOR") || configuration.builder().get() instanceof FixedRate)
        for (String name : List.of("w", "b"))
          TestTensors.assertSameBits(find(still, name).parameters(), find(tensors, name).parameters(), configuration + ": " + name);
      for (double x : find(tensors, "v").parameters().toDoubles()) assertEquals(4, x, 0.9, configuration.name());
    }
  }

  /** Training goes on: on half |x - target|^2 it comes nearer to the target from wherever it was put. */
  @ParameterizedTest
  @MethodSource("org.steptuner.ParametersMovedTest#training")
  void trainingGoesOn(Configuration configuration) {
    try (TestTensors tensors = make(List.of(new Spec("w", "default", FLOAT64, 9)), 0);
        Optimizer optimizer = configuration.build(tensors.on(CPU))) {
      descend(tensors, optimizer, 20);
      write(tensors, x -> x + 3);
      optimizer.parametersMoved();
      final double before = loss(tensors);
      descend(tensors, optimizer, 400);
      assertTrue(loss(tensors) < 0.99 * before, configuration + ": from " + before + " to " + loss(tensors));
    }
  }

  static Stream<Configuration> training() {
    return Stream.concat(TestOptimizers.some().stream(), TestOptimizers.others().stream());
  }

  private static double loss(TestTensors tensors) {
    return Arrays.stream(tensors.values()).map(x -> (x - 2) * (x - 2) / 2).sum();
  }

  private static void descend(TestTensors tensors, Optimizer optimizer, int steps) {
    for (int step = 0; step < steps; ++step) {
      final double[] x = tensors.values();
      tensors.gradients(i -> x[i] - 2);
      optimizer.step(loss(tensors));
    }
  }

  /** Forms whose steps do not depend on where x is: all that they keep goes with x. */
  static Stream<Configuration> translated() {
    final Map<String, Supplier<TunerBuilder<?>>> all = new LinkedHashMap<>();
    final SGD momentum = SGD.defaults().momentum(0.9);
    for (Mechanic.Delta delta : List.of(Mechanic.Delta.STORED, Mechanic.Delta.DISCOUNTED))
      for (Mechanic.Variant variant : List.of(Mechanic.Variant.TORCH, Mechanic.Variant.OPTAX))
        all.put("Mechanic " + variant + " " + delta, () -> Mechanic.tuning(momentum).variant(variant).decay(0).delta(delta));
    all.put("Mechanic over Schedule-Free", () -> Mechanic.tuning(ScheduleFreeSGD.defaults().stepPower(0)).decay(0));
    for (Prodigy.Displacement displacement : List.of(Prodigy.Displacement.STORED, Prodigy.Displacement.ACCUMULATED))
      all.put("Prodigy " + displacement, () -> Prodigy.tuning(Adam.defaults()).displacement(displacement));
    all.put("Prodigy over Schedule-Free", () -> Prodigy.tuning(ScheduleFreeAdamW.defaults().weightDecay(0)));
    all.put("D-Adaptation SGD", () -> DAdaptation.tuning(SGD.defaults()));
    all.put("D-Adaptation AdaGrad", () -> DAdaptation.tuning(AdaGrad.defaults().epsilon(1e-6)));
    all.put("D-Adaptation Adam", () -> DAdaptation.tuning(Adam.defaults()));
    final List<Supplier<DistanceAdaptation>> forms =
        List.of(DAdaptation::dualAveraging, DAdaptation::gradientDescent, Prodigy::gradientDescent, Prodigy::dualAveraging);
    for (Supplier<DistanceAdaptation> form : forms)
      for (boolean averaging : new boolean[] {false, true})
        all.put("distance " + forms.indexOf(form) + averaging, () -> form.get().averaging(averaging));
    all.put("Resetting", () -> DAdaptation.dualAveraging().resetting());
    all.put("MADGRAD", () -> FixedRate.of(0.01, MADGRAD.defaults().momentum(0)));
    all.put("MirrorMADGRAD", () -> FixedRate.of(0.01, MirrorMADGRAD.defaults().momentum(0)));
    all.put("ModernizedDualAveraging", () -> FixedRate.of(0.01, ModernizedDualAveraging.defaults().momentum(0)));
    all.put("PrimalAveraging", () -> FixedRate.of(0.01, PrimalAveraging.defaults()));
    all.put("Schedule-Free SGD", () -> FixedRate.of(0.01, ScheduleFreeSGD.defaults()));
    all.put("GradaGrad", () -> GradaGrad.tuning(SGD.defaults(), 0.1));
    all.put("DoG", () -> DoG.tuning(SGD.defaults()).initialStep(0.1));
    all.put("NewtonRate", () -> NewtonRate.tuning(momentum, 0.01).interval(6));
    final List<Configuration> list = new ArrayList<>();
    all.forEach((name, builder) -> list.add(new Configuration(name, builder)));
    return list.stream();
  }

  /** Steps, scales and evaluated points are those of a run that was not moved, elsewhere. */
  @ParameterizedTest
  @MethodSource("translated")
  void theRunElsewhere(Configuration configuration) {
    final List<Spec> specs = List.of(new Spec("w", "default", FLOAT64, 41), new Spec("v", "bias", FLOAT64, 13));
    try (TestTensors tensors = make(specs, 0);
        TestTensors still = make(specs, 0);
        Optimizer optimizer = configuration.build(tensors.on(CPU));
        Optimizer exact = configuration.build(still.on(CPU))) {
      train(still, exact, 0, 5);
      train(tensors, optimizer, 0, 5);
      write(tensors, x -> x + 3);
      optimizer.parametersMoved();
      train(still, exact, 5, 12);
      train(tensors, optimizer, 5, 12);
      if (!configuration.name().equals("NewtonRate")) // the way of its window begins anew
        assertEquals(exact.report().learnedScale(), optimizer.report().learnedScale(), 1e-9 * exact.report().learnedScale());
      assertElsewhere(configuration, tensors, still);
      exact.evaluating();
      optimizer.evaluating();
      assertElsewhere(configuration, tensors, still);
    }
  }

  private static void assertElsewhere(Configuration configuration, TestTensors tensors, TestTensors still) {
    final double[] back = Arrays.stream(tensors.values()).map(x -> x - 3).toArray();
    assertArrayEquals(still.values(), back, configuration.name().equals("NewtonRate") ? 0.02 : 1e-9, configuration.name());
  }

  /** Where nothing was written, the call changes no bit of what is rebuilt from stored steps. */
  @ParameterizedTest
  @MethodSource("translated")
  void nothingWritten(Configuration configuration) {
    if (configuration.name().equals("NewtonRate")) return;
    final boolean point = configuration.name().contains("MADGRAD") || configuration.name().startsWith("Modernized");
    try (TestTensors tensors = make(List.of(new Spec("w", "default", FLOAT64, 41)), 0);
        Optimizer optimizer = configuration.build(tensors.on(CPU))) {
      optimizer.parametersMoved(); // before the first step
      train(tensors, optimizer, 0, 5);
      final SavedState before = SavedState.of(optimizer);
      optimizer.parametersMoved();
      if (!point) before.assertSame(SavedState.of(optimizer), configuration.name());
    }
  }

  /** Mechanic without a stored Delta begins a new one: the way that the trainer went is not multiplied by the scale. */
  @Test
  void deltaThatIsNotStored() {
    for (double decay : new double[] {0, 0.01}) {
      try (TestTensors tensors = TestTensors.of(FLOAT64, 5);
          Optimizer optimizer =
              Mechanic.tuning(SGD.defaults()).delta(Mechanic.Delta.RECOMPUTED).decay(decay).initialScale(1e-3).build(tensors.on(CPU))) {
        for (int step = 0; step < 20; ++step) {
          tensors.gradients(i -> -1);
          optimizer.step();
        }
        final double scale = optimizer.report().learnedScale();
        tensors.parameters(i -> 100);
        optimizer.parametersMoved();
        tensors.gradients(i -> -1);
        optimizer.step();
        for (double x : tensors.values()) assertEquals(100 + optimizer.report().learnedScale(), x, 1e-9);
        assertTrue(Math.abs(optimizer.report().learnedScale() / scale - 1) < 0.5, "the scale goes on");
      }
    }
  }

  /** A distance that is computed from x begins anew: the rate does not grow by what the trainer did. */
  @Test
  void waysThatAreNotStored() {
    for (DoG.Displacement displacement : DoG.Displacement.values()) {
      try (TestTensors tensors = TestTensors.of(FLOAT64, 5);
          Optimizer optimizer = DoG.tuning(SGD.defaults()).initialStep(0.01).displacement(displacement).build(tensors.on(CPU))) {
        for (int step = 0; step < 5; ++step) {
          tensors.gradients(i -> 1);
          optimizer.step();
        }
        final double rate = optimizer.report().learnedScale();
        tensors.parameters(i -> 1000);
        optimizer.parametersMoved();
        for (int step = 0; step < 3; ++step) {
          tensors.gradients(i -> 1);
          optimizer.step();
        }
        assertTrue(optimizer.report().learnedScale() < 3 * rate, displacement + ": " + optimizer.report().learnedScale());
      }
    }
    final double usual = scaleOfProdigy(false);
    final double moved = scaleOfProdigy(true);
    assertTrue(moved <= usual && moved > usual / 10, "d is " + moved + ", and without the move " + usual);
  }

  private static double scaleOfProdigy(boolean moves) {
    try (TestTensors tensors = TestTensors.of(FLOAT64, 5);
        Optimizer optimizer =
            Prodigy.tuning(Adam.defaults()).displacement(Prodigy.Displacement.RECOMPUTED).build(tensors.on(CPU))) {
      for (int step = 0; step < 10; ++step) {
        if (moves && step == 5) {
          tensors.parameters(i -> -1000); // along the gradient: as progress it would be the largest
          optimizer.parametersMoved();
        }
        tensors.gradients(i -> 1);
        optimizer.step();
      }
      return optimizer.report().learnedScale();
    }
  }

  /** State from a file, and parameters of the caller's: the state is fitted to them. */
  @ParameterizedTest
  @MethodSource("scoped")
  void keptParameters(Configuration configuration) {
    try (TestTensors tensors = make(usual(), 0);
        TestTensors others = make(usual(), 0);
        Optimizer optimizer = configuration.build(tensors.on(CPU));
        Optimizer kept = configuration.build(others.on(CPU))) {
      train(tensors, optimizer, 0, 5);
      optimizer.save(file);
      write(others, x -> x + 3);
      final double[] written = others.values();
      kept.restore(file, RestoreOptions.strict().keepParameters());
      assertArrayEquals(written, others.values(), 0);
      quiet(others, kept);
      quiet(tensors, optimizer);
      final double[] step = others.values();
      for (int i = 0; i < step.length; ++i) step[i] -= written[i];
      final double usual = size(stepAfter(configuration, x -> x, false));
      assertTrue(size(step) <= 3 * usual + 0.1, configuration + ": moved by " + size(step));
    }
  }

  /** A tensor that sits out is written too, and comes back where it was put. */
  @ParameterizedTest
  @MethodSource("scoped")
  void whileSittingOut(Configuration configuration) {
    try (TestTensors tensors = make(usual(), 0); Optimizer optimizer = configuration.build(tensors.on(CPU))) {
      train(tensors, optimizer, 0, 5);
      optimizer.sitOut(Set.of("v"));
      train(tensors, optimizer, 5, 7);
      find(tensors, "v").parameters().fill(i -> 6);
      optimizer.parametersMoved(Set.of("v"));
      train(tensors, optimizer, 7, 9);
      for (double x : find(tensors, "v").parameters().toDoubles()) assertEquals(6, x, 0, configuration.name());
      optimizer.sitOut(Set.of());
      train(tensors, optimizer, 9, 10);
      for (double x : find(tensors, "v").parameters().toDoubles()) assertEquals(6, x, 0.3, configuration.name());
    }
  }

  @Test
  void refusals() {
    try (TestTensors tensors = make(usual(), 0);
        Optimizer optimizer = FixedRate.of(0.1, ScheduleFreeSGD.defaults()).build(tensors.on(CPU))) {
      train(tensors, optimizer, 0, 2);
      assertRefused(IllegalArgumentException.class, () -> optimizer.parametersMoved(List.of("w", "x", "y")), "'x'", "'y'");
      assertRefused(NullPointerException.class, () -> optimizer.parametersMoved(null), "tensors");
      optimizer.evaluating();
      assertRefused(IllegalStateException.class, optimizer::parametersMoved, "training()", "parametersMoved");
      optimizer.training();
      optimizer.parametersMoved();
    }
    final TestTensors tensors = make(usual(), 0);
    final Optimizer closed = FixedRate.of(0.1, AdamW.defaults()).build(tensors.on(CPU));
    closed.close();
    assertRefused(IllegalStateException.class, closed::parametersMoved, "closed");
    tensors.close();
  }
}
