// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.StepReport.Skip;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Adan;
import org.steptuner.rule.Lion;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.DAdaptation;
import org.steptuner.tuner.MetaCurvature;
import org.steptuner.tuner.MetaOptimize;
import org.steptuner.tuner.MoMo;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/** Prodigy, D-Adaptation, MoMo and MetaOptimize by steps that the device makes alone: they are those of Java, to the bit. */
class CapturableTunersTest {
  private static final int STEPS = 24;
  private static final int ALONE = 15;

  static Stream<Configuration> configurations() {
    final List<Configuration> all = new ArrayList<>();
    prodigy(all);
    dAdaptation(all);
    moMo(all);
    metaOptimize(all);
    all.addAll(CapturableStepsTest.narrowOnes(all));
    return all.stream();
  }

  private static void prodigy(List<Configuration> all) {
    final Rule decoupled = AdamW.defaults().betas(0.9, 0.95).weightDecay(0.1);
    final Rule coupled = Adam.defaults().betas(0.9, 0.95).weightDecay(0.1);
    for (Prodigy.Displacement displacement : Prodigy.Displacement.values()) {
      final String name = "Prodigy " + displacement;
      variants(all, name, () -> Prodigy.tuning(decoupled).initialRate(1e-3).displacement(displacement), decoupled, false);
      if (displacement != Prodigy.Displacement.ACCUMULATED)
        variants(all, name + " coupled", () -> Prodigy.tuning(coupled).displacement(displacement).safeguardWarmup(true), coupled, false);
    }
    for (Scope scope : Scope.values())
      variants(all, "Prodigy by " + scope, () -> Prodigy.tuning(decoupled).initialRate(1e-2).scope(scope).growthRate(1.5), decoupled,
          false);
    final Rule plain = AdamW.defaults().betas(0, 0.95);
    all.add(new Configuration("Prodigy without momentum", () -> Prodigy.tuning(plain).initialRate(1e-3).maxRate(0.01)));
    all.add(new Configuration("Prodigy sliced", () -> Prodigy.tuning(decoupled).slice(7)));
    all.add(
        new Configuration("Prodigy with a bounded decay", () -> Prodigy.tuning(AdamW.defaults().weightDecay(20)).initialRate(0.5)));
  }

  private static void dAdaptation(List<Configuration> all) {
    final List<Rule> rules = List.of(
        SGD.defaults().momentum(0.9).weightDecay(0.01), Adam.defaults().weightDecay(0.01), AdamW.defaults().weightDecay(0.1),
        Lion.defaults().weightDecay(0.1), AdaGrad.defaults().weightDecay(0.01), Adan.defaults().weightDecay(0.02));
    for (Rule rule : rules) variants(all, "D-Adaptation over " + rule, () -> DAdaptation.tuning(rule).initialRate(1e-3), rule, true);
    for (Scope scope : Scope.values()) {
      all.add(
          new Configuration(
              "D-Adaptation by " + scope, () -> DAdaptation.tuning(AdamW.defaults()).scope(scope).growthRate(1.5).layerScale("bias", 0.5)));
      all.add(new Configuration("D-Adaptation over SGD by " + scope, () -> DAdaptation.tuning(SGD.defaults()).scope(scope).maxRate(0.1)));
    }
    all.add(
        new Configuration(
            "D-Adaptation with a bounded decay", () -> DAdaptation.tuning(AdamW.defaults().weightDecay(20)).initialRate(0.5)));
  }

  private static void moMo(List<Configuration> all) {
    for (Rule rule : List.of(SGD.defaults().weightDecay(0.01), SGD.defaults().momentum(0.9), RMSProp.defaults(), AdaGrad.defaults()))
      variants(all, "MoMo over " + rule, () -> MoMo.tuning(rule).maxRate(0.5), null, false);
    final Rule adam = AdamW.defaults().weightDecay(0.1);
    for (MoMo.Decay decay : MoMo.Decay.values())
      variants(all, "MoMo-Adam " + decay, () -> MoMo.tuning(adam).decay(decay).maxRate(0.1), null, false);
    for (MoMo.Variant variant : MoMo.Variant.values())
      variants(all, "MoMo* " + variant, () -> MoMo.tuning(SGD.defaults().momentum(0.8)).variant(variant).estimateBound(true), null, false);
    all.add(
        new Configuration("MoMo, corrected, at its bound",
            () -> MoMo.tuning(SGD.defaults().momentum(0.8)).biasCorrection(true).bound(1e3)));
    all.add(
        new Configuration(
            "MoMo with a bounded decay",
            () -> MoMo.tuning(AdamW.defaults().weightDecay(3)).decay(MoMo.Decay.MULTIPLY).maxRate(0.7)));
  }

  private static void metaOptimize(List<Configuration> all) {
    final List<Rule> metas =
        List.of(SGD.defaults(), RMSProp.defaults().alpha(0.9), Adam.defaults().betas(0.8, 0.95), Lion.defaults().betas(0.9, 0.97));
    final List<Rule> bases =
        List.of(SGD.defaults(), SGD.defaults().momentum(0.9), RMSProp.defaults(), AdamW.defaults().weightDecay(0.1), Lion.defaults());
    for (MetaOptimize.Variant variant : MetaOptimize.Variant.values())
      for (int i = 0; i < bases.size(); ++i) {
        final Rule base = bases.get(i);
        for (Rule meta : List.of(metas.get(i % 4), metas.get((i + 2) % 4)))
          variants(
              all, "MetaOptimize " + variant + " over " + base + " by " + meta,
              () -> MetaOptimize.tuning(base).variant(variant).meta(meta).metaStepSize(0.05).initialStepSize(0.01).stepSizeBounds(1e-4,
                  0.05),
              base, true);
      }
    for (Scope scope : Scope.values())
      all.add(
          new Configuration(
              "MetaOptimize by " + scope, () -> MetaOptimize.tuning(Lion.defaults()).meta(Adam.defaults()).metaStepSize(0.5)
                  .initialStepSize(0.01).scope(scope).stepSizeBounds(1e-3, 0.02).largestChange(1.2)));
    all.add(
        new Configuration(
            "MetaOptimize with a bounded decay",
            () -> MetaOptimize.tuning(AdamW.defaults().weightDecay(20)).metaStepSize(0.1).initialStepSize(0.1)));
  }

  /** With everything that changes a step, and without. MoMo has one model, and clips by a sweep more: then the rule is null. */
  private static void variants(List<Configuration> all, String name, Supplier<TunerBuilder<?>> builder, Rule rule, boolean clips) {
    all.add(new Configuration(name, builder));
    all.add(
        new Configuration(
            name + ", scheduled, groups",
            () -> {
              final TunerBuilder<?> one = builder.get();
              one.gradientMultiplier(-0.25).schedule(Schedule.linear(5, 22));
              if (clips) one.clipNorm(0.5);
              if (rule == null) return one;
              one.group("bias", rule, 0.5);
              if (rule.momentum() != 0) one.momentumSchedule(t -> 0.5 + 0.5 / t);
              if (rule.coupledDecay() + rule.decoupledDecay() != 0) one.decaySchedule(t -> 1.0 / t);
              return one;
            }));
    all.add(
        new Configuration(
            name + ", a group that stays, unchecked", () -> {
              final TunerBuilder<?> one = builder.get();
              one.nonFinite(NonFinite.UNCHECKED).schedule(t -> t == 2 || t == 9 ? 0 : 1);
              if (rule != null) one.group("bias", rule, 0);
              return one;
            }));
  }

  private static boolean isBad(int step) {
    return step == 0 || step == 6 || step == 7 || step == 13;
  }

  private static double loss(int step) {
    return step == 9 ? Double.NaN : 400 - step;
  }

  /** After no step, and after some. */
  @ParameterizedTest
  @MethodSource("configurations")
  void bitsAreThoseOfOrdinarySteps(Configuration configuration) {
    final boolean checked = !configuration.name().contains("unchecked");
    final int first = !checked && configuration.name().startsWith("D-Adaptation over SGD") ? 4 : 0; // |g_1| is to be known
    for (int before = first; before <= 4; before += 4) assertSameBits(configuration, Device.cpu(2), before, checked);
    TestDevices.all().stream().filter(candidate -> !candidate.cpu()).findFirst().ifPresent(
        candidate -> assertSameBits(configuration, candidate.open(), first, checked));
  }

  /** Those types that every form takes, or all. */
  private static TestTensors tensors(Configuration configuration) {
    if (!configuration.name().contains("ACCUMULATED") && !configuration.name().contains("RECOMPUTED"))
      return CapturableStepsTest.tensors(configuration);
    final DataType third = configuration.name().endsWith("16-bit state") ? FLOAT32 : FLOAT64;
    return new TestTensors().add("w", FLOAT32, 5000).group("bias").add("b", FLOAT32, 37).group("default").add("v", third, 4099)
        .parameters(i -> Math.sin(i) / 4);
  }

  private static void assertSameBits(Configuration configuration, Device device, int before, boolean checked) {
    try (TestTensors expected = tensors(configuration);
        TestTensors actual = tensors(configuration);
        TestArray loss = new TestArray(FLOAT64, 1, 0);
        Optimizer ordinary = configuration.build(expected.on(device));
        Optimizer other = configuration.build(actual.on(device))) {
      final CaptureOptions options = CaptureOptions.defaults().capacity(5).loss(loss.address(), FLOAT64);
      final Set<Double> rates = new HashSet<>();
      for (int step = 0; step < STEPS;) {
        final boolean alone = step == before;
        final int until = alone ? before + ALONE : step < before ? before : STEPS;
        try (CapturableSteps steps = alone ? other.capturable(options) : null) {
          for (; step < until; ++step) {
            final double value = checked ? loss(step) : 400 - step;
            loss.set(0, value);
            CapturableStepsTest.backward(expected, step, !checked || !isBad(step));
            CapturableStepsTest.backward(actual, step, !checked || !isBad(step));
            ordinary.step(value);
            if (alone) steps.step();
            else other.step(value);
            final StepReport report = alone ? steps.await() : other.report();
            final String what = configuration + " on " + device + ", step " + step;
            actual.assertSameParameters(expected, what);
            assertSameReport(ordinary.report(), report, what);
            rates.add(report.effectiveRate(0));
          }
        }
        final String what = configuration + " on " + device + " until step " + step;
        assertSameReport(ordinary.report(), other.report(), what);
        for (int scope = 0; scope < ordinary.report().scopes(); ++scope)
          assertEquals(ordinary.report().learnedScale(scope), other.report().learnedScale(scope), what);
        assertEquals(SavedState.of(ordinary).manifest(), SavedState.of(other).manifest(), what);
        SavedState.of(ordinary).assertUnchanged(SavedState.of(other), what);
      }
      assertTrue(rates.size() > 1 || configuration.name().contains("at its bound"), () -> configuration + " learns nothing: " + rates);
      actual.assertFencesStand(configuration.name());
    }
  }

  private static void assertSameReport(StepReport expected, StepReport actual, String what) {
    assertEquals(expected.step(), actual.step(), what);
    assertEquals(expected.skippedSteps(), actual.skippedSteps(), what);
    assertEquals(expected.skip(), actual.skip(), what);
    assertEquals(expected.hold(), actual.hold(), what);
    assertEquals(expected.gradientNorm(), actual.gradientNorm(), what);
    assertEquals(expected.clipFactor(), actual.clipFactor(), what);
    assertEquals(expected.rate(), actual.rate(), what);
    assertEquals(expected.decayBounded(), actual.decayBounded(), what);
    for (int scope = 0; scope < expected.scopes(); ++scope)
      assertEquals(expected.effectiveRate(scope), actual.effectiveRate(scope), what);
  }

  /** Where d is learned from the sums of a step, the report of a device has the one that the step was made with. */
  @Test
  void learnedScalesAreThoseOfTheStep() {
    try (TestTensors tensors = CapturableStepsTest.tensors();
        Optimizer optimizer = DAdaptation.tuning(AdamW.defaults()).initialRate(1e-3).build(tensors.on(Device.cpu(1)))) {
      double learned = 1e-3;
      try (CapturableSteps steps = optimizer.capturable()) {
        for (int step = 1; step < 6; ++step) {
          CapturableStepsTest.backward(tensors, step, true);
          steps.step();
          final StepReport report = steps.await();
          assertEquals(report.learnedScale(0) * report.rate(), report.effectiveRate(0));
          assertTrue(report.learnedScale(0) >= learned);
          learned = report.learnedScale(0);
        }
      }
      assertNotEquals(learned, optimizer.report().learnedScale(0), "d with the sums of the last step");
    }
  }

  @Test
  void moMoNeedsTheLossOnTheDevice() {
    try (TestTensors tensors = CapturableStepsTest.tensors();
        Optimizer optimizer = MoMo.tuning(AdamW.defaults()).build(tensors.on(Device.cpu(1)))) {
      assertRefused(IllegalStateException.class, optimizer::capturable, "MoMo needs the loss");
    }
    try (TestTensors tensors = CapturableStepsTest.tensors();
        TestArray loss = new TestArray(FLOAT64, 1, 0);
        Optimizer optimizer = MoMo.tuning(AdamW.defaults()).build(tensors.on(Device.cpu(1)));
        CapturableSteps steps = optimizer.capturable(CaptureOptions.defaults().loss(loss.address(), FLOAT64))) {
      CapturableStepsTest.backward(tensors, 1, true);
      loss.set(0, Double.POSITIVE_INFINITY);
      steps.step();
      assertEquals(Skip.NON_FINITE_LOSS, steps.await().skip());
    }
  }

  @Test
  void whatCannotIsRefused() {
    final Rule rule = AdamW.defaults();
    refused(Prodigy.tuning(rule).biasCorrection(true), "biasCorrection");
    refused(Prodigy.tuning(rule).clipNorm(1), "clipping");
    refused(DAdaptation.tuning(rule).biasCorrection(true), "biasCorrection");
    refused(DAdaptation.tuning(SGD.defaults()).nonFinite(NonFinite.UNCHECKED), "first gradient");
    refused(MetaOptimize.tuning(rule).perWeight(), "per weight");
    refused(MetaOptimize.tuning(SGD.defaults()).curvature(MetaCurvature.DIAGONAL), "curvature");
    try (TestTensors tensors = CapturableStepsTest.tensors();
        TestArray loss = new TestArray(FLOAT64, 1, 0);
        Optimizer optimizer = MoMo.tuning(rule).clipNorm(1).build(tensors.on(Device.cpu(1)))) {
      final CaptureOptions options = CaptureOptions.defaults().loss(loss.address(), FLOAT64);
      assertRefused(UnsupportedOperationException.class, () -> optimizer.capturable(options), "clipping");
    }
  }

  private static void refused(TunerBuilder<?> builder, String why) {
    try (TestTensors tensors = CapturableStepsTest.tensors(); Optimizer optimizer = builder.build(tensors.on(Device.cpu(1)))) {
      assertRefused(UnsupportedOperationException.class, optimizer::capturable, why);
      optimizer.setGradientMultiplier(2); // it is not held
    }
  }
}
