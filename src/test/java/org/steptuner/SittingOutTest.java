// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.NamedTensors.find;
import static org.steptuner.NamedTensors.make;
import static org.steptuner.Refusal.assertRefused;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.NamedTensors.Spec;
import org.steptuner.StepReport.Skip;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.curvature.HessianVectorProduct;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Adan;
import org.steptuner.rule.Lion;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.ModernizedDualAveraging;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.rule.ScheduleFreeSGD;
import org.steptuner.tuner.Armijo;
import org.steptuner.tuner.CDAT;
import org.steptuner.tuner.DAdaptation;
import org.steptuner.tuner.DoG;
import org.steptuner.tuner.ExactSharpness;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.MetaOptimize;
import org.steptuner.tuner.NewtonRate;
import org.steptuner.tuner.Polyak;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/** Tensors that sit out a step: the step is made as if they were not there, and they come back where they were. */
class SittingOutTest extends CheckpointFileTest {
  private static final Device CPU = Device.cpu(1);
  private static final Spec OUT = new Spec("b", "default", BFLOAT16, 7);
  private static final List<Spec> REST = List.of(new Spec("w", "default", FLOAT64, 41), new Spec("v", "bias", FLOAT64, 13));
  private static final List<Spec> ALL = List.of(REST.get(0), OUT, REST.get(1));

  static Stream<Configuration> scoped() {
    return RestoreTest.scoped();
  }

  private static boolean byTensor(Configuration configuration) {
    return configuration.name().endsWith("by TENSOR") || configuration.builder().get() instanceof FixedRate;
  }

  /** What a tensor has: its parameters and its slots. */
  private static Map<String, byte[]> bits(TestTensors tensors, Optimizer optimizer, String name) {
    final Map<String, byte[]> bits = new HashMap<>();
    bits.put("parameters", find(tensors, name).parameters().toBytes());
    for (String slot : optimizer.slots()) bits.put(slot, RestoreTest.bytes(optimizer.state(slot, name)));
    return bits;
  }

  private static void assertSame(Map<String, byte[]> expected, Map<String, byte[]> actual, String what) {
    assertEquals(expected.keySet(), actual.keySet());
    expected.forEach((slot, bytes) -> assertArrayEquals(bytes, actual.get(slot), what + ": " + slot));
  }

  private static void step(TestTensors tensors, Optimizer optimizer, int step) {
    NamedTensors.gradients(tensors, step);
    optimizer.step(2 - 0.01 * step);
  }

  private static void poison(TestTensors tensors) {
    for (TestTensors.Tensor tensor : tensors.all())
      if (tensor.name().equals("b")) {
        tensor.gradients().fill(i -> Double.NaN);
        tensor.updates().fill(i -> Double.NaN);
      }
  }

  /** Steps that one tensor sits out, whose gradients are NaN, beside steps of the others alone. */
  private static void assertAsIfNotThere(
      Configuration configuration, TestTensors tensors, Optimizer optimizer, TestTensors alone, Optimizer exact, int from, int to) {
    final Map<String, byte[]> before = bits(tensors, optimizer, "b");
    for (int step = from; step < to; ++step) {
      NamedTensors.gradients(tensors, step);
      poison(tensors);
      final StepReport report = optimizer.step(2 - 0.01 * step);
      step(alone, exact, step);
      final String what = configuration + ", step " + step;
      assertEquals(Skip.NONE, report.skip(), what);
      assertEquals(exact.report().gradientNorm(), report.gradientNorm(), 1e-12, what);
      assertEquals(exact.report().gradientL1(), report.gradientL1(), 1e-9, what);
      assertEquals(exact.report().clipFactor(), report.clipFactor(), 1e-12, what);
      for (Spec spec : REST) {
        if (byTensor(configuration))
          assertSame(bits(alone, exact, spec.name()), bits(tensors, optimizer, spec.name()), what + ", " + spec.name());
        assertArrayEquals(
            find(alone, spec.name()).parameters().toDoubles(), find(tensors, spec.name()).parameters().toDoubles(), 1e-8, what);
      }
      assertSame(before, bits(tensors, optimizer, "b"), what);
    }
  }

  /** A tensor that comes back does not jump: its steps are of the size of the others, or of those of a run that had it always. */
  private static void assertComesBack(Configuration configuration, TestTensors tensors, Optimizer optimizer, int from) {
    optimizer.sitOut(List.of());
    final double[] before = find(tensors, "b").parameters().toDoubles();
    double size = 0;
    try (TestTensors always = make(ALL, 0); Optimizer usual = configuration.build(always.on(CPU))) {
      final double[] first = always.values();
      for (int step = from; step < from + 3; ++step) step(always, usual, step);
      size = RestoreTest.distance(first, always.values());
    }
    final double[] others = find(tensors, "w").parameters().toDoubles();
    for (int step = from; step < from + 3; ++step) {
      step(tensors, optimizer, step);
      assertEquals(Skip.NONE, optimizer.report().skip());
    }
    size = Math.max(size, RestoreTest.distance(others, find(tensors, "w").parameters().toDoubles()));
    final double moved = RestoreTest.distance(before, find(tensors, "b").parameters().toDoubles());
    assertTrue(moved <= 10 * size + 0.02, configuration + ": moved by " + moved + " where others move by " + size);
  }

  /** From the first step on: the run is that of the other tensors, and the tensor begins later. */
  @ParameterizedTest
  @MethodSource("scoped")
  void fromTheFirstStep(Configuration configuration) {
    for (boolean clips : new boolean[] {false, true}) {
      final Configuration of = clips ? clipping(configuration) : configuration;
      try (TestTensors tensors = make(ALL, 0);
          TestTensors alone = make(REST, 0);
          Optimizer optimizer = of.build(tensors.on(CPU));
          Optimizer exact = of.build(alone.on(CPU))) {
        optimizer.sitOut(List.of("b"));
        assertAsIfNotThere(of, tensors, optimizer, alone, exact, 0, 12);
        final byte[] parameters = find(tensors, "b").parameters().toBytes();
        optimizer.evaluating(); // what it has not is not shown
        for (double x : find(tensors, "b").parameters().toDoubles()) assertTrue(x >= 1 && x <= 3, of + " shows " + x);
        optimizer.training();
        assertArrayEquals(parameters, find(tensors, "b").parameters().toBytes());
        assertComesBack(of, tensors, optimizer, 12);
      }
    }
  }

  private static Configuration clipping(Configuration configuration) {
    return new Configuration(
        configuration.name().replaceFirst("^", "clipped, "), () -> configuration.builder().get().clipNorm(2).gradientL1(true));
  }

  /** Whether a scale is made of the past of all tensors, and of a norm of their state: that of a tensor that sits out counts as it is. */
  private static boolean dividesByState(Configuration configuration) {
    final String name = configuration.name();
    return name.startsWith("Prodigy") || name.startsWith("Resetting") || name.startsWith("D-Adaptation") && !name.contains("Adan");
  }

  /** In the middle: as a run that was restored without the tensor. */
  @ParameterizedTest
  @MethodSource("scoped")
  void inTheMiddle(Configuration configuration) {
    if (dividesByState(configuration) && !byTensor(configuration)) return;
    try (TestTensors tensors = make(ALL, 0);
        TestTensors alone = make(REST, 1);
        Optimizer optimizer = configuration.build(tensors.on(CPU));
        Optimizer exact = configuration.build(alone.on(CPU))) {
      for (int step = 0; step < 5; ++step) step(tensors, optimizer, step);
      optimizer.save(file);
      exact.restore(file, RestoreOptions.strict().allowUnusedTensors());
      optimizer.sitOut(List.of("b"));
      assertAsIfNotThere(configuration, tensors, optimizer, alone, exact, 5, 9);
      assertComesBack(configuration, tensors, optimizer, 9);
    }
  }

  /** The scalars of a scope without a tensor in the step are held, and so is the scope's report. */
  @ParameterizedTest
  @MethodSource("scoped")
  void scalarsOfAScopeThatSitsOut(Configuration configuration) {
    if (!configuration.name().endsWith("by TENSOR")) return;
    try (TestTensors tensors = make(ALL, 0); Optimizer optimizer = configuration.build(tensors.on(CPU))) {
      for (int step = 0; step < 4; ++step) step(tensors, optimizer, step);
      final Map<String, double[]> before = optimizer.scalars();
      final double scale = optimizer.report().learnedScale(1);
      optimizer.sitOut(List.of("b"));
      for (int step = 4; step < 8; ++step) step(tensors, optimizer, step);
      before.forEach((name, values) -> {
        final double[] now = optimizer.scalars().get(name);
        final int per = values.length / 3;
        for (int i = per; i < 2 * per; ++i) assertEquals(values[i], now[i], configuration + ": " + name);
      });
      assertEquals(scale, optimizer.report().learnedScale(1));
      assertEquals(0, optimizer.report().effectiveRate(1));
      assertTrue(optimizer.report().effectiveRate(0) != 0 || configuration.name().contains("Mechanic"), configuration.name());
      // And without it: as if it had never been away, but for the number of the step.
      optimizer.sitOut(List.of());
      final Map<String, double[]> after = optimizer.scalars();
      before.forEach((name, values) -> {
        for (int i = values.length / 3; i < 2 * (values.length / 3); ++i)
          assertEquals(values[i], after.get(name)[i], configuration + ": " + name);
      });
    }
  }

  /** A step of nobody is made, and nothing changes. */
  @ParameterizedTest
  @MethodSource("scoped")
  void everyTensor(Configuration configuration) {
    try (TestTensors tensors = make(ALL, 0); Optimizer optimizer = configuration.build(tensors.on(CPU))) {
      for (int before : new int[] {0, 4}) {
        optimizer.sitOut(List.of());
        for (int step = 0; step < before; ++step) step(tensors, optimizer, step);
        final long steps = optimizer.steps();
        final SavedState saved = SavedState.of(optimizer);
        optimizer.sitOut(List.of("w", "b", "v"));
        for (TestTensors.Tensor tensor : tensors.all()) tensor.gradients().fill(i -> Double.POSITIVE_INFINITY);
        final StepReport report = optimizer.step(1);
        assertEquals(Skip.NONE, report.skip());
        assertEquals(0, report.gradientNorm());
        assertEquals(steps + 1, optimizer.steps());
        final String manifest = SavedState.of(optimizer).manifest().replace("steps=" + (steps + 1), "steps=" + steps);
        if (before > 0) {
          assertEquals(saved.manifest(), manifest, configuration.name());
          final SavedState now = SavedState.of(optimizer);
          saved.entries().forEach((name, bytes) -> {
            // ModernizedDualAveraging's z goes by the number of the step, and its start is fitted to that when a file is made.
            if (!name.equals("manifest") && !(configuration.name().startsWith("Modernized") && name.contains("/start/")))
              assertArrayEquals(bytes, now.entries().get(name), name);
          });
        }
      }
      optimizer.sitOut(List.of());
      for (int step = 4; step < 6; ++step) step(tensors, optimizer, step);
      for (double x : tensors.values()) assertTrue(x > -3 && x < 6, configuration + ": " + x);
    }
  }

  /** A file of a run in which a tensor sits out can be restored with it and without it, and saving changes nothing for the others. */
  @ParameterizedTest
  @MethodSource("scoped")
  void savingMeanwhile(Configuration configuration) {
    try (TestTensors tensors = make(ALL, 0);
        TestTensors undisturbed = make(ALL, 0);
        TestTensors later = make(ALL, 1);
        Optimizer optimizer = configuration.build(tensors.on(CPU));
        Optimizer other = configuration.build(undisturbed.on(CPU));
        Optimizer restored = configuration.build(later.on(CPU))) {
      optimizer.sitOut(List.of("b"));
      other.sitOut(List.of("b"));
      for (int step = 0; step < 8; ++step) {
        if (step == 4) {
          optimizer.save(file);
          optimizer.sitOut(List.of("b"));
        }
        step(tensors, optimizer, step);
        step(undisturbed, other, step);
      }
      for (Spec spec : REST)
        assertSame(bits(undisturbed, other, spec.name()), bits(tensors, optimizer, spec.name()), configuration + ", " + spec.name());
      // It sits out in the other run too, which goes on bit for bit.
      restored.sitOut(List.of("b"));
      restored.restore(file);
      for (int step = 4; step < 8; ++step) step(later, restored, step);
      for (Spec spec : REST)
        assertSame(bits(tensors, optimizer, spec.name()), bits(later, restored, spec.name()), configuration + ", " + spec.name());
      assertComesBack(configuration, later, restored, 8);
      // It does not: it goes on at once.
      restored.sitOut(List.of());
      restored.restore(file);
      assertComesBack(configuration, later, restored, 4);
    }
  }

  /**
   * What x is rebuilt with has changed while a tensor sat out: it comes back where it was, and not where the new scale would have put it.
   */
  @Test
  void comesBackWhereItWas() {
    for (Mechanic.Delta delta : Mechanic.Delta.values())
      for (double decay : new double[] {0, 0.01})
        assertStaysWhereItWas(
            Mechanic.tuning(SGD.defaults()).variant(Mechanic.Variant.TORCH).decay(decay).delta(delta).initialScale(0.01));
    for (boolean averaging : new boolean[] {false, true}) {
      assertStaysWhereItWas(DAdaptation.dualAveraging().initialRate(1).averaging(averaging));
      assertStaysWhereItWas(Prodigy.dualAveraging().initialRate(1).averaging(averaging));
    }
    assertStaysWhereItWas(FixedRate.of(1, ModernizedDualAveraging.defaults().momentum(0)));
  }

  private static void assertStaysWhereItWas(TunerBuilder<?> builder) {
    final List<Spec> two = List.of(new Spec("w", "default", FLOAT64, 9), new Spec("b", "default", FLOAT64, 5));
    try (TestTensors tensors = make(two, 0); Optimizer optimizer = builder.build(tensors.on(CPU))) {
      final TestArray out = find(tensors, "b").parameters();
      final double[] first = out.toDoubles();
      tensors.gradients(i -> -1);
      for (int step = 0; step < 5; ++step) optimizer.step();
      optimizer.sitOut(List.of("b"));
      final double scale = optimizer.report().learnedScale();
      final boolean compounds = builder instanceof Mechanic;
      for (int step = 0; step < 200 && (!compounds || optimizer.report().learnedScale() < 20 * scale); ++step) optimizer.step();
      final double[] before = out.toDoubles();
      assertTrue(RestoreTest.distance(first, before) > 0.01, "it has gone some way");
      optimizer.sitOut(List.of());
      tensors.gradients(i -> 0); // the scale stays in this step
      optimizer.step();
      assertArrayEquals(before, out.toDoubles(), 0.1, "of " + builder.getClass());
    }
  }

  /** What a scope has learned is of all its tensors: an estimate does not jump up when the one that most of it comes from leaves. */
  @Test
  void estimatesDoNotJump() {
    final List<TunerBuilder<?>> all = new ArrayList<>();
    for (Prodigy.Displacement displacement : Prodigy.Displacement.values())
      all.add(Prodigy.tuning(Adam.defaults()).displacement(displacement));
    all.add(Prodigy.tuning(Adam.defaults()).slice(3));
    for (Rule rule : List.of(SGD.defaults(), Adam.defaults(), AdaGrad.defaults().epsilon(1e-6), Lion.defaults(), Adan.defaults()))
      all.add(DAdaptation.tuning(rule));
    all.addAll(
        List.of(
            DAdaptation.dualAveraging(), DAdaptation.dualAveraging().resetting(), DAdaptation.gradientDescent(), Prodigy.gradientDescent(),
            Prodigy.dualAveraging(), Prodigy.dualAveraging().gradientBound(1)));
    for (TunerBuilder<?> builder : all) {
      final List<Spec> two = List.of(new Spec("w", "default", FLOAT64, 1), new Spec("b", "default", FLOAT64, 3000));
      try (TestTensors tensors = make(two, 0); Optimizer optimizer = builder.build(tensors.on(CPU))) {
        descend(tensors, optimizer, 60);
        final double before = optimizer.report().learnedScale();
        optimizer.sitOut(List.of("b"));
        descend(tensors, optimizer, 5);
        optimizer.sitOut(List.of());
        descend(tensors, optimizer, 1);
        final double after = optimizer.report().learnedScale();
        assertTrue(after < 3 * before, builder.getClass() + ": from " + before + " to " + after);
      }
    }
  }

  private static void descend(TestTensors tensors, Optimizer optimizer, int steps) {
    for (int step = 0; step < steps; ++step) {
      for (TestTensors.Tensor tensor : tensors.all()) tensor.gradients().fill(i -> tensor.parameters().get(i) - 2.5 + Math.sin(i) / 9);
      optimizer.step();
    }
  }

  /** Two processes, of which one has nothing but the tensor that sits out: as in one process. */
  @ParameterizedTest
  @MethodSource("scoped")
  @Timeout(60)
  void inOneOfTwoProcesses(Configuration configuration) throws Exception {
    if (configuration.name().endsWith("by TENSOR")) return; // scopes that processes do not share
    final List<Spec> first = List.of(new Spec("w", "default", FLOAT64, 41));
    final List<Spec> second = List.of(new Spec("b", "default", FLOAT64, 7));
    final CyclicBarrier barrier = new CyclicBarrier(2);
    final double[][] parts = new double[2][];
    final ExecutorService threads = Executors.newFixedThreadPool(2);
    try (TestTensors one = make(List.of(first.get(0), second.get(0)), 0); Optimizer whole = configuration.build(one.on(CPU))) {
      final List<Future<double[]>> results = new ArrayList<>();
      for (int rank = 0; rank < 2; ++rank) {
        final int own = rank;
        final SumReducer reducer = (sums, count) -> {
          parts[own] = Arrays.copyOf(sums, count);
          meet(barrier);
          for (int i = 0; i < count; ++i) sums[i] = parts[0][i] + parts[1][i];
          meet(barrier);
        };
        results.add(threads.submit(() -> {
          try (TestTensors tensors = make(own == 0 ? first : second, 0);
              Optimizer optimizer = configuration.builder().get().sumReducer(reducer).build(tensors.on(CPU))) {
            run(tensors, optimizer, own == 0 ? List.of() : List.of("b"));
            return tensors.values();
          }
        }));
      }
      run(one, whole, List.of("b"));
      assertArrayEquals(find(one, "w").parameters().toDoubles(), results.get(0).get(40, TimeUnit.SECONDS), 1e-9, configuration.name());
      assertArrayEquals(find(one, "b").parameters().toDoubles(), results.get(1).get(40, TimeUnit.SECONDS), 1e-9, configuration.name());
    } finally {
      threads.shutdownNow();
    }
  }

  private static void run(TestTensors tensors, Optimizer optimizer, List<String> out) {
    for (int step = 0; step < 12; ++step) {
      if (step == 4) optimizer.sitOut(out);
      if (step == 8) optimizer.sitOut(List.of());
      NamedTensors.gradients(tensors, step);
      if (step >= 4 && step < 8) poison(tensors);
      optimizer.step(2 - 0.01 * step);
    }
  }

  private static void meet(CyclicBarrier barrier) {
    try {
      barrier.await(20, TimeUnit.SECONDS);
    } catch (Exception e) {
      throw new IllegalStateException("the other process did not come", e);
    }
  }

  /** Tuners that ask the trainer for losses and curvature, which are those of what takes part. */
  @Test
  void tunersThatAsk() {
    final HessianVectorProduct doubled = (vector, product) -> {
      for (int t = 0; t < vector.parameters().tensors().size(); ++t)
        for (int i = 0; i < vector.doubles(t).capacity(); ++i) product.doubles(t).put(i, (2 + i % 2) * vector.doubles(t).get(i));
    };
    final Map<String, Function<TestTensors, TunerBuilder<?>>> all = new LinkedHashMap<>();
    all.put("CDAT", tensors -> CDAT.tuning(AdamW.defaults()).ema(0.9).curvature(u -> 1));
    all.put("CDAT with products", tensors -> CDAT.tuning(SGD.defaults()).every(2).hessian(doubled));
    all.put("ExactSharpness", tensors -> ExactSharpness.tuning(SGD.defaults(), doubled).maxRate(0.01));
    all.put("Polyak", tensors -> Polyak.tuning(AdamW.defaults()).alongUpdate());
    all.put("Armijo", tensors -> Armijo.tuning(AdamW.defaults(), () -> -Arrays.stream(find(tensors, "w").parameters().toDoubles()).sum()));
    all.put("NewtonRate", tensors -> NewtonRate.tuning(AdamW.defaults(), 1e-3).interval(3));
    all.put("NewtonRate by TENSOR", tensors -> NewtonRate.tuning(AdamW.defaults(), 1e-3).interval(2).scope(Scope.TENSOR));
    all.put("MetaOptimize per weight", tensors -> MetaOptimize.tuning(Lion.defaults()).perWeight());
    all.put("IDBD", tensors -> MetaOptimize.idbd(1e-6, 1e-3));
    all.forEach((name, builder) -> {
      final List<Spec> rest = List.of(REST.get(0));
      final List<Spec> both = List.of(REST.get(0), new Spec("b", "default", FLOAT64, 7));
      try (TestTensors tensors = make(both, 0);
          TestTensors alone = make(rest, 0);
          Optimizer optimizer = builder.apply(tensors).build(tensors.on(CPU));
          Optimizer exact = builder.apply(alone).build(alone.on(CPU))) {
        optimizer.sitOut(List.of("b"));
        final Map<String, byte[]> before = bits(tensors, optimizer, "b");
        for (int step = 0; step < 8; ++step) {
          NamedTensors.gradients(tensors, step);
          poison(tensors);
          optimizer.step(5);
          NamedTensors.gradients(alone, step);
          exact.step(5);
          assertEquals(Skip.NONE, optimizer.report().skip(), name);
          assertArrayEquals(alone.values(), find(tensors, "w").parameters().toDoubles(), 1e-9, name);
          assertSame(before, bits(tensors, optimizer, "b"), name);
        }
        optimizer.sitOut(List.of());
        step(tensors, optimizer, 8);
        for (double x : find(tensors, "b").parameters().toDoubles()) assertTrue(Double.isFinite(x), name + ": " + x);
      }
    });
  }

  static List<TestDevices.Candidate> devices() {
    return TestDevices.all();
  }

  /** Everywhere the same bits, of what sits out, comes back and was written. */
  @ParameterizedTest
  @MethodSource("devices")
  void onEveryDevice(TestDevices.Candidate candidate) {
    final Device device = candidate.open();
    final List<Spec> specs =
        List.of(
            new Spec("w", "default", FLOAT32, 9001), new Spec("b", "default", BFLOAT16, 5003), new Spec("v", "bias", FLOAT64, 4097),
            new Spec("u", "bias", FLOAT32, 3));
    final List<Supplier<TunerBuilder<?>>> builders =
        List.of(
            () -> Mechanic.tuning(AdamW.defaults()), () -> Mechanic.tuning(MADGRAD.defaults()).scope(Scope.TENSOR).clipNorm(1),
            () -> Prodigy.tuning(AdamW.defaults()), () -> DAdaptation.tuning(AdaGrad.defaults().epsilon(1e-6)).scope(Scope.GROUP),
            () -> DAdaptation.dualAveraging(), () -> DoG.tuning(SGD.defaults()).averaging(8),
            () -> FixedRate.of(0.01, ModernizedDualAveraging.defaults()));
    for (Supplier<TunerBuilder<?>> builder : builders)
      try (TestTensors expected = make(specs, 0);
          TestTensors tensors = make(specs, 0);
          Optimizer reference = builder.get().build(expected.on(TestDevices.reference()));
          Optimizer optimizer = builder.get().build(tensors.on(device))) {
            life(expected, reference);
            life(tensors, optimizer);
            SavedState.of(reference).assertSame(SavedState.of(optimizer), candidate.name()); // what a GPU has been given to do is done then
            tensors.assertSameParameters(expected, candidate.name());
            tensors.assertFencesStand(candidate.name());
          }
  }

  private static void life(TestTensors tensors, Optimizer optimizer) {
    for (int step = 0; step < 12; ++step) {
      if (step == 3) optimizer.sitOut(List.of("b", "u"));
      if (step == 6) optimizer.sitOut(List.of("u"));
      if (step == 7 || step == 9) {
        for (TestTensors.Tensor tensor : tensors.all()) tensor.parameters().fill(i -> tensor.parameters().get(i) + 1);
        optimizer.parametersMoved();
      }
      if (step == 8) optimizer.sitOut(List.of());
      NamedTensors.gradients(tensors, step);
      if (step >= 3 && step < 6) poison(tensors);
      optimizer.step(2);
      assertEquals(Skip.NONE, optimizer.report().skip());
    }
  }

  @Test
  void namesThatAreNotThere() {
    try (TestTensors tensors = make(ALL, 0); Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).build(tensors.on(CPU))) {
      step(tensors, optimizer, 0);
      optimizer.sitOut(List.of("b"));
      final Map<String, byte[]> before = bits(tensors, optimizer, "b");
      assertRefused(IllegalArgumentException.class, () -> optimizer.sitOut(List.of("x", "w", "y")), "'x'", "'y'");
      final List<String> withNull = new ArrayList<>();
      withNull.add(null);
      assertRefused(IllegalArgumentException.class, () -> optimizer.sitOut(withNull), "null");
      assertRefused(NullPointerException.class, () -> optimizer.sitOut(null), "tensors");
      poison(tensors);
      assertEquals(Skip.NONE, optimizer.step().skip());
      assertSame(before, bits(tensors, optimizer, "b"), "still out");
    }
    try (TestTensors tensors = make(ALL, 0)) {
      final Optimizer closed = FixedRate.of(0.1, AdamW.defaults()).build(tensors.on(CPU));
      closed.close();
      assertRefused(IllegalStateException.class, () -> closed.sitOut(List.of()), "closed");
    }
  }

  /** A tensor may have moved in memory when it comes back. */
  @Test
  void rebindingMeanwhile() {
    try (TestTensors tensors = make(ALL, 0);
        TestTensors elsewhere = make(ALL, 0);
        Optimizer optimizer = FixedRate.of(0.1, SGD.defaults()).build(tensors.on(CPU))) {
      optimizer.sitOut(List.of("b"));
      poison(elsewhere);
      optimizer.rebind("b", find(elsewhere, "b").parameters().address(), find(elsewhere, "b").gradients().address());
      final double[] before = find(elsewhere, "b").parameters().toDoubles();
      step(tensors, optimizer, 0);
      assertEquals(Skip.NONE, optimizer.report().skip());
      assertArrayEquals(before, find(elsewhere, "b").parameters().toDoubles());
      optimizer.sitOut(List.of());
      find(elsewhere, "b").gradients().fill(i -> 10);
      optimizer.step();
      assertArrayEquals(new double[] {0, 1, 2, 0, 1, 2, 0}, find(elsewhere, "b").parameters().toDoubles(), 0);
    }
  }

  /** Nobody looks at the gradients of a tensor that sits out, not even for the reason of a skipped step. */
  @Test
  void whatIsNotFiniteMeanwhile() {
    try (TestTensors tensors = make(ALL, 0); Optimizer optimizer = Prodigy.tuning(AdamW.defaults()).build(tensors.on(CPU))) {
      step(tensors, optimizer, 0);
      optimizer.sitOut(List.of("b"));
      NamedTensors.gradients(tensors, 1);
      poison(tensors);
      assertEquals(List.of(), optimizer.nonFiniteTensors());
      find(tensors, "w").gradients().set(3, Double.NaN);
      assertTrue(optimizer.step(1).skipped());
      assertEquals(List.of(new NonFiniteTensor("w", false, true, List.of())), optimizer.nonFiniteTensors());
      find(tensors, "b").parameters().set(2, Double.NaN);
      assertEquals(List.of("w", "b"), optimizer.nonFiniteTensors().stream().map(NonFiniteTensor::name).toList());
    }
  }

  @Test
  void notWhileEvaluating() {
    try (TestTensors tensors = make(ALL, 0);
        Optimizer optimizer = FixedRate.of(0.1, ScheduleFreeSGD.defaults()).build(tensors.on(CPU))) {
      step(tensors, optimizer, 0);
      optimizer.evaluating();
      assertRefused(IllegalStateException.class, () -> optimizer.sitOut(List.of("b")), "training()", "sitOut");
      optimizer.training();
      optimizer.sitOut(List.of("b"));
    }
  }
}
