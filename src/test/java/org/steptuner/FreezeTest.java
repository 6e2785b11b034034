// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Adan;
import org.steptuner.rule.Lion;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.rule.ScheduleFreeAdamW;
import org.steptuner.tuner.Armijo;
import org.steptuner.tuner.CDAT;
import org.steptuner.tuner.DAdaptation;
import org.steptuner.tuner.DoG;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.GradaGrad;
import org.steptuner.tuner.Hypergradient;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.MetaOptimize;
import org.steptuner.tuner.MoMo;
import org.steptuner.tuner.MovingTarget;
import org.steptuner.tuner.NewtonRate;
import org.steptuner.tuner.Polyak;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/** Tuning ends: the run goes on at the rate that was learned, as a fixed rate would, and the tuner's own state is freed. */
class FreezeTest {
  private static final Device CPU = Device.cpu(2);
  private static final int STEPS = 12;

  /** A tuner that can be frozen, and the rule that goes on. */
  private record Case(String name, Rule rule, Supplier<TunerBuilder<?>> builder) {
    @Override
    public String toString() {
      return name;
    }
  }

  private static Case over(String name, Rule rule, Supplier<TunerBuilder<?>> builder) {
    return new Case(name, rule, builder);
  }

  static List<Case> cases() {
    final List<Case> cases = new ArrayList<>();
    final AdamW adamW = AdamW.defaults();
    final Adam adam = Adam.defaults().weightDecay(0.02);
    final SGD sgd = SGD.defaults().weightDecay(0.01);
    final SGD momentum = SGD.defaults().momentum(0.9);
    for (TestOptimizers.Form form : TestOptimizers.forms()) {
      cases.add(over("Mechanic " + form + " over AdamW", adamW, () -> form.over(adamW)));
      cases.add(over("Mechanic " + form + " over SGD", momentum, () -> form.over(momentum)));
    }
    cases.add(over("Prodigy", adamW, () -> Prodigy.tuning(adamW).initialRate(1e-3)));
    cases.add(over("Prodigy, corrected", adamW, () -> Prodigy.tuning(adamW).initialRate(1e-3).biasCorrection(true)));
    cases.add(over("Prodigy sliced", adam, () -> Prodigy.tuning(adam).initialRate(1e-3).slice(3)));
    cases.add(over("Prodigy without momentum", adamW.betas(0, 0.99), () -> Prodigy.tuning(adamW.betas(0, 0.99)).initialRate(1e-3)));
    cases.add(over("D-Adaptation SGD", sgd, () -> DAdaptation.tuning(sgd).initialRate(1e-3)));
    cases.add(over("D-Adaptation SGD, momentum", momentum, () -> DAdaptation.tuning(momentum).initialRate(1e-3)));
    cases.add(over("D-Adaptation Adam", adamW, () -> DAdaptation.tuning(adamW).initialRate(1e-3)));
    cases.add(over("D-Adaptation Lion", Lion.defaults(), () -> DAdaptation.tuning(Lion.defaults()).initialRate(1e-3)));
    cases.add(over("D-Adaptation Adan", Adan.defaults(), () -> DAdaptation.tuning(Adan.defaults()).initialRate(1e-3)));
    cases.add(over("MoMo", momentum, () -> MoMo.tuning(momentum).maxRate(0.01)));
    cases.add(over("MoMo, corrected", momentum, () -> MoMo.tuning(momentum).maxRate(0.01).biasCorrection(true)));
    cases.add(over("MoMo-Adam", adamW, () -> MoMo.tuning(adamW).maxRate(0.01)));
    cases.add(over("MetaOptimize", adamW, () -> MetaOptimize.tuning(adamW).initialStepSize(1e-3)));
    cases.add(over("Hypergradient", adamW, () -> Hypergradient.tuning(adamW, 0.01, 1e-6)));
    cases.add(over("GradaGrad", sgd, () -> GradaGrad.tuning(sgd, 0.1).r(0.3)));
    cases.add(over("AdaGrad-Norm", sgd, () -> GradaGrad.adaGradNorm(sgd, 0.1)));
    cases.add(over("DoG", sgd, () -> DoG.tuning(sgd).relativeDistance(1e-3).averaging(8)));
    cases.add(over("moving target", momentum, () -> MovingTarget.tuning(momentum).baseRate(0.01).parts(3)));
    cases.add(over("Polyak", adamW, () -> Polyak.tuning(adamW).maxRate(0.01)));
    cases.add(over("Polyak along the update", momentum, () -> Polyak.tuning(momentum).alongUpdate().maxRate(0.01)));
    cases.add(over("CDAT", adamW, () -> CDAT.tuning(adamW).curvature(u -> 500)));
    cases.add(over("NewtonRate", momentum, () -> NewtonRate.tuning(momentum, 0.01).interval(3)));
    cases.add(over("NewtonRate over MADGRAD", MADGRAD.defaults(), () -> NewtonRate.tuning(MADGRAD.defaults(), 0.01).interval(3)));
    return cases;
  }

  private static TestTensors tensors() {
    return new TestTensors().add("a", FLOAT32, 4500).group("second").add("b", FLOAT64, 70).group(ParameterSet.DEFAULT_GROUP)
        .add("c", FLOAT32, 33).parameters(i -> 1 + Math.sin(i));
  }

  /** The gradient of half |x - 3|^2 with some noise, and its loss. */
  private static double observe(TestTensors tensors, int step) {
    double loss = 0;
    int i = 0;
    for (TestTensors.Tensor tensor : tensors.all())
      for (int e = 0; e < tensor.parameters().count(); ++e, ++i) {
        final double way = tensor.parameters().get(e) - 3;
        tensor.gradients().set(e, way + Math.sin(i * 7 + step) / 4);
        loss += way * way / 2;
      }
    return loss;
  }

  private static void train(Optimizer optimizer, TestTensors tensors, int from, int to) {
    for (int step = from; step < to; ++step) {
      final double loss = observe(tensors, step);
      optimizer.step(loss);
    }
  }

  private static final class At extends Pointer {
    At(StateTensor state) {
      super((Pointer) null);
      address = state.address();
    }
  }

  /** A fixed rate that has made as many steps, and then gets the parameters and the state of another optimizer. */
  private static void copy(Optimizer from, TestTensors there, TestTensors twins, Optimizer to) {
    twins.gradients(i -> 0);
    for (int step = 0; step < STEPS; ++step) to.step();
    for (int t = 0; t < there.all().size(); ++t) {
      twins.parameters(t).copyFrom(there.parameters(t));
      final String name = there.all().get(t).name();
      for (String slot : to.slots()) {
        final StateTensor source = from.state(slot, name);
        final StateTensor target = to.state(slot, name);
        assertEquals(source.type(), target.type());
        Pointer.memcpy(new At(target), new At(source), source.count() * source.type().bytes());
      }
    }
  }

  /** Every tuner, with a rate for each of its scopes: the run equals one at these rates from the same state. */
  @ParameterizedTest
  @MethodSource("cases")
  void aFrozenRunIsOneAtAFixedRate(Case of, @TempDir Path folder) {
    final Schedule schedule = step -> 1 - step / 100.0;
    for (Scope scope : Scope.values()) {
      final TunerBuilder<?> scoped = scope == Scope.ALL ? of.builder.get() : TestOptimizers.scope(of.builder.get(), scope);
      if (scoped == null) continue;
      scoped.schedule(schedule).clipNorm(30);
      try (TestTensors tensors = tensors(); Optimizer frozen = scoped.build(tensors.on(CPU))) {
        train(frozen, tensors, 0, STEPS);
        final double[] before = tensors.values();
        frozen.freeze();
        assertTrue(frozen.isFrozen());
        assertArrayEquals(before, tensors.values(), "freezing moved the parameters");
        final Path start = folder.resolve("start");
        frozen.save(start);
        final double[] rates = frozen.scalars().get("rate");
        for (int s = 0; s < rates.length; ++s) {
          final FixedRate fixed = FixedRate.of(rates[s], of.rule).schedule(schedule).clipNorm(30);
          try (TestTensors twins = tensors(); Optimizer optimizer = fixed.build(twins.on(CPU))) {
            assertEquals(optimizer.slots(), frozen.slots(), "state of " + of);
            assertEquals(optimizer.wordsPerElement(), frozen.wordsPerElement(), "words of " + of);
            frozen.restore(start); // where the scope before this one was compared
            copy(frozen, tensors, twins, optimizer);
            compare(of + ", scope " + s, scope, s, frozen, tensors, optimizer, twins);
          }
        }
      }
    }
  }

  // The other scopes have other rates; all the same gradients.
  private static void compare(
      String what, Scope scope, int s, Optimizer frozen, TestTensors tensors, Optimizer fixed, TestTensors twins) {
    for (int step = STEPS; step < STEPS + 5; ++step) {
      final int t = step;
      tensors.gradients(i -> Math.sin(i + t));
      twins.gradients(i -> Math.sin(i + t));
      frozen.step();
      fixed.step();
      assertEquals(fixed.report().effectiveRate(), frozen.report().effectiveRate(s), what);
      for (int tensor = 0; tensor < tensors.all().size(); ++tensor) {
        final boolean second = tensors.all().get(tensor).group().equals("second");
        if (scope == Scope.GROUP && second != (s == 1) || scope == Scope.TENSOR && tensor != s) continue;
        TestTensors.assertSameBits(twins.parameters(tensor), tensors.parameters(tensor), what + ", step " + step);
      }
    }
  }

  /** What the tuner's rate is folded into is divided out: with a rate that is held, the frozen run goes where the tuner would have gone. */
  @Test
  void theWayGoesOn() {
    // The tuners' rates have the bias correction in them, and so has their decay; that of the rule has not.
    final AdamW adamW = AdamW.defaults().betas(0.9, 0.98).epsilon(1e-12).weightDecay(0);
    final SGD momentum = SGD.defaults().momentum(0.9);
    final Map<TunerBuilder<?>, Double> tolerances =
        Map.of(
            Prodigy.tuning(adamW).initialRate(0.01).maxRate(0.01).biasCorrection(true), 1e-7,
            Prodigy.tuning(adamW).initialRate(0.01).maxRate(0.01), 0.02, // the tuner corrects no bias, the rule does
            DAdaptation.tuning(momentum).initialRate(0.01).maxRate(0.01), 1e-12,
            DAdaptation.tuning(adamW).initialRate(0.01).maxRate(0.01), 0.02,
            DAdaptation.tuning(Lion.defaults()).initialRate(1e-3).maxRate(1e-3), 1e-9,
            Hypergradient.tuning(momentum, 0.01, 1e-9).rateBounds(0.01, 0.01), 1e-12);
    tolerances.forEach((builder, tolerance) -> {
      try (TestTensors one = wide();
          TestTensors other = wide();
          Optimizer tuned = builder.build(one.on(CPU));
          Optimizer frozen = builder.build(other.on(CPU))) {
        for (int step = 0; step < 400; ++step) {
          observe(one, step);
          tuned.step();
          observe(other, step);
          frozen.step();
        }
        final double[] start = one.values();
        frozen.freeze();
        for (int step = 400; step < 410; ++step) {
          observe(one, step);
          tuned.step();
          observe(other, step);
          frozen.step();
        }
        final double[] expected = one.values();
        final double[] actual = other.values();
        double way = 0;
        double error = 0;
        for (int i = 0; i < start.length; ++i) {
          way = Math.max(way, Math.abs(expected[i] - start[i]));
          error = Math.max(error, Math.abs(actual[i] - expected[i]));
        }
        assertTrue(way > 1e-4, "the tuner moved by " + way);
        assertTrue(error <= tolerance * way, builder.getClass().getSimpleName() + ": " + error + " on a way of " + way);
      }
    });
  }

  private static TestTensors wide() {
    return TestTensors.of(FLOAT64, 300).parameters(i -> 1 + Math.sin(i));
  }

  @Test
  void wordsAndStateOfProdigy() {
    try (TestTensors tensors = tensors(); Optimizer optimizer = Prodigy.tuning(AdamW.defaults()).initialRate(1e-3).build(tensors.on(CPU))) {
      train(optimizer, tensors, 0, 3);
      assertEquals(14, optimizer.wordsPerElement());
      assertEquals(List.of("momentum", "square", "sum", "reference", "displacement"), optimizer.slots());
      optimizer.freeze();
      assertEquals(8, optimizer.wordsPerElement());
      assertEquals(List.of("momentum", "square"), optimizer.slots());
      assertRefused(IllegalArgumentException.class, () -> optimizer.state("sum", "a"), "sum");
      assertTrue(optimizer.report().learnedScale() > 0);
      final double learned = optimizer.report().learnedScale();
      train(optimizer, tensors, 3, 6);
      assertEquals(learned, optimizer.report().learnedScale());
      assertEquals(learned, optimizer.report().effectiveRate());
      assertEquals(6, optimizer.steps());
      optimizer.freeze(); // nothing more to freeze
      assertEquals(8, optimizer.wordsPerElement());
    }
  }

  /** The exponential average of the parameters is no part of the tuner: it goes on, and is saved. */
  @Test
  void anExponentialAverageGoesOn(@TempDir Path folder) {
    final Path file = folder.resolve("frozen");
    final Supplier<Prodigy> prodigy = () -> Prodigy.tuning(AdamW.defaults()).initialRate(1e-3).exponentialAverage(0.75);
    try (TestTensors tensors = wide();
        TestTensors others = wide();
        Optimizer one = prodigy.get().build(tensors.on(CPU));
        Optimizer other = prodigy.get().build(others.on(CPU))) {
      train(one, tensors, 0, STEPS);
      one.swapAverages();
      final double[] expected = tensors.values();
      one.swapAverages();
      one.freeze();
      assertEquals(List.of("momentum", "square", "exponentialAverage"), one.slots());
      assertEquals(10, one.wordsPerElement());
      one.save(file);
      train(one, tensors, STEPS, STEPS + 1);
      final double[] x = tensors.values();
      one.swapAverages();
      final double[] averages = tensors.values();
      one.swapAverages();
      for (int i = 0; i < x.length; ++i) assertEquals(0.75 * expected[i] + 0.25 * x[i], averages[i], 1e-14);
      other.restore(file);
      train(other, others, STEPS, STEPS + 1);
      other.swapAverages();
      assertArrayEquals(averages, others.values());
    }
  }

  /** A frozen run is saved and goes on bit for bit, in an optimizer that was frozen and in one that was not. */
  @ParameterizedTest
  @MethodSource("cases")
  void aFrozenRunIsResumed(Case of, @TempDir Path folder) {
    final Path file = folder.resolve("frozen");
    try (TestTensors tensors = tensors();
        TestTensors others = tensors();
        Optimizer one = of.builder.get().build(tensors.on(CPU));
        Optimizer other = of.builder.get().build(others.on(CPU))) {
      train(one, tensors, 0, STEPS);
      one.freeze();
      train(one, tensors, STEPS, STEPS + 3);
      one.save(file);
      train(one, tensors, STEPS + 3, STEPS + 6);
      other.restore(file);
      assertTrue(other.isFrozen());
      assertEquals(one.slots(), other.slots());
      assertEquals(one.wordsPerElement(), other.wordsPerElement());
      train(other, others, STEPS + 3, STEPS + 6);
      others.assertSameParameters(tensors, "restored into one that was not frozen");
      other.restore(file);
      train(other, others, STEPS + 3, STEPS + 6);
      others.assertSameParameters(tensors, "restored into one that was");
    }
  }

  /** What is divided out is known after a restore, a skipped step and a change of settings too. */
  @ParameterizedTest
  @MethodSource("cases")
  void aRunIsFrozenAlikeWhereverItComesFrom(Case of, @TempDir Path folder) {
    final Path file = folder.resolve("tuning");
    final Schedule schedule = step -> 1 - step / 100.0;
    try (TestTensors tensors = tensors();
        TestTensors others = tensors();
        Optimizer one = scheduled(of, schedule).build(tensors.on(CPU));
        Optimizer other = scheduled(of, schedule).build(others.on(CPU))) {
      train(one, tensors, 0, STEPS);
      one.save(file);
      one.freeze();
      final double[] rates = one.scalars().get("rate");
      final SavedState frozen = SavedState.of(one);
      train(one, tensors, STEPS, STEPS + 3);
      final double[] end = tensors.values();
      train(other, others, 0, 2);
      other.restore(file);
      assertTrue(Double.isNaN(other.report().rate()) && Double.isNaN(other.report().loss()), "a report of no step");
      others.gradients(i -> Double.NaN);
      other.step(1);
      scheduled(of, schedule).applyTo(other);
      other.freeze();
      assertArrayEquals(rates, other.scalars().get("rate"), "rates");
      frozen.assertUnchanged(SavedState.of(other), "frozen after a restore");
      train(other, others, STEPS, STEPS + 3);
      assertArrayEquals(end, others.values(), "the way after it");
    }
  }

  private static TunerBuilder<?> scheduled(Case of, Schedule schedule) {
    final TunerBuilder<?> builder = of.builder.get();
    builder.schedule(schedule);
    return builder;
  }

  /** A group that a frozen file lacks has the rate that it has here: what was given, and not 1. */
  @Test
  void aNewGroupOfAFrozenRunKeepsItsRate(@TempDir Path folder) {
    final Path file = folder.resolve("frozen");
    final Supplier<Mechanic> mechanic = () -> Mechanic.tuning(AdamW.defaults()).baseRate(0.5).initialScale(1e-4).scope(Scope.GROUP);
    try (TestTensors tensors = new TestTensors().add("a", FLOAT64, 70);
        TestTensors more = new TestTensors().add("a", FLOAT64, 70).group("new").add("b", FLOAT64, 7);
        Optimizer one = mechanic.get().build(tensors.on(CPU));
        Optimizer other = mechanic.get().build(more.on(CPU))) {
      train(one, tensors, 0, STEPS);
      one.freeze();
      one.save(file);
      final double fresh = 0.5 * other.report().learnedScale(1);
      other.restore(file, RestoreOptions.strict().allowNewTensors());
      assertArrayEquals(new double[] {one.scalars().get("rate")[0], fresh}, other.scalars().get("rate"));
      assertTrue(fresh < 0.5, "a rate of " + fresh);
      train(other, more, STEPS, STEPS + 3);
    }
  }

  @Test
  void aFileThatIsRefusedFreezesNothing(@TempDir Path folder) {
    final Path file = folder.resolve("frozen");
    final Path tuning = folder.resolve("tuning");
    final AdamW rule = AdamW.defaults().betas(0, 0.9); // the rule has a slot that the tuner has not
    try (TestTensors tensors = tensors();
        TestTensors others = wide();
        Optimizer one = Prodigy.tuning(rule).initialRate(1e-3).build(tensors.on(CPU));
        Optimizer other = Prodigy.tuning(rule).initialRate(1e-3).build(others.on(CPU))) {
      train(one, tensors, 0, STEPS);
      one.save(tuning);
      one.freeze();
      one.save(file);
      train(other, others, 0, 3);
      final SavedState before = SavedState.of(other);
      assertThrows(CheckpointException.class, () -> other.restore(file));
      assertFalse(other.isFrozen());
      before.assertUnchanged(SavedState.of(other), "after a refused restore");
      final SavedState frozen = SavedState.of(one);
      assertRefused(CheckpointException.class, () -> one.restore(tuning, RestoreOptions.lenient()), "frozen");
      frozen.assertUnchanged(SavedState.of(one), "after a refused restore");
    }
  }

  @Test
  void tuningEndsByItself(@TempDir Path folder) {
    final Path file = folder.resolve("at the end");
    try (TestTensors tensors = tensors();
        TestTensors others = tensors();
        TestTensors thirds = tensors();
        Optimizer one = Prodigy.tuning(AdamW.defaults()).initialRate(1e-3).tuneFor(STEPS).build(tensors.on(CPU));
        Optimizer other = Prodigy.tuning(AdamW.defaults()).initialRate(1e-3).build(others.on(CPU));
        Optimizer third = Prodigy.tuning(AdamW.defaults()).initialRate(1e-3).tuneFor(STEPS).build(thirds.on(CPU))) {
      train(one, tensors, 0, STEPS);
      assertFalse(one.isFrozen());
      one.save(file);
      train(one, tensors, STEPS, STEPS + 4);
      assertTrue(one.isFrozen());
      train(other, others, 0, STEPS);
      other.freeze();
      train(other, others, STEPS, STEPS + 4);
      tensors.assertSameParameters(others, "tuneFor and freeze");
      third.restore(file);
      train(third, thirds, STEPS, STEPS + 4);
      assertTrue(third.isFrozen());
      tensors.assertSameParameters(thirds, "restored where tuning ends");
    }
  }

  /** Without a gradient nothing is learned, and a rate of 0 would be kept for ever. */
  @Test
  void tuningGoesOnWhereNothingWasLearned() {
    try (TestTensors tensors = wide();
        Optimizer optimizer = DAdaptation.tuning(SGD.defaults()).initialRate(1e-3).tuneFor(2).build(tensors.on(CPU))) {
      tensors.gradients(i -> 0);
      for (int step = 0; step < 4; ++step) optimizer.step();
      assertFalse(optimizer.isFrozen());
      assertRefused(IllegalStateException.class, optimizer::freeze, "no rate above 0");
      train(optimizer, tensors, 0, 2);
      assertTrue(optimizer.isFrozen());
    }
  }

  static Stream<Configuration> refused() {
    return Stream.of(
        new Configuration("AdaGrad averages duals", () -> DAdaptation.tuning(AdaGrad.defaults())),
        new Configuration("averages duals", DAdaptation::dualAveraging),
        new Configuration("a rate of its own", () -> GradaGrad.tuning(SGD.defaults(), 0.1).form(GradaGrad.Form.DIAGONAL)),
        new Configuration("averages points", () -> GradaGrad.tuning(SGD.defaults().momentum(0.9), 0.1)),
        new Configuration("a step size of its own", () -> MetaOptimize.tuning(AdamW.defaults()).perWeight()),
        new Configuration("not a multiple of its rate", () -> Mechanic.tuning(MADGRAD.defaults())),
        new Configuration("the average", () -> Mechanic.tuning(ScheduleFreeAdamW.defaults())),
        new Configuration("not that of the rule", () -> MoMo.tuning(AdaGrad.defaults())));
  }

  @ParameterizedTest
  @MethodSource("refused")
  void whatHasNoSingleRateIsRefused(Configuration configuration) {
    try (TestTensors tensors = wide(); Optimizer optimizer = configuration.build(tensors.on(CPU))) {
      train(optimizer, tensors, 0, 3);
      final SavedState before = SavedState.of(optimizer);
      assertRefused(IllegalStateException.class, optimizer::freeze, "cannot freeze", configuration.name());
      before.assertUnchanged(SavedState.of(optimizer), "after a refused freeze");
      train(optimizer, tensors, 3, 5);
      assertRefused(
          IllegalArgumentException.class, () -> configuration.builder().get().tuneFor(3).build(tensors.on(CPU)).close(), "tuneFor",
          configuration.name());
    }
  }

  @Test
  void momentsThatAreWrong() {
    assertRefused(IllegalArgumentException.class, () -> Prodigy.tuning(AdamW.defaults()).tuneFor(0), "tuneFor", "0");
    try (TestTensors tensors = wide(); Optimizer optimizer = DoG.tuning(SGD.defaults()).averaging(8).build(tensors.on(CPU))) {
      assertRefused(IllegalStateException.class, optimizer::freeze, "before the first step");
      train(optimizer, tensors, 0, 3);
      optimizer.evaluating();
      assertRefused(IllegalStateException.class, optimizer::freeze, "training()");
      optimizer.training();
      optimizer.freeze();
      final double[] before = tensors.values();
      optimizer.evaluating(); // the tuner's average is gone: the parameters are the point
      assertArrayEquals(before, tensors.values());
      assertFalse(optimizer.isEvaluating());
      train(optimizer, tensors, 3, 5);
    }
    try (TestTensors tensors = wide()) {
      final Optimizer closed = DoG.tuning(SGD.defaults()).build(tensors.on(CPU));
      closed.close();
      assertRefused(IllegalStateException.class, closed::freeze, "closed");
    }
    try (TestTensors tensors = wide(); Optimizer fixed = FixedRate.of(0.1, AdamW.defaults()).tuneFor(1).build(tensors.on(CPU))) {
      train(fixed, tensors, 0, 3);
      fixed.freeze();
      assertFalse(fixed.isFrozen());
    }
    try (TestTensors tensors = wide();
        Optimizer search = Armijo.tuning(SGD.defaults(), () -> -1e9).build(tensors.on(CPU))) {
      train(search, tensors, 0, 2);
      search.freeze();
      search.step(); // without a loss now
    }
  }

  /** The memory itself goes back to the system. */
  @Test
  void theMemoryIsFreed() throws Exception {
    final String preloaded = System.getenv("LD_PRELOAD");
    assumeTrue(preloaded == null || preloaded.isEmpty(), "sanitizers keep freed memory for a while");
    final int count = 8 << 20;
    try (BytePointer x = new BytePointer(4L * count); BytePointer g = new BytePointer(4L * count)) {
      Pointer.memset(x, 0, 4L * count);
      Pointer.memset(g, 1, 4L * count);
      final ParameterSet set = ParameterSet.on(CPU).add("x", x, g, count, FLOAT32).build();
      try (Optimizer optimizer = Prodigy.tuning(AdamW.defaults()).initialRate(1e-3).build(set)) {
        for (int step = 0; step < 3; ++step) optimizer.step();
        final long before = residentBytes();
        optimizer.freeze();
        final long freed = before - residentBytes();
        assertTrue(freed > 2L * 4 * count, "freed " + freed + " of the " + 3L * 4 * count + " bytes of 3 slots");
      }
    }
  }

  private static long residentBytes() throws Exception {
    final String[] fields = Files.readString(Path.of("/proc/self/statm")).split(" ");
    return Long.parseLong(fields[1]) * 4096;
  }
}
