// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.Refusal.assertRefused;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.function.DoubleFunction;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Hyperparameters are checked where they are given; the message names the argument, its value and what is allowed. */
class RuleValidationTest {
  private static final double[] NOT_A_DISCOUNT = {-0.1, 1, 1.5, Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY};
  private static final double[] NOT_A_WEIGHT = {-1e-300, -1, Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY};

  // Adan where its decay is proximal.
  private static final Set<Class<?>> NO_MULTIPLES =
      Set.of(MADGRAD.class, MirrorMADGRAD.class, ModernizedDualAveraging.class, PrimalAveraging.class, Adan.class);

  static Stream<Arguments> discounts() {
    return Stream.concat(
        arguments(
            Map.of(
                "Adan beta1", value -> Adan.defaults().betas(value, 0.9, 0.9),
                "Adan beta2", value -> Adan.defaults().betas(0.9, value, 0.9),
                "Adan beta3", value -> Adan.defaults().betas(0.9, 0.9, value),
                "ModernizedDualAveraging momentum", ModernizedDualAveraging.defaults()::momentum)),
        arguments(
            Map.of(
                "SGD momentum", SGD.defaults()::momentum,
                "RMSProp alpha", RMSProp.defaults()::alpha,
                "RMSProp momentum", RMSProp.defaults()::momentum,
                "Adam beta1", value -> Adam.defaults().betas(value, 0.9),
                "Adam beta2", value -> Adam.defaults().betas(0.9, value),
                "AdamW beta1", value -> AdamW.defaults().betas(value, 0.9),
                "AdamW beta2", value -> AdamW.defaults().betas(0.9, value),
                "AdEMAMix beta3", value -> AdEMAMix.defaults().betas(0.9, 0.9, value),
                "Lion beta1", value -> Lion.defaults().betas(value, 0.9),
                "Lion beta2", value -> Lion.defaults().betas(0.9, value))));
  }

  static Stream<Arguments> weights() {
    return Stream.concat(
        arguments(
            Map.of(
                "SGD weightDecay", SGD.defaults()::weightDecay,
                "RMSProp epsilon", RMSProp.defaults()::epsilon,
                "RMSProp weightDecay", RMSProp.defaults()::weightDecay,
                "Adam epsilon", Adam.defaults()::epsilon,
                "Adam weightDecay", Adam.defaults()::weightDecay,
                "AdamW epsilon", AdamW.defaults()::epsilon,
                "AdamW weightDecay", AdamW.defaults()::weightDecay,
                "Lion weightDecay", Lion.defaults()::weightDecay)),
        arguments(
            Map.of(
                "Adan epsilon", Adan.defaults()::epsilon,
                "Adan weightDecay", Adan.defaults()::weightDecay,
                "ModernizedDualAveraging weightDecay", ModernizedDualAveraging.defaults()::weightDecay,
                "PrimalAveraging weightDecay", PrimalAveraging.defaults()::weightDecay,
                "AdaGrad rateDecay", AdaGrad.defaults()::rateDecay,
                "AdaGrad epsilon", AdaGrad.defaults()::epsilon,
                "AdaGrad weightDecay", AdaGrad.defaults()::weightDecay,
                "AdaGrad initialAccumulator", AdaGrad.defaults()::initialAccumulator)));
  }

  @Test
  void adEMAMixChecksItsWarmup() {
    assertRefused(IllegalArgumentException.class, () -> AdEMAMix.defaults().warmup(-1), "warmup", "-1");
    assertRefused(IllegalArgumentException.class, () -> AdEMAMix.defaults().betas(0, 0.9, 0.9).warmup(5), "warmup", "beta1");
    for (double bad : NOT_A_WEIGHT)
      assertRefused(IllegalArgumentException.class, () -> AdEMAMix.defaults().alpha(bad), "alpha", "" + bad);
    assertEquals(
        new AdEMAMix(0.1, 0.2, 0.3, 0.4, 5, 0.6, 0.7),
        AdEMAMix.defaults().betas(0.1, 0.2, 0.3).alpha(0.4).warmup(5).epsilon(0.6).weightDecay(0.7));
  }

  @Test
  void primalAveragingChecksItsWeight() {
    for (double bad : new double[] {0, -0.1, 1.1, Double.NaN})
      assertRefused(IllegalArgumentException.class, () -> PrimalAveraging.defaults().averaging(bad), "averaging", "(0, 1]", "" + bad);
    assertEquals(new PrimalAveraging(1, 0.2), PrimalAveraging.defaults().averaging(1).weightDecay(0.2));
  }

  @Test
  void scheduleFreeRulesCheckWhatTheyAreGiven() {
    for (double bad : new double[] {0, 1, -0.1, 1.5, Double.NaN}) {
      assertRefused(IllegalArgumentException.class, () -> ScheduleFreeSGD.defaults().beta1(bad), "beta1", "(0, 1)", "" + bad);
      assertRefused(IllegalArgumentException.class, () -> ScheduleFreeAdamW.defaults().betas(bad, 0.9), "beta1", "(0, 1)", "" + bad);
    }
    for (double bad : NOT_A_DISCOUNT)
      assertRefused(IllegalArgumentException.class, () -> ScheduleFreeAdamW.defaults().betas(0.9, bad), "beta2", "[0, 1)", "" + bad);
    for (double bad : NOT_A_WEIGHT) {
      assertRefused(IllegalArgumentException.class, () -> ScheduleFreeSGD.defaults().stepPower(bad), "stepPower", "" + bad);
      assertRefused(IllegalArgumentException.class, () -> ScheduleFreeSGD.defaults().ratePower(bad), "ratePower", "" + bad);
      assertRefused(IllegalArgumentException.class, () -> ScheduleFreeSGD.defaults().weightDecay(bad), "weightDecay", "" + bad);
      assertRefused(IllegalArgumentException.class, () -> ScheduleFreeAdamW.defaults().stepPower(bad), "stepPower", "" + bad);
      assertRefused(IllegalArgumentException.class, () -> ScheduleFreeAdamW.defaults().ratePower(bad), "ratePower", "" + bad);
      assertRefused(IllegalArgumentException.class, () -> ScheduleFreeAdamW.defaults().weightDecay(bad), "weightDecay", "" + bad);
      assertRefused(IllegalArgumentException.class, () -> ScheduleFreeAdamW.defaults().epsilon(bad), "epsilon", "" + bad);
    }
    assertEquals(
        new ScheduleFreeSGD(0.1, 0.2, 0.3, 0.4), ScheduleFreeSGD.defaults().beta1(0.1).stepPower(0.2).ratePower(0.3).weightDecay(0.4));
    assertEquals(
        new ScheduleFreeAdamW(0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
        ScheduleFreeAdamW.defaults().betas(0.1, 0.2).epsilon(0.3).stepPower(0.4).ratePower(0.5).weightDecay(0.6));
    assertEquals(new ScheduleFreeSGD(0.9, 0, 2, 0), ScheduleFreeSGD.defaults());
    assertEquals(new ScheduleFreeAdamW(0.9, 0.999, 1e-8, 0, 2, 0), ScheduleFreeAdamW.defaults());
  }

  /** What others ask of a rule, it answers: its decay of either kind, itself without it, whether and how it preconditions. */
  @Test
  void rulesSayWhatTheyAre() {
    final Map<Rule, double[]> decays = new LinkedHashMap<>();
    decays.put(SGD.defaults().weightDecay(0.1), new double[] {0.1, 0});
    decays.put(RMSProp.defaults().weightDecay(0.1), new double[] {0.1, 0});
    decays.put(AdaGrad.defaults().weightDecay(0.1), new double[] {0.1, 0});
    decays.put(Adam.defaults().weightDecay(0.1), new double[] {0.1, 0});
    decays.put(MADGRAD.defaults().weightDecay(0.1), new double[] {0.1, 0});
    decays.put(MirrorMADGRAD.defaults().weightDecay(0.1), new double[] {0.1, 0});
    decays.put(ModernizedDualAveraging.defaults().weightDecay(0.1), new double[] {0.1, 0});
    decays.put(PrimalAveraging.defaults().weightDecay(0.1), new double[] {0.1, 0});
    decays.put(Adan.defaults().weightDecay(0.1), new double[] {0, 0.1});
    decays.put(AdamW.defaults().weightDecay(0.1), new double[] {0, 0.1});
    decays.put(AdEMAMix.defaults().weightDecay(0.1), new double[] {0, 0.1});
    decays.put(Lion.defaults().weightDecay(0.1), new double[] {0, 0.1});
    decays.put(ScheduleFreeSGD.defaults().weightDecay(0.1), new double[] {0.1, 0});
    decays.put(ScheduleFreeAdamW.defaults().weightDecay(0.1), new double[] {0, 0.1});
    decays.put(new SuppliedUpdate(), new double[] {0, 0});
    decays.forEach(
        (rule, decay) -> {
          assertEquals(decay[0], rule.coupledDecay(), rule.toString());
          assertEquals(decay[1], rule.decoupledDecay(), rule.toString());
          assertEquals(0, rule.withoutDecay().coupledDecay() + rule.withoutDecay().decoupledDecay(), rule.toString());
          assertEquals(rule.kernel(), rule.withoutDecay().kernel());
          final boolean averages = rule instanceof ScheduleFreeSGD || rule instanceof ScheduleFreeAdamW;
          assertEquals(averages, rule.averageSlot() != null, rule.toString());
          assertEquals(averages ? 1 - 1 / 0.9 : 0, rule.averageFactor(), 1e-15, rule.toString());
          assertEquals(averages ? 0.25 : 0, rule.iterateWeight(3, 0.5), rule.toString());
          final boolean proportional = !averages && !NO_MULTIPLES.contains(rule.getClass());
          assertEquals(proportional, rule.stepIsMultipleOfRate(), rule.toString());
          final boolean divides =
              rule instanceof RMSProp || rule instanceof Adam || rule instanceof AdamW || rule instanceof ScheduleFreeAdamW;
          assertEquals(divides, rule.preconditions(), rule.toString());
          if (!divides)
            assertRefused(IllegalStateException.class, () -> rule.preconditioner(RuleStep.of(1, 1), (name, value) -> null),
                "root of squares");
        });
  }

  private static Stream<Arguments> arguments(Map<String, DoubleFunction<Rule>> setters) {
    return setters.entrySet().stream().map(e -> Arguments.of(e.getKey(), e.getValue()));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("discounts")
  void discountsAreInZeroToOne(String name, DoubleFunction<Rule> setter) {
    for (double value : NOT_A_DISCOUNT)
      assertRefused(
          IllegalArgumentException.class, () -> setter.apply(value), name.substring(name.indexOf(' ') + 1), "[0, 1)", "" + value);
    setter.apply(0);
    setter.apply(0.999999);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("weights")
  void weightsAreFiniteAndNotNegative(String name, DoubleFunction<Rule> setter) {
    for (double value : NOT_A_WEIGHT)
      assertRefused(
          IllegalArgumentException.class, () -> setter.apply(value), name.substring(name.indexOf(' ') + 1), "finite and not negative",
          "" + value);
    setter.apply(0);
    setter.apply(1e300);
  }

  @Test
  void nesterovNeedsMomentum() {
    assertRefused(IllegalArgumentException.class, () -> SGD.defaults().nesterov(true), "nesterov", "momentum");
    assertRefused(IllegalArgumentException.class, () -> new SGD(0, true, 0), "nesterov", "momentum");
  }

  @Test
  void aMethodChangesItsOwnComponentOnly() {
    assertEquals(new SGD(0.5, true, 0.1), SGD.defaults().momentum(0.5).nesterov(true).weightDecay(0.1));
    assertEquals(
        new RMSProp(0.5, 0.1, 0.2, 0.3, true),
        RMSProp.defaults().alpha(0.5).epsilon(0.1).weightDecay(0.2).momentum(0.3).epsilonInsideRoot(true));
    assertEquals(
        new AdaGrad(0.1, 0.2, 0.3, 0.4), AdaGrad.defaults().rateDecay(0.1).epsilon(0.2).weightDecay(0.3).initialAccumulator(0.4));
    assertEquals(new Adam(0.1, 0.2, 0.3, 0.4), Adam.defaults().betas(0.1, 0.2).epsilon(0.3).weightDecay(0.4));
    assertEquals(new AdamW(0.1, 0.2, 0.3, 0.4), AdamW.defaults().betas(0.1, 0.2).epsilon(0.3).weightDecay(0.4));
    assertEquals(
        new Adan(0.1, 0.2, 0.3, 0.4, 0.5, true),
        Adan.defaults().betas(0.1, 0.2, 0.3).epsilon(0.4).weightDecay(0.5).noProx(true));
    assertEquals(new ModernizedDualAveraging(0.1, 0.2), ModernizedDualAveraging.defaults().momentum(0.1).weightDecay(0.2));
    assertEquals(new Lion(0.1, 0.2, 0.3), Lion.defaults().betas(0.1, 0.2).weightDecay(0.3));
  }

  @Test
  void defaultsAreThoseOfTheReferences() {
    assertEquals(new SGD(0, false, 0), SGD.defaults());
    assertEquals(new RMSProp(0.99, 1e-8, 0, 0, false), RMSProp.defaults());
    assertEquals(new AdaGrad(0, 1e-10, 0, 0), AdaGrad.defaults());
    assertEquals(new Adam(0.9, 0.999, 1e-8, 0), Adam.defaults());
    assertEquals(new AdamW(0.9, 0.999, 1e-8, 0.01), AdamW.defaults());
    assertEquals(new Lion(0.9, 0.99, 0), Lion.defaults());
    assertEquals(new Adan(0.98, 0.92, 0.99, 1e-8, 0, false), Adan.defaults());
    assertTrue(Adan.defaults().stepIsMultipleOfRate() && Adan.defaults().weightDecay(1).noProx(true).stepIsMultipleOfRate());
  }
}
