// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntFunction;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.LossScale;
import org.steptuner.NonFinite;
import org.steptuner.NonFiniteException;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.PartedOptimizer;
import org.steptuner.Ranks;
import org.steptuner.Schedule;
import org.steptuner.Scope;
import org.steptuner.StepReport;
import org.steptuner.TestOptimizers;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.curvature.CurvatureInstruments;
import org.steptuner.curvature.HessianVectorProduct;
import org.steptuner.curvature.ParameterVector;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.SGD;

/**
 * Processes that train one model, as threads: each has a part of the tensors, whole ones or pieces. They take the steps that one process
 * takes, or stop. What the forms of a tuner have of their own is in its {@link TunerContract}.
 */
@Timeout(120)
class ProcessesTest {
  private static final int STEPS = 25;

  private static Supplier<TunerBuilder<?>> scoped(Configuration configuration, Scope scope) {
    return () -> TestOptimizers.scope(configuration.builder().get(), scope);
  }

  @ParameterizedTest
  @EnumSource
  void everyRuleAtAFixedRate(Distribution distribution) throws Exception {
    for (Configuration configuration : TestOptimizers.fixedRates())
      distribution.assertIsAsOne(configuration.name(), configuration.builder(), STEPS);
  }

  @ParameterizedTest
  @EnumSource
  void everyFormOfMechanicInEveryScope(Distribution distribution) throws Exception {
    for (Configuration configuration : TestOptimizers.mechanicsOverAdamW())
      for (Scope scope : Scope.values())
        distribution.assertIsAsOne(configuration.name() + " by " + scope, scoped(configuration, scope), STEPS);
  }

  @ParameterizedTest
  @EnumSource
  void mechanicOverEveryRule(Distribution distribution) throws Exception {
    for (Configuration configuration : TestOptimizers.mechanics())
      if (configuration.name().contains("STORED")) distribution.assertIsAsOne(configuration.name(), scoped(configuration, Scope.TENSOR), 5);
  }

  @ParameterizedTest
  @EnumSource
  void everyOtherTunerInEveryScope(Distribution distribution) throws Exception {
    for (Configuration configuration : TestOptimizers.others())
      for (Scope scope : Scope.values()) {
        final boolean scopes = TestOptimizers.scope(configuration.builder().get(), scope) != null;
        if (scopes) distribution.assertIsAsOne(configuration.name() + " by " + scope, scoped(configuration, scope), STEPS);
        else if (scope == Scope.ALL) distribution.assertIsAsOne(configuration.name(), configuration.builder(), STEPS);
      }
  }

  /** Rules and rates of groups, of which a process may have none: DoG looks at decays, which only one group has. */
  @ParameterizedTest
  @EnumSource
  void groupsWithHyperparametersOfTheirOwn(Distribution distribution) throws Exception {
    final Map<String, Supplier<TunerBuilder<?>>> forms = new LinkedHashMap<>();
    forms.put("DoG", () -> DoG.tuning(SGD.defaults()).relativeDistance(0.1).group("second", SGD.defaults().weightDecay(0.1), 0.5));
    forms.put("Hypergradient", () -> Hypergradient.tuning(SGD.defaults().weightDecay(0.2), 0.01, 1e-6).group("second", SGD.defaults()));
    forms.put("GradaGrad", () -> GradaGrad.tuning(SGD.defaults(), 0.1).maxGrowth(2).group("second", SGD.defaults().weightDecay(0.1)));
    forms.put("Prodigy, half of it still", () -> Prodigy.tuning(AdamW.defaults()).maxRate(0.01).group("second", AdamW.defaults(), 0));
    forms.put("D-Adaptation, half of it still",
        () -> DAdaptation.tuning(SGD.defaults()).scope(Scope.GROUP).maxRate(0.01).group("second", SGD.defaults(), 0));
    forms.put("dual averaging, half of it still", () -> DAdaptation.dualAveraging().maxRate(0.01).group("second", SGD.defaults(), 0));
    forms.put("a schedule of a momentum that one group has",
        () -> FixedRate.of(0.01, AdamW.defaults().betas(0, 0.99)).group("second", AdamW.defaults())
            .momentumSchedule(Schedule.linear(3, 60)));
    for (Map.Entry<String, Supplier<TunerBuilder<?>>> form : forms.entrySet())
      distribution.assertIsAsOne(form.getKey(), form.getValue(), STEPS);
  }

  @ParameterizedTest
  @EnumSource
  void withoutAGuard(Distribution distribution) throws Exception {
    final Map<String, Supplier<TunerBuilder<?>>> forms = new LinkedHashMap<>();
    forms.put("D-Adaptation", () -> DAdaptation.tuning(SGD.defaults()).scope(Scope.TENSOR).maxRate(0.01));
    forms.put("diagonal", () -> GradaGrad.tuning(SGD.defaults(), 0.01).form(GradaGrad.Form.DIAGONAL).scope(Scope.TENSOR));
    forms.put("MetaOptimize", () -> MetaOptimize.tuning(AdamW.defaults()).scope(Scope.GROUP));
    forms.put("MoMo", () -> MoMo.tuning(AdamW.defaults()));
    for (Map.Entry<String, Supplier<TunerBuilder<?>>> form : forms.entrySet()) {
      final Supplier<TunerBuilder<?>> unchecked = () -> {
        final TunerBuilder<?> builder = form.getValue().get();
        return builder.nonFinite(NonFinite.UNCHECKED);
      };
      try (Ranks threads = new Ranks(distribution.count());
          Training whole = new Training(DataType.FLOAT64, 0.5, Distribution.SIZES);
          Training shared = new Training(DataType.FLOAT64, 0.5, Distribution.SIZES);
          Optimizer one = unchecked.get().build(whole.on(Device.cpu(1)))) {
        final List<Optimizer> shares = distribution.build(unchecked, shared, threads);
        for (int step = 1; step <= STEPS; ++step) {
          one.step(whole.backward(step));
          distribution.step(threads, shares, shared.backward(step));
        }
        assertArrayEquals(whole.values(), shared.values(), 1e-10, form.getKey());
        shares.forEach(Optimizer::close);
      }
    }
  }

  /** Two processes, one of which differs. */
  private record Disagreement(IntFunction<TunerBuilder<?>> builder, String... named) {}

  private static Map<String, Disagreement> disagreements() {
    final Map<String, Disagreement> all = new LinkedHashMap<>();
    all.put("tuner", new Disagreement(
        rank -> rank == 0 ? Prodigy.tuning(AdamW.defaults()) : Mechanic.tuning(AdamW.defaults()), "tuner: Prodigy", "tuner: Mechanic"));
    all.put("form", new Disagreement(
        rank -> Mechanic.tuning(AdamW.defaults()).variant(rank == 0 ? Mechanic.Variant.OPTAX : Mechanic.Variant.TORCH), "variant: OPTAX",
        "variant: TORCH"));
    all.put("rule", new Disagreement(
        rank -> FixedRate.of(0.1, rank == 0 ? AdamW.defaults() : Lion.defaults()), "rule: AdamW", "rule: Lion"));
    all.put("hyperparameter", new Disagreement(
        rank -> Mechanic.tuning(AdamW.defaults().betas(0.9, rank == 0 ? 0.99 : 0.95)), "rule.beta2: 0.99", "rule.beta2: 0.95"));
    all.put("setting", new Disagreement(rank -> Mechanic.tuning(AdamW.defaults()).clipNorm(rank + 1), "clipNorm: 1.0", "clipNorm: 2.0"));
    all.put("group", new Disagreement(
        rank -> FixedRate.of(0.1, SGD.defaults()).group("second", SGD.defaults().weightDecay(0.1 * rank)),
        "rule.weightDecay of group 'second': 0.0", "rule.weightDecay of group 'second': 0.1"));
    all.put("group of one", new Disagreement(rank -> {
      final FixedRate builder = FixedRate.of(0.1, SGD.defaults());
      return rank == 0 ? builder : builder.group("second", SGD.defaults(), 0.5);
    }, "others have more settings", "rateFactor of group 'second': 0.5"));
    all.put("scope", new Disagreement(
        rank -> Mechanic.tuning(AdamW.defaults()).scope(rank == 0 ? Scope.GROUP : Scope.TENSOR), "scope: GROUP", "scope: TENSOR"));
    all.put("nonFinite", new Disagreement(
        rank -> Mechanic.tuning(AdamW.defaults()).nonFinite(rank == 0 ? NonFinite.SKIP : NonFinite.THROW), "nonFinite: SKIP",
        "nonFinite: THROW"));
    all.put("tuneFor", new Disagreement(rank -> Mechanic.tuning(AdamW.defaults()).tuneFor(5 + rank), "tuneFor: 5", "tuneFor: 6"));
    all.put("exponentialAverage", new Disagreement(
        rank -> Mechanic.tuning(AdamW.defaults()).exponentialAverage(0.5 + 0.25 * rank), "exponentialAverage.decay: 0.5",
        "exponentialAverage.decay: 0.75"));
    all.put("lossScale", new Disagreement(
        rank -> Mechanic.tuning(AdamW.defaults()).lossScale(LossScale.defaults().interval(1 + rank)), "interval=1", "interval=2"));
    all.put("boundedDecay", new Disagreement(
        rank -> Mechanic.tuning(AdamW.defaults()).boundedDecay(rank == 0), "others have more settings", "boundedDecay: false"));
    all.put("gradientL1", new Disagreement(
        rank -> Mechanic.tuning(AdamW.defaults()).gradientL1(rank == 0), "gradientL1: true", "gradientL1: false"));
    all.put("momentumSchedule", new Disagreement(rank -> {
      final FixedRate builder = FixedRate.of(0.1, AdamW.defaults());
      return rank == 0 ? builder : builder.momentumSchedule(Schedule.constant());
    }, "momentumSchedule: none", "momentumSchedule: given"));
    all.put("schedule", new Disagreement(
        rank -> FixedRate.of(0.5, AdamW.defaults()).schedule(rank == 0 ? Schedule.constant() : Schedule.linear(2, 9)),
        "rate with its schedule: 0.5", "rate with its schedule: 0.25"));
    all.put("decaySchedule", new Disagreement(
        rank -> FixedRate.of(0.1, AdamW.defaults()).decaySchedule(rank == 0 ? Schedule.constant() : Schedule.linear(2, 9)),
        "factor on the weight decay: 1", "factor on the weight decay: 0.5"));
    all.put("gradient multiplier", new Disagreement(
        rank -> Mechanic.tuning(AdamW.defaults()).gradientMultiplier(rank == 0 ? 1 : 0.5), "gradient multiplier: 1",
        "gradient multiplier: 0.5"));
    return all;
  }

  /** Both stop, with what differs in the message; nothing has changed, and they stop again. */
  @Test
  void whateverDiffersStopsAll() throws Exception {
    for (Map.Entry<String, Disagreement> each : disagreements().entrySet()) {
      final String name = each.getKey();
      try (Ranks ranks = new Ranks(2); Training training = new Training(DataType.FLOAT64, 0.5, Distribution.SIZES)) {
        final List<Optimizer> optimizers = new ArrayList<>();
        for (int rank = 0; rank < 2; ++rank) {
          final TunerBuilder<?> builder = each.getValue().builder.apply(rank);
          optimizers.add(builder.sumReducer(ranks.reducer(rank)).build(Distribution.DIVIDED.of(rank, training)));
        }
        training.backward(1);
        final byte[] before = training.parameterBytes();
        for (int attempt = 0; attempt < 2; ++attempt) {
          final List<Throwable> failures = ranks.failures(rank -> () -> optimizers.get(rank).step(1));
          for (int rank = 0; rank < 2; ++rank) assertStopped(failures.get(rank), name, each.getValue().named[rank]);
        }
        assertArrayEquals(before, training.parameterBytes(), name);
        for (Optimizer optimizer : optimizers) assertEquals(0, optimizer.steps(), name);
        optimizers.forEach(Optimizer::close);
      }
    }
  }

  private static void assertStopped(Throwable failure, String name, String named) {
    assertTrue(failure instanceof IllegalStateException, name + ": " + failure);
    assertTrue(failure.getMessage().contains("do not agree"), name + ": " + failure.getMessage());
    assertTrue(failure.getMessage().contains(named), name + ": " + failure.getMessage());
  }

  /** A later step may disagree too: nothing has changed then, and once it is mended they go on as one process. */
  @Test
  void aGradientMultiplierOfOneProcess() throws Exception {
    for (Scope scope : Scope.values()) {
      final Supplier<TunerBuilder<?>> builder = () -> Mechanic.tuning(AdamW.defaults()).scope(scope);
      try (Run run = new Run(Distribution.OTHER_ORDER, builder)) {
        run.steps(1, 3);
        run.training.backward(4);
        run.shares.get(1).setGradientMultiplier(0.5);
        for (Throwable failure : run.failures()) assertStopped(failure, "multiplier", "gradient multiplier: ");
        run.shares.get(1).setGradientMultiplier(1);
        run.steps(4, 6);
        run.assertIsAsOne(6);
      }
    }
  }

  @Test
  void anotherPartOfTheData() throws Exception {
    try (Run run = new Run(Distribution.UNEVEN, () -> MovingTarget.tuning(SGD.defaults()).parts(3))) {
      run.training.backward(1);
      final List<Throwable> failures = run.threads.failures(rank -> () -> ((PartedOptimizer) run.shares.get(rank)).step(1, rank));
      for (int rank = 0; rank < 2; ++rank) assertStopped(failures.get(rank), "part", "part of the data: " + rank);
      assertEquals(0, run.shares.get(0).steps());
    }
  }

  /** One process has restored a file of an earlier step: all stop. With the file of the right step they go on bit for bit. */
  @ParameterizedTest
  @EnumSource
  void aCheckpointOfAnotherStep(Distribution distribution, @TempDir Path folder) throws Exception {
    for (Scope scope : Scope.values())
      for (boolean anew : new boolean[] {false, true}) {
        final Supplier<TunerBuilder<?>> builder = () -> Mechanic.tuning(AdamW.defaults()).scope(scope);
        try (Run run = new Run(distribution, builder); Run other = new Run(distribution, builder)) {
          run.steps(1, 2);
          run.save(folder, "early");
          run.steps(3, 4);
          run.save(folder, "late");
          final Run resumed = anew ? other : run; // optimizers that have not agreed yet, or have
          for (int rank = 0; rank < distribution.count(); ++rank) resumed.restore(folder, rank == 0 ? "early" : "late", rank);
          final byte[] before = resumed.training.parameterBytes();
          resumed.training.backward(5);
          final List<Throwable> failures = resumed.failures();
          for (int rank = 0; rank < failures.size(); ++rank)
            assertStopped(failures.get(rank), "steps", "steps made: " + (rank == 0 ? 2 : 4));
          assertArrayEquals(before, resumed.training.parameterBytes());
          resumed.restore(folder, "late", 0);
          resumed.steps(5, 8);
          resumed.assertIsAsOne(8);
        }
      }
  }

  /** A file of another run, but of the same step: its learned scale gives it away. */
  @Test
  void aCheckpointOfAnotherRun(@TempDir Path folder) throws Exception {
    for (Scope scope : Scope.values())
      for (boolean anew : new boolean[] {false, true}) {
        final Supplier<TunerBuilder<?>> builder = () -> Prodigy.tuning(AdamW.defaults()).scope(scope);
        try (Run run = new Run(Distribution.DIVIDED, builder);
            Run strange = new Run(Distribution.DIVIDED, builder);
            Run other = new Run(Distribution.DIVIDED, builder)) {
          for (int i = 0; i < strange.training.count(); ++i) strange.training.set(i, 0.1 * i);
          run.steps(1, 4);
          run.save(folder, "own");
          strange.steps(1, 4);
          strange.save(folder, "strange");
          final Run resumed = anew ? other : run;
          resumed.restore(folder, "own", 0);
          resumed.restore(folder, "strange", 1);
          resumed.training.backward(5);
          for (Throwable failure : resumed.failures()) assertStopped(failure, scope.name(), "learned scale");
          assertEquals(4, resumed.shares.get(0).steps());
        }
      }
  }

  @Test
  void aTensorInDifferentGroups() throws Exception {
    try (Ranks ranks = new Ranks(2); Training training = new Training(DataType.FLOAT64, 0.5, 10, 10)) {
      final List<Optimizer> optimizers = new ArrayList<>();
      for (int rank = 0; rank < 2; ++rank) {
        final long at = training.on(Device.cpu(1)).tensors().get(rank).parameterAddress();
        final long gradient = training.on(Device.cpu(1)).tensors().get(rank).gradientAddress();
        optimizers.add(
            Mechanic.tuning(SGD.defaults()).scope(Scope.TENSOR).sumReducer(ranks.reducer(rank)).build(
                ParameterSet.on(Device.cpu(1)).group("group " + rank).add("w", at, gradient, 10, DataType.FLOAT64).build()));
      }
      for (Throwable failure : ranks.failures(rank -> () -> optimizers.get(rank).step())) assertStopped(failure, "group", "'w'");
      optimizers.forEach(Optimizer::close);
    }
  }

  /** Each process saves what it has. The same distribution goes on bit for bit, in the tuners that keep most between steps. */
  @ParameterizedTest
  @EnumSource
  void checkpointsResumeExactly(Distribution distribution, @TempDir Path folder) throws Exception {
    final List<Supplier<TunerBuilder<?>>> builders = List.of(
        () -> Mechanic.tuning(AdamW.defaults()).scope(Scope.TENSOR), () -> DoG.tuning(SGD.defaults()).scope(Scope.GROUP),
        () -> DAdaptation.tuning(SGD.defaults()).scope(Scope.TENSOR).maxRate(0.01), () -> MoMo.tuning(AdamW.defaults()),
        () -> GradaGrad.tuning(SGD.defaults(), 0.01).form(GradaGrad.Form.DIAGONAL).scope(Scope.GROUP));
    for (Supplier<TunerBuilder<?>> builder : builders)
      for (int at : new int[] {0, 1, 4})
        try (Run run = new Run(distribution, builder); Run resumed = new Run(distribution, builder)) {
          run.steps(1, at);
          run.save(folder, "file");
          run.steps(at + 1, 9);
          for (int rank = 0; rank < distribution.count(); ++rank) resumed.restore(folder, "file", rank);
          resumed.steps(at + 1, 9);
          assertArrayEquals(run.training.parameterBytes(), resumed.training.parameterBytes());
          for (int rank = 0; rank < distribution.count(); ++rank) {
            final Map<String, double[]> actual = resumed.shares.get(rank).scalars();
            run.shares.get(rank).scalars().forEach((name, values) -> assertArrayEquals(values, actual.get(name), name));
          }
        }
  }

  /** A callback that throws in one process stops all of them. Nothing has changed, and the step can be made again. */
  @Test
  void aCallbackThatThrows() throws Exception {
    final boolean[] fails = {false};
    final List<IntFunction<Supplier<TunerBuilder<?>>>> builders = List.of(
        rank -> () -> CDAT.tuning(SGD.defaults()).maxRate(0.01).curvature(u -> answer(fails[0] && rank == 1, square(u))),
        rank -> () -> ExactSharpness.tuning(SGD.defaults(), (v, product) -> answer(fails[0] && rank == 1, twice(v, product))).maxRate(0.01),
        rank -> () -> Armijo.tuning(SGD.defaults(), () -> answer(fails[0] && rank == 1, -1e300)).firstGuess(0.01));
    for (IntFunction<Supplier<TunerBuilder<?>>> builder : builders)
      try (Run run = new Run(Distribution.DIVIDED, builder)) {
        run.steps(1, 2);
        final byte[] before = run.training.parameterBytes();
        run.training.backward(3);
        fails[0] = true;
        final List<Throwable> failures = run.failures();
        assertTrue(failures.get(0) instanceof IllegalStateException, failures.toString());
        assertTrue(failures.get(0).getMessage().contains("trainer of another process"), failures.toString());
        assertTrue(failures.get(1) instanceof UnsupportedOperationException, failures.toString());
        fails[0] = false;
        assertArrayEquals(before, run.training.parameterBytes());
        run.steps(3, 5);
        run.assertIsAsOne(5);
      }
  }

  private static double square(ParameterVector u) {
    double sum = 0;
    for (int t = 0; t < u.parameters().tensors().size(); ++t)
      for (int i = 0; i < u.count(t); ++i) sum += u.doubles(t).get(i) * u.doubles(t).get(i);
    return sum;
  }

  private static double twice(ParameterVector vector, ParameterVector product) {
    for (int t = 0; t < vector.parameters().tensors().size(); ++t)
      for (int i = 0; i < vector.count(t); ++i) product.doubles(t).put(i, 2 * vector.doubles(t).get(i));
    return 0;
  }

  private static double answer(boolean fails, double value) {
    if (fails) throw new UnsupportedOperationException("no answer");
    return value;
  }

  /** A curvature, or a loss on trial, that is no number in one process: all skip the step, and go on with the next one. */
  @Test
  void aCallbackWithoutANumber() throws Exception {
    final boolean[] bad = {false};
    final Map<StepReport.Skip, IntFunction<Supplier<TunerBuilder<?>>>> builders = new LinkedHashMap<>();
    builders.put(
        StepReport.Skip.NON_FINITE_CURVATURE,
        rank -> () -> CDAT.tuning(SGD.defaults()).maxRate(0.01).curvature(u -> bad[0] && rank == 1 ? Double.NaN : square(u)));
    builders.put(
        StepReport.Skip.NON_FINITE_LOSS, rank -> () -> Armijo
            .tuning(SGD.defaults(), () -> bad[0] && rank == 1 ? Double.NaN : -1e300).maxTrials(3).firstGuess(0.01));
    for (Map.Entry<StepReport.Skip, IntFunction<Supplier<TunerBuilder<?>>>> each : builders.entrySet())
      try (Run run = new Run(Distribution.DIVIDED, each.getValue())) {
        run.steps(1, 2);
        bad[0] = true;
        run.steps(3, 3);
        for (Optimizer share : run.shares) assertEquals(each.getKey(), share.report().skip());
        bad[0] = false;
        run.steps(3, 5);
        run.assertIsAsOne(5);
      }
  }

  /** The losses of trials differ from process to process, as those of their batches do: the search goes by their mean. */
  @ParameterizedTest
  @EnumSource
  void trialsGoByTheMeanLoss(Distribution distribution) throws Exception {
    try (Ranks threads = new Ranks(distribution.count());
        Training whole = new Training(DataType.FLOAT64, 0, Distribution.SIZES);
        Training shared = new Training(DataType.FLOAT64, 0, Distribution.SIZES);
        Optimizer one = Armijo.tuning(SGD.defaults(), whole::loss).firstGuess(8).build(whole.on(Device.cpu(1)))) {
      final List<Optimizer> shares = new ArrayList<>();
      for (int rank = 0; rank < distribution.count(); ++rank) {
        final int r = rank;
        // Displaced together: all wait until every rank has moved its parameters, and again until every rank has seen the loss.
        final Armijo builder = Armijo.tuning(SGD.defaults(), () -> {
          threads.meet();
          final double loss = distribution.loss(shared.loss(), r);
          threads.meet();
          return loss;
        });
        shares.add(builder.firstGuess(8).sumReducer(threads.reducer(rank)).build(distribution.of(rank, shared)));
      }
      for (int step = 1; step <= 5; ++step) {
        one.step(whole.backward(step));
        distribution.step(threads, shares, shared.backward(step));
        assertTrue(one.scalars().get("backtracks")[0] > 0 || step > 1);
        for (Optimizer share : shares) assertEquals(one.scalars().get("backtracks")[0], share.scalars().get("backtracks")[0]);
      }
      assertArrayEquals(whole.values(), shared.values(), 1e-10);
      shares.forEach(Optimizer::close);
    }
  }

  /** Instruments may look before the first step, when the processes have not agreed yet. */
  @ParameterizedTest
  @EnumSource
  void instrumentsMeasureWhatOneProcessMeasures(Distribution distribution) throws Exception {
    final HessianVectorProduct hessian = (vector, product) -> {
      for (int t = 0; t < vector.parameters().tensors().size(); ++t)
        for (int i = 0; i < vector.count(t); ++i) {
          final boolean largest = vector.parameters().tensors().get(t).name().equals("t3") && i == 7;
          product.doubles(t).put(i, (largest ? 9 : 3) * vector.doubles(t).get(i));
        }
    };
    final Supplier<TunerBuilder<?>> builder = () -> Mechanic.tuning(AdamW.defaults()).scope(Scope.TENSOR);
    try (Run run = new Run(distribution, builder);
        Training whole = new Training(DataType.FLOAT64, 0.5, Distribution.SIZES);
        Optimizer one = builder.get().build(whole.on(Device.cpu(1)))) {
      final CurvatureInstruments alone = CurvatureInstruments.on(one, hessian);
      final List<CurvatureInstruments> shared = run.threads.all(rank -> () -> CurvatureInstruments.on(run.shares.get(rank), hessian));
      for (int step = 1; step <= 3; ++step) {
        alone.beforeStep();
        one.step(whole.backward(step));
        final CurvatureInstruments.Reading expected = alone.afterStep();
        final double loss = run.training.backward(step);
        final List<CurvatureInstruments.Reading> readings = run.threads.all(rank -> () -> {
          shared.get(rank).beforeStep();
          run.shares.get(rank).step(loss);
          return shared.get(rank).afterStep();
        });
        for (CurvatureInstruments.Reading reading : readings) {
          assertEquals(9, reading.sharpness(), 1e-9);
          assertEquals(expected.alignment(), reading.alignment(), 1e-6);
          assertEquals(expected.angle(), reading.angle(), 1e-6);
        }
      }
    }
  }

  @Test
  void aBadLossOfAnotherProcessIsSaid() throws Exception {
    try (Run run = new Run(Distribution.UNEVEN, () -> {
      final TunerBuilder<?> builder = MoMo.tuning(AdamW.defaults());
      return builder.nonFinite(NonFinite.THROW);
    })) {
      run.training.backward(1);
      final List<Throwable> failures =
          run.threads.failures(rank -> () -> run.shares.get(rank).step(rank == 0 ? 2 : Double.POSITIVE_INFINITY));
      assertTrue(failures.get(0) instanceof NonFiniteException, failures.toString());
      assertEquals("step 1: the loss is 2.0, and that of another process is not finite", failures.get(0).getMessage());
      assertEquals("step 1: the loss is Infinity", failures.get(1).getMessage());
    }
  }

  /** A network that fails in any of the first calls, those of the agreement too: the step is made again as if it had not failed. */
  @Test
  void aNetworkThatFailsOnce() throws Exception {
    for (int failing = 1; failing <= 20; ++failing) {
      final int[] calls = {0};
      final int bad = failing;
      try (Training lossy = new Training(DataType.FLOAT64, 0.5, 30, 40);
          Training safe = new Training(DataType.FLOAT64, 0.5, 30, 40);
          Optimizer one = Mechanic.tuning(AdamW.defaults()).scope(Scope.TENSOR).sumReducer((sums, count) -> {
            if (++calls[0] == bad) throw new UnsupportedOperationException("connection lost");
          }).build(lossy.on(Device.cpu(1)));
          Optimizer other =
              Mechanic.tuning(AdamW.defaults()).scope(Scope.TENSOR).sumReducer((sums, count) -> {}).build(safe.on(Device.cpu(1)))) {
        int failures = 0;
        for (int step = 1; step <= 5; ++step) {
          lossy.backward(step);
          safe.backward(step);
          try {
            one.step();
          } catch (UnsupportedOperationException lost) {
            ++failures;
            one.step();
          }
          other.step();
        }
        assertEquals(1, failures);
        assertArrayEquals(safe.parameterBytes(), lossy.parameterBytes(), "call " + failing + " failed");
      }
    }
  }

  @Test
  void whatOneProcessAloneMayNotHave() {
    try (Training training = new Training(DataType.FLOAT64, 0.5, 30)) {
      final FixedRate builder = FixedRate.of(0.1, SGD.defaults()).group("elsewhere", SGD.defaults(), 0.5);
      final IllegalArgumentException refused =
          assertThrows(IllegalArgumentException.class, () -> builder.build(training.on(Device.cpu(1))));
      assertTrue(refused.getMessage().contains("'elsewhere'"), refused.getMessage());
      builder.sumReducer((sums, count) -> {}).build(training.on(Device.cpu(1))).close();
      final Hypergradient ordered = Hypergradient.tuning(SGD.defaults(), 0.1, 1e-3).inTensorOrder();
      ordered.build(training.on(Device.cpu(1))).close();
      ordered.sumReducer((sums, count) -> {});
      assertThrows(IllegalArgumentException.class, () -> ordered.build(training.on(Device.cpu(1))));
    }
  }

  /** Several processes, and what one process makes of the same. */
  private static final class Run implements AutoCloseable {
    final Distribution distribution;
    final IntFunction<Supplier<TunerBuilder<?>>> builder;
    final Ranks threads;
    final Training training = new Training(DataType.FLOAT64, 0.5, Distribution.SIZES);
    final List<Optimizer> shares = new ArrayList<>();

    Run(Distribution distribution, Supplier<TunerBuilder<?>> builder) {
      this(distribution, rank -> builder);
    }

    Run(Distribution distribution, IntFunction<Supplier<TunerBuilder<?>>> builder) {
      this.distribution = distribution;
      this.builder = builder;
      threads = new Ranks(distribution.count());
      for (int rank = 0; rank < distribution.count(); ++rank) {
        final TunerBuilder<?> one = builder.apply(rank).get();
        shares.add(one.sumReducer(threads.reducer(rank)).build(distribution.of(rank, training)));
      }
    }

    void steps(int first, int last) throws Exception {
      for (int step = first; step <= last; ++step) distribution.step(threads, shares, training.backward(step));
    }

    List<Throwable> failures() throws Exception {
      return threads.failures(rank -> () -> shares.get(rank).step(1));
    }

    void save(Path folder, String name) {
      for (int rank = 0; rank < shares.size(); ++rank) shares.get(rank).save(folder.resolve(name + rank));
    }

    void restore(Path folder, String name, int rank) {
      shares.get(rank).restore(folder.resolve(name + rank));
    }

    void assertIsAsOne(int steps) {
      try (Training whole = new Training(DataType.FLOAT64, 0.5, Distribution.SIZES);
          Optimizer one = builder.apply(0).get().build(whole.on(Device.cpu(1)))) {
        for (int step = 1; step <= steps; ++step) one.step(whole.backward(step));
        assertArrayEquals(whole.values(), training.values(), 1e-10);
      }
    }

    @Override
    public void close() {
      shares.forEach(Optimizer::close);
      threads.close();
      training.close();
    }
  }
}
