// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.NamedTensors.make;
import static org.steptuner.NamedTensors.train;
import static org.steptuner.NamedTensors.usual;
import static org.steptuner.Refusal.assertRefused;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.CheckpointException;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.MemoryFolder;
import org.steptuner.NamedTensors.Spec;
import org.steptuner.Optimizer;
import org.steptuner.ParameterRounding;
import org.steptuner.RestoreOptions;
import org.steptuner.Restored;
import org.steptuner.SavedState;
import org.steptuner.Scope;
import org.steptuner.TestTensors;
import org.steptuner.rule.AdEMAMix;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Adan;
import org.steptuner.rule.Lion;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.MirrorMADGRAD;
import org.steptuner.rule.ModernizedDualAveraging;
import org.steptuner.rule.PrimalAveraging;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.rule.ScheduleFreeAdamW;
import org.steptuner.rule.ScheduleFreeSGD;

/** Of every setting of every tuner and rule: whether it may change from one part of a run to the next. */
class FormAndSettingsTest {
  @TempDir(factory = MemoryFolder.class)
  Path folder;

  /**
   * Two builders that differ.
   *
   * @param settings the names that may differ; empty: the second one is of another form
   * @param form the name that is refused; null: nothing is
   */
  private record Change(String name, Supplier<TunerBuilder<?>> before, Supplier<TunerBuilder<?>> after, Set<String> settings, String form) {
    @Override
    public String toString() {
      return name;
    }
  }

  private static final List<Change> ALL = new ArrayList<>();

  private static <B extends TunerBuilder<B>> void may(Supplier<B> before, Function<B, B> change, String... settings) {
    ALL.add(
        new Change(before.get().getClass().getSimpleName() + " " + List.of(settings), before::get, () -> change.apply(before.get()),
            Set.of(settings),
            null));
  }

  private static <B extends TunerBuilder<B>> void never(Supplier<B> before, Function<B, B> change, String form) {
    ALL.add(
        new Change(before.get().getClass().getSimpleName() + " " + form, before::get, () -> change.apply(before.get()), Set.of(), form));
  }

  private static void mayRule(Rule before, Rule after, String... components) {
    ALL.add(
        new Change(
            before + " " + List.of(components), () -> FixedRate.of(0.01, before), () -> FixedRate.of(0.01, after),
            Stream.of(components).map(name -> "rule." + name).collect(Collectors.toSet()), null));
  }

  private static void neverRule(Rule before, Rule after, String form) {
    ALL.add(new Change(before + " " + form, () -> FixedRate.of(0.01, before), () -> FixedRate.of(0.01, after), Set.of(), form));
  }

  static {
    may(() -> FixedRate.of(0.01, AdamW.defaults()), b -> FixedRate.of(0.02, AdamW.defaults()), "rate");
    may(() -> FixedRate.of(0.01, AdamW.defaults()), b -> b.clipNorm(0.5), "clipNorm");
    may(
        () -> FixedRate.of(0.01, AdamW.defaults()).exponentialAverage(0.9), b -> b.exponentialAverage(0.5), "exponentialAverage.decay");
    never(() -> FixedRate.of(0.01, AdamW.defaults()), b -> b.exponentialAverage(0.9), "exponentialAverage");
    never(
        () -> FixedRate.of(0.01, AdamW.defaults()).exponentialAverage(0.9), b -> FixedRate.of(0.01, AdamW.defaults()),
        "exponentialAverage");

    may(
        () -> FixedRate.of(0.01, AdamW.defaults()),
        b -> b.stateStorage(DataType.BFLOAT16).parameterRounding(ParameterRounding.NEAREST).roundingSeed(3), "stateStorage",
        "parameterRounding", "roundingSeed");
    may(
        () -> FixedRate.of(0.01, AdamW.defaults()).stateStorage(DataType.BFLOAT16).roundingSeed(3),
        b -> b.parameterRounding(ParameterRounding.NEAREST).roundingSeed(4), "parameterRounding", "roundingSeed");
    never(
        () -> FixedRate.of(0.01, AdamW.defaults()), b -> b.parameterRounding(ParameterRounding.IN_PARTS), "parameterRounding");

    final Supplier<Mechanic> mechanic = () -> Mechanic.tuning(AdamW.defaults());
    may(
        mechanic, b -> b.baseRate(0.5).betas(0.8, 0.9, 0.99, 0.999, 0.9999, 0.99999).decay(0.1).initialScale(1e-5).epsilon(1e-7), "rate",
        "betas",
        "decay", "initialScale", "epsilon");
    never(mechanic, b -> b.variant(Mechanic.Variant.TORCH).delta(Mechanic.Delta.DISCOUNTED), "variant");
    never(mechanic, b -> b.delta(Mechanic.Delta.STORED), "delta");
    never(mechanic, b -> b.betas(0.9), "learners");
    never(mechanic, b -> b.scope(Scope.GROUP), "scope");
    // The two arrangements of TORCH's sweeps have the same state.
    may(() -> Mechanic.tuning(AdamW.defaults()).variant(Mechanic.Variant.TORCH), b -> b.decay(0), "decay");
    may(() -> Mechanic.tuning(AdamW.defaults()).variant(Mechanic.Variant.TORCH).decay(0), b -> b.decay(0.1), "decay");

    final Supplier<Prodigy> prodigy = () -> Prodigy.tuning(AdamW.defaults()).maxRate(0.01);
    may(
        prodigy, b -> b.baseRate(0.5).beta3(0.9).maxRate(1e-6).coefficient(2).growthRate(1.5).safeguardWarmup(true).biasCorrection(true),
        "rate",
        "beta3", "maxRate", "coefficient", "growthRate", "safeguardWarmup", "biasCorrection");
    never(prodigy, b -> b.initialRate(1e-5), "initialRate");
    never(prodigy, b -> b.slice(2), "slice");
    never(() -> Prodigy.tuning(AdamW.defaults()), b -> b.displacement(Prodigy.Displacement.ACCUMULATED), "displacement");
    never(prodigy, b -> Prodigy.tuning(AdamW.defaults().betas(0, 0.99)).maxRate(0.01), "state slots");

    may(
        () -> DAdaptation.tuning(AdamW.defaults()).maxRate(0.01),
        b -> b.baseRate(0.5).initialRate(1e-7).maxRate(1e-6).growthRate(1.5).biasCorrection(true).layerScale("bias", 2), "rate",
        "initialRate",
        "maxRate", "growthRate", "biasCorrection", "layerScales");
    may(() -> DAdaptation.tuning(AdaGrad.defaults().epsilon(1e-6)).maxRate(0.01), b -> b.momentum(0.5), "momentum");

    final Supplier<DistanceAdaptation> distance = () -> DAdaptation.dualAveraging().maxRate(0.01);
    may(
        distance, b -> b.baseRate(0.5).maxRate(1e-5).growthRate(3).gradientBound(1), "rate", "maxRate", "growthRate", "gradientBound");
    never(distance, b -> b.initialRate(1e-7), "initialRate");
    never(distance, b -> b.averaging(false), "averaging");
    never(distance, b -> b.resetting(), "resetting");
    never(distance, b -> DAdaptation.gradientDescent().maxRate(0.01), "form");

    final Supplier<MoMo> momo = () -> MoMo.tuning(AdamW.defaults()).maxRate(0.01);
    may(
        momo, b -> b.maxRate(0.02).decay(MoMo.Decay.MULTIPLY).bound(0.5).estimateBound(true), "maxRate", "decay", "bound", "estimateBound");
    may(() -> MoMo.tuning(AdaGrad.defaults()).maxRate(0.01), b -> b.beta(0.5), "beta");
    never(momo, b -> b.variant(MoMo.Variant.OPTAX), "variant");
    never(() -> MoMo.tuning(SGD.defaults().momentum(0.9)), b -> b.biasCorrection(true), "biasCorrection");

    final Supplier<MovingTarget> target = () -> MovingTarget.tuning(SGD.defaults()).baseRate(0.01).parts(2);
    may(target, b -> b.baseRate(0.02).target(0.1).targetRate(0.5), "rate", "target", "targetRate");
    may(
        () -> MovingTarget.tuning(SGD.defaults()).baseRate(0.01).targets(1, 2), b -> b.targets(0.5, 0.25), "targets");
    never(target, b -> b.parts(3), "parts");
    never(target, b -> b.targets(1, 2), "givenTargets");

    final Supplier<MetaOptimize> meta = () -> MetaOptimize.tuning(AdamW.defaults()).initialStepSize(1e-3);
    may(
        meta,
        b -> b.metaStepSize(0.1).gamma(0.9).initialStepSize(5e-4).epsilon(1e-6).stepSizeBounds(1e-4, 6e-4).largestChange(1.5)
            .meta(Adam.defaults().betas(0.5, 0.9)),
        "metaStepSize", "gamma", "initialStepSize", "epsilon", "stepSizeBounds", "largestChange", "meta.beta1", "meta.beta2");
    never(meta, b -> b.meta(Lion.defaults().weightDecay(0)), "meta");
    never(meta, b -> b.variant(MetaOptimize.Variant.PACKAGE), "variant");
    never(meta, b -> b.perWeight(), "perWeight");
    never(meta, b -> b.curvature(MetaCurvature.DIAGONAL), "curvature");
    never(
        () -> MetaOptimize.tuning(AdamW.defaults()).curvature(MetaCurvature.DIAGONAL).initialStepSize(1e-3),
        b -> b.approximation(MetaOptimize.Approximation.TWO_BY_TWO), "approximation");
    never(
        () -> MetaOptimize.tuning(SGD.defaults()).curvature(MetaCurvature.DIAGONAL).initialStepSize(1e-3).perWeight(),
        b -> b.stepSizeFirst(),
        "stepSizeFirst");
    never(() -> MetaOptimize.tuning(AdamW.defaults()).perWeight().initialStepSize(1e-3), b -> b.initialStepSize(1e-4), "initialStepSize");

    final Supplier<Hypergradient> hyper = () -> Hypergradient.tuning(Adam.defaults(), 0.01, 1e-6);
    may(
        hyper, b -> Hypergradient.tuning(Adam.defaults(), 0.002, 1e-5).rateBounds(0, 0.003), "initialRate", "hyperRate", "rateBounds");
    never(hyper, b -> b.variant(Hypergradient.Variant.ADDITIVE_RELEASED), "variant");
    never(hyper, b -> b.inTensorOrder(), "inTensorOrder");

    final Supplier<GradaGrad> grada = () -> GradaGrad.tuning(SGD.defaults(), 0.1).maxGrowth(10);
    may(
        grada, b -> GradaGrad.tuning(SGD.defaults(), 0.05).rho(1).r(0.5).initialAccumulator(1).maxGrowth(1), "initialRate", "rho", "r",
        "initialAccumulator", "maxGrowth");
    may(() -> GradaGrad.adaGradNorm(SGD.defaults(), 0.1), b -> GradaGrad.adaGradNorm(SGD.defaults(), 0.05), "initialRate");
    never(grada, b -> b.rho(0), "compares");
    never(grada, b -> b.form(GradaGrad.Form.DIAGONAL), "form");
    never(grada, b -> GradaGrad.tuning(SGD.defaults().momentum(0.9), 0.1).maxGrowth(10), "rule.kernel");
    never(
        () -> GradaGrad.tuning(SGD.defaults(), 0.1).form(GradaGrad.Form.DIAGONAL),
        b -> GradaGrad.tuning(SGD.defaults(), 0.2).form(GradaGrad.Form.DIAGONAL), "initialRate");

    final Supplier<DoG> dog = () -> DoG.tuning(SGD.defaults()).relativeDistance(1e-3).averaging(8);
    may(
        dog, b -> b.factor(0.5).relativeDistance(1e-4).epsilon(1e-6).averaging(4), "factor", "relativeDistance", "epsilon", "averaging");
    may(() -> DoG.tuning(SGD.defaults()).initialStep(1e-3), b -> DoG.tuning(SGD.defaults()), "initialStep");
    never(dog, b -> DoG.weighted(SGD.defaults()).relativeDistance(1e-3).averaging(8), "variant");
    never(() -> DoG.tuning(SGD.defaults()), b -> b.displacement(DoG.Displacement.RECOMPUTED), "displacement");
    never(dog, b -> DoG.tuning(SGD.defaults()).relativeDistance(1e-3), "averages");

    final Supplier<CDAT> cdat = () -> CDAT.tuning(AdamW.defaults()).curvature(u -> 1);
    may(
        cdat, b -> CDAT.tuning(AdamW.defaults()).hessian((v, hv) -> {}).sigma(1).ema(0.5).epsilon(1).maxRate(1e-3).every(2), "sigma", "ema",
        "epsilon", "maxRate", "every", "curvature");
    final Supplier<Polyak> polyak = () -> Polyak.spsMax(SGD.defaults(), 0.5, 1).smoothing(2, 10);
    may(polyak, b -> b.coefficient(1).maxRate(0.5).bound(-1).smoothing(3, 10), "coefficient", "maxRate", "bound", "growth");
    never(polyak, b -> Polyak.spsMax(SGD.defaults(), 0.5, 1), "smooths");
    never(polyak, b -> b.alongUpdate(), "alongUpdate");
    may(
        () -> Armijo.tuning(AdamW.defaults(), () -> 0),
        b -> b.sufficientDecrease(0.1).increase(2).decrease(0.5).allowedIncrease(0.1).firstGuess(0.5).maxTrials(3), "sufficientDecrease",
        "increase", "decrease", "allowedIncrease", "firstGuess", "maxTrials");
    may(
        () -> ExactSharpness.tuning(AdamW.defaults(), (v, hv) -> {}), b -> b.sigma(1).maxRate(1e-3).every(2).tolerance(1e-2, 50), "sigma",
        "maxRate", "every", "tolerance", "mostProducts");
    final Supplier<NewtonRate> newton = () -> NewtonRate.tuning(AdamW.defaults(), 0.01).interval(3);
    may(
        newton, b -> NewtonRate.tuning(AdamW.defaults(), 0.002).interval(3).gamma(0.5).eta(1).maxFactor(2).rateBounds(1e-3, 3e-3),
        "initialRate",
        "gamma", "eta", "maxFactor", "rateBounds");
    never(newton, b -> b.interval(4), "interval");
    never(newton, b -> b.variant(NewtonRate.Variant.RELEASED), "variant");

    mayRule(SGD.defaults().momentum(0.9), SGD.defaults().momentum(0.5).nesterov(true).weightDecay(0.1), "momentum", "nesterov",
        "weightDecay");
    neverRule(SGD.defaults(), SGD.defaults().momentum(0.5), "rule.kernel");
    mayRule(
        RMSProp.defaults(), RMSProp.defaults().alpha(0.9).epsilon(1e-6).weightDecay(0.1).epsilonInsideRoot(true), "alpha", "epsilon",
        "weightDecay", "epsilonInsideRoot");
    mayRule(
        AdaGrad.defaults(), AdaGrad.defaults().rateDecay(0.1).epsilon(1e-6).weightDecay(0.1).initialAccumulator(1), "rateDecay", "epsilon",
        "weightDecay", "initialAccumulator");
    mayRule(AdamW.defaults(), AdamW.defaults().betas(0.8, 0.9).epsilon(1e-6).weightDecay(0.1), "beta1", "beta2", "epsilon", "weightDecay");
    neverRule(AdamW.defaults(), Adam.defaults().weightDecay(0.01), "rule");
    mayRule(
        AdEMAMix.defaults(), AdEMAMix.defaults().betas(0.8, 0.9, 0.99).alpha(2).warmup(9).epsilon(1e-6).weightDecay(0.1), "beta1", "beta2",
        "beta3", "alpha", "warmup", "epsilon", "weightDecay");
    mayRule(
        Adan.defaults(), Adan.defaults().betas(0.8, 0.9, 0.95).epsilon(1e-6).weightDecay(0.1).noProx(true), "beta1", "beta2", "beta3",
        "epsilon", "weightDecay", "noProx");
    mayRule(Lion.defaults(), new Lion(0.8, 0.9, 0.1), "beta1", "beta2", "weightDecay");
    mayRule(MADGRAD.defaults(), new MADGRAD(0.5, 1e-5, 0.1), "momentum", "epsilon", "weightDecay");
    mayRule(MirrorMADGRAD.defaults(), new MirrorMADGRAD(0.5, 1e-5, 0.1), "momentum", "epsilon", "weightDecay");
    mayRule(ModernizedDualAveraging.defaults(), new ModernizedDualAveraging(0.5, 0.1), "momentum", "weightDecay");
    mayRule(PrimalAveraging.defaults(), new PrimalAveraging(0.5, 0.1), "averaging", "weightDecay");
    mayRule(
        ScheduleFreeSGD.defaults(), ScheduleFreeSGD.defaults().stepPower(1).ratePower(1).weightDecay(0.1), "stepPower", "ratePower",
        "weightDecay");
    neverRule(ScheduleFreeSGD.defaults(), ScheduleFreeSGD.defaults().beta1(0.8), "rule.beta1");
    mayRule(ScheduleFreeAdamW.defaults(), ScheduleFreeAdamW.defaults().betas(0.9, 0.9).epsilon(1e-6), "beta2", "epsilon");
    neverRule(ScheduleFreeAdamW.defaults(), ScheduleFreeAdamW.defaults().betas(0.8, 0.999), "rule.beta1");
  }

  static Stream<Change> all() {
    return ALL.stream();
  }

  // Some forms refuse 16-bit parameters, and state of 16 bits is for others than float64.
  private static List<Spec> tensors(Change change) {
    return change.settings.contains("parameterRounding") ? List.of(
        new Spec("w", "default", DataType.FLOAT32, 41), new Spec("b", "bias", DataType.BFLOAT16, 7),
        new Spec("v", "default", DataType.FLOAT16, 13)) : tensors();
  }

  private static List<Spec> tensors() {
    return usual().stream()
        .map(spec -> new Spec(spec.name(), spec.group(), spec.type() == DataType.FLOAT64 ? spec.type() : DataType.FLOAT32, spec.count()))
        .toList();
  }

  @ParameterizedTest
  @MethodSource("all")
  void mayItChange(Change change) {
    final Path file = folder.resolve("run.checkpoint");
    try (TestTensors tensors = make(tensors(change), 0); Optimizer optimizer = change.before.get().build(tensors.on(Device.cpu(1)))) {
      train(tensors, optimizer, 0, 5);
      optimizer.save(file);
    }
    try (TestTensors tensors = make(tensors(change), 1); Optimizer optimizer = change.after.get().build(tensors.on(Device.cpu(1)))) {
      train(tensors, optimizer, 20, 22);
      final SavedState before = SavedState.of(optimizer);
      if (change.form != null) {
        assertRefused(CheckpointException.class, () -> optimizer.restore(file, RestoreOptions.lenient()), change.form, "no option");
        before.assertSame(SavedState.of(optimizer), "refused");
        return;
      }
      final String[] names = change.settings.stream().map(name -> name + " is ").toArray(String[]::new);
      assertRefused(CheckpointException.class, () -> optimizer.restore(file), names);
      before.assertSame(SavedState.of(optimizer), "refused");
      final Restored restored = optimizer.restore(file, RestoreOptions.strict().allowSettings());
      assertEquals(
          new TreeSet<>(change.settings),
          restored.settings().stream().map(Restored.Setting::name).collect(Collectors.toCollection(TreeSet::new)));
      // The new settings are what counts, and what is saved from now on.
      for (Restored.Setting setting : restored.settings())
        assertTrue(
            setting.here().equals("NEAREST") // as it is where nothing is said
                || SavedState.of(optimizer).manifest().contains("setting." + setting.name() + "=" + setting.here() + "\n"),
            setting.toString());
      train(tensors, optimizer, 5, 9);
      for (double x : tensors.values()) assertTrue(Double.isFinite(x), "a parameter is " + x);
      assertFalse(Double.isNaN(optimizer.report().learnedScale()));
    }
  }

  /** Limits hold at once, and a value that is not learned is that of the new settings. */
  @Test
  void newLimitsHold() {
    assertScale(() -> Prodigy.tuning(AdamW.defaults()).maxRate(0.01), () -> Prodigy.tuning(AdamW.defaults()).maxRate(1.01e-6), 1.01e-6);
    assertScale(() -> DAdaptation.tuning(AdamW.defaults()).maxRate(0.01), () -> DAdaptation.tuning(AdamW.defaults()).maxRate(1.01e-6),
        1.01e-6);
    assertScale(() -> Prodigy.dualAveraging().maxRate(0.01), () -> Prodigy.dualAveraging().maxRate(1.01e-6), 1.01e-6);
    assertScale(
        () -> MetaOptimize.tuning(AdamW.defaults()).initialStepSize(1e-3),
        () -> MetaOptimize.tuning(AdamW.defaults()).initialStepSize(1e-5).stepSizeBounds(0, 2e-5), 2e-5);
    assertScale(
        () -> NewtonRate.tuning(AdamW.defaults(), 0.01).interval(100),
        () -> NewtonRate.tuning(AdamW.defaults(), 0.001).interval(100).rateBounds(0, 0.002), 0.002);
    assertScale(
        () -> CDAT.tuning(AdamW.defaults()).curvature(u -> 1e-3).every(100),
        () -> CDAT.tuning(AdamW.defaults()).curvature(u -> 1e-3).every(100).maxRate(1e-3), 1e-3);
  }

  private void assertScale(Supplier<TunerBuilder<?>> before, Supplier<TunerBuilder<?>> after, double scale) {
    final Path file = folder.resolve("run.checkpoint");
    try (TestTensors tensors = make(tensors(), 0);
        Optimizer one = before.get().build(tensors.on(Device.cpu(1)));
        Optimizer other = after.get().build(tensors.on(Device.cpu(1)))) {
      train(tensors, one, 0, 6);
      assertTrue(one.report().learnedScale() > scale, "the limit is below " + one.report().learnedScale());
      one.save(file);
      other.restore(file, RestoreOptions.lenient());
      assertEquals(scale, other.report().learnedScale(), 1e-12 * scale);
    }
  }

  @Test
  void ratesThatAreNotLearned() {
    final Path file = folder.resolve("run.checkpoint");
    try (TestTensors tensors = make(tensors(), 0);
        Optimizer norm = GradaGrad.adaGradNorm(SGD.defaults(), 0.1).build(tensors.on(Device.cpu(1)));
        Optimizer half = GradaGrad.adaGradNorm(SGD.defaults(), 0.05).build(tensors.on(Device.cpu(1)));
        Optimizer momo = MoMo.tuning(AdamW.defaults()).bound(0.5).build(tensors.on(Device.cpu(1)));
        Optimizer bound = MoMo.tuning(AdamW.defaults()).bound(0.25).build(tensors.on(Device.cpu(1)));
        Optimizer given = MovingTarget.tuning(SGD.defaults()).targets(1, 2).build(tensors.on(Device.cpu(1)));
        Optimizer others = MovingTarget.tuning(SGD.defaults()).targets(3, 4).build(tensors.on(Device.cpu(1)))) {
      for (Optimizer one : List.of(norm, momo, given)) train(tensors, one, 0, 3);
      norm.save(file);
      half.restore(file, RestoreOptions.lenient());
      assertEquals(0.05, half.scalars().get("gamma")[0]);
      assertEquals(norm.report().learnedScale() / 2, half.report().learnedScale(), 1e-12);
      momo.save(file);
      bound.restore(file, RestoreOptions.lenient());
      assertEquals(0.25, bound.scalars().get("lb")[0]);
      given.save(file);
      others.restore(file, RestoreOptions.lenient());
      assertEquals(3, others.scalars().get("alpha")[0]);
    }
  }
}
