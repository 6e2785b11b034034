// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.NonFinite;
import org.steptuner.Optimizer;
import org.steptuner.ParameterRounding;
import org.steptuner.Schedule;
import org.steptuner.Scope;
import org.steptuner.TestTensors;
import org.steptuner.curvature.ParameterVector;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.SGD;

/** An optimizer keeps the settings that it was built with: a builder that is changed afterwards changes nothing. */
class FrozenSettingsTest {
  private static final Map<String, Arguments> CASES = new LinkedHashMap<>();

  static {
    add("FixedRate", () -> FixedRate.of(0.1, AdamW.defaults()), b -> {});
    add("Mechanic", () -> Mechanic.tuning(AdamW.defaults()).initialScale(1e-3),
        b -> b.variant(Mechanic.Variant.TORCH).delta(Mechanic.Delta.STORED).baseRate(9).betas(0.5).decay(3).initialScale(1).epsilon(1)
            .scope(Scope.TENSOR));
    add("Prodigy", () -> Prodigy.tuning(AdamW.defaults()).initialRate(1e-3),
        b -> b.baseRate(9).beta3(0.1).initialRate(1).maxRate(1).coefficient(5).growthRate(1.01).safeguardWarmup(true).biasCorrection(true)
            .slice(3).displacement(Prodigy.Displacement.ACCUMULATED));
    add("DAdaptation", () -> DAdaptation.tuning(AdaGrad.defaults().epsilon(1e-6)).initialRate(1e-3),
        b -> b.baseRate(9).initialRate(1).maxRate(1).growthRate(1.01).momentum(0.9));
    add("DAdaptation with scales of layers", () -> DAdaptation.tuning(AdamW.defaults()).initialRate(1e-3).layerScale("default", 0.5),
        b -> b.layerScale("default", 2).biasCorrection(true));
    add("DistanceAdaptation", () -> DAdaptation.dualAveraging().initialRate(1e-3),
        b -> b.baseRate(9).initialRate(1).maxRate(1).growthRate(3).gradientBound(4).averaging(false).resetting().scope(Scope.TENSOR));
    add("MoMo", () -> MoMo.tuning(SGD.defaults().momentum(0.9)),
        b -> b.maxRate(1e-4).variant(MoMo.Variant.OPTAX).bound(0.5).estimateBound(true).biasCorrection(true));
    add("MovingTarget", () -> MovingTarget.tuning(SGD.defaults()).parts(2),
        b -> b.parts(5).baseRate(0.01).target(0.4).targetRate(0.9));
    add("MovingTarget with given targets", () -> MovingTarget.tuning(SGD.defaults()).targets(0.1, 0.2), b -> b.targets(5, 6, 7));
    add("MoMo over AdaGrad", () -> MoMo.tuning(AdaGrad.defaults()), b -> b.beta(0.1).maxRate(1e-4));
    add("MetaOptimize", () -> MetaOptimize.tuning(AdamW.defaults()).initialStepSize(1e-3),
        b -> b.meta(SGD.defaults()).metaStepSize(0.5).gamma(0.1).initialStepSize(1).stepSizeBounds(0.1, 1).largestChange(1.01).epsilon(1));
    add("MetaOptimize with a curvature", () -> MetaOptimize.tuning(SGD.defaults()).meta(SGD.defaults()).initialStepSize(1e-3)
        .curvature(MetaCurvature.DIAGONAL).approximation(MetaOptimize.Approximation.TWO_BY_TWO),
        b -> b.approximation(MetaOptimize.Approximation.L).curvature(MetaCurvature.NONE).metaStepSize(9));
    add("MetaOptimize with a curvature over AdamW", () -> MetaOptimize.tuning(AdamW.defaults()).initialStepSize(1e-3)
        .curvature(MetaCurvature.DIAGONAL).approximation(MetaOptimize.Approximation.TWO_BY_TWO),
        b -> b.meta(SGD.defaults()).gamma(0.1).curvature(MetaCurvature.PRODUCT));
    add("Hypergradient", () -> Hypergradient.tuning(SGD.defaults().weightDecay(0.1), 0.01, 1e-3),
        b -> b.variant(Hypergradient.Variant.MULTIPLICATIVE).rateBounds(0.1, 0.1).inTensorOrder());
    add("GradaGrad", () -> GradaGrad.tuning(SGD.defaults(), 0.01),
        b -> b.form(GradaGrad.Form.DIAGONAL).rho(0.5).r(0.1).initialAccumulator(5).maxGrowth(1).scope(Scope.TENSOR));
    add("GradaGrad, diagonal", () -> GradaGrad.tuning(SGD.defaults(), 0.01).form(GradaGrad.Form.DIAGONAL),
        b -> b.form(GradaGrad.Form.SCALAR).rho(0.5).r(0.1).initialAccumulator(5).maxGrowth(1));
    add("DoG", () -> DoG.tuning(SGD.defaults()).relativeDistance(1e-3),
        b -> b.factor(2).relativeDistance(1).epsilon(9).initialStep(1).averaging(8).displacement(DoG.Displacement.RECOMPUTED)
            .scope(Scope.TENSOR));
    add("NewtonRate", () -> NewtonRate.tuning(SGD.defaults(), 0.01).interval(2),
        b -> b.variant(NewtonRate.Variant.RELEASED).gamma(1).interval(1).maxFactor(1.5).rateBounds(0.1, 0.2));
    add("first-order rate", () -> NewtonRate.firstOrder(SGD.defaults(), 0.01, NewtonRate.Variant.FIRST_ORDER_ADDITIVE, 1e-3).interval(2),
        b -> b.variant(NewtonRate.Variant.FIRST_ORDER_MULTIPLICATIVE).eta(0.5));
    add("CDAT", () -> CDAT.tuning(RMSProp.defaults()).curvature(u -> 3),
        b -> b.sigma(0.1).ema(0.9).epsilon(5).maxRate(1e-3).every(3).curvature(u -> 1e6));
    add("Polyak", () -> Polyak.tuning(SGD.defaults()), b -> b.maxRate(1e-3).bound(0.4).alongUpdate());
    add("SPS_max", () -> Polyak.spsMax(SGD.defaults(), 0.5, 0.1).smoothing(2, 5), b -> b.coefficient(9).smoothing(1, 1));
    add("SLS", () -> Armijo.stochastic(SGD.defaults(), () -> 0.3, 5), b -> b.resetToPrevious());
    add("Armijo", () -> Armijo.tuning(SGD.defaults(), () -> 0.3).decrease(0.5),
        b -> b.sufficientDecrease(0.9).increase(1).decrease(0.9).allowedIncrease(5).firstGuess(1e-3).maxTrials(1));
    add("ExactSharpness", () -> ExactSharpness.tuning(SGD.defaults(), FrozenSettingsTest::twice),
        b -> b.sigma(0.1).maxRate(1e-3).every(3).tolerance(0.5, 1));
  }

  // H = 2, the unit matrix twice.
  private static void twice(ParameterVector vector, ParameterVector product) {
    for (int t = 0; t < vector.parameters().tensors().size(); ++t)
      for (int i = 0; i < vector.doubles(t).capacity(); ++i) product.doubles(t).put(i, 2 * vector.doubles(t).get(i));
  }

  private static <B extends TunerBuilder<B>> void add(String name, Supplier<B> builder, Consumer<B> change) {
    CASES.put(name, Arguments.of(name, builder, change));
  }

  static Stream<Arguments> cases() {
    return CASES.values().stream();
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("cases")
  <B extends TunerBuilder<B>> void aBuilderThatIsChangedAfterwardsChangesNothing(
      String name, Supplier<B> builder, Consumer<B> change) {
    final Consumer<B> everything =
        changed -> {
          changed.schedule(Schedule.linear(1, 3)).clipNorm(1e-3).gradientMultiplier(7).nonFinite(NonFinite.THROW).gradientL1(true);
          changed.sumReducer((sums, count) -> sums[0] += 1);
          changed.stateStorage(DataType.BFLOAT16).parameterRounding(ParameterRounding.NEAREST).roundingSeed(5);
          change.accept(changed);
        };
    final Outcome untouched = run(builder.get(), changed -> {});
    final Outcome touched = run(builder.get(), everything);
    assertArrayEquals(untouched.parameters, touched.parameters, name);
    assertEquals(untouched.description, touched.description);
  }

  private record Outcome(double[] parameters, String description) {}

  private static <B extends TunerBuilder<B>> Outcome run(B builder, Consumer<B> change) {
    try (TestTensors tensors =
        new TestTensors().add("a", DataType.FLOAT64, 5).add("b", DataType.FLOAT64, 3).parameters(i -> 0.5 - 0.1 * i)) {
      try (Optimizer optimizer = builder.build(tensors.on(Device.cpu(1)))) {
        change.accept(builder);
        final StringBuilder seen = new StringBuilder();
        for (int step = 1; step <= 7; ++step) {
          final int t = step;
          tensors.gradients(i -> Math.sin(i + 0.3 * t));
          seen.append(optimizer.step(0.5).copy()).append('\n');
        }
        return new Outcome(tensors.values(), seen.toString());
      }
    }
  }
}
