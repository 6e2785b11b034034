// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static java.lang.Math.cbrt;
import static java.lang.Math.pow;
import static java.lang.Math.signum;
import static java.lang.Math.sqrt;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.steptuner.Refusal.assertRefused;

import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.Schedule;
import org.steptuner.internal.engine.Instrumented;
import org.steptuner.rule.AdEMAMix;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Adan;
import org.steptuner.rule.Coefficients;
import org.steptuner.rule.Lion;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.MirrorMADGRAD;
import org.steptuner.rule.ModernizedDualAveraging;
import org.steptuner.rule.PrimalAveraging;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.ScheduleFreeAdamW;
import org.steptuner.rule.ScheduleFreeSGD;
import org.steptuner.rule.SGD;
import org.steptuner.rule.SuppliedUpdate;

/** Schedules of momentum and weight decay, over rules and tuners. */
class RuleSchedulesTest extends TunerContract {
  private static final double RATE = 0.05;
  private static final int STEPS = 8;
  private static final Device CPU = Device.cpu(1);

  // Any values that change from step to step; a 0 as well.
  private static double momentum(long t) {
    return t == 5 ? 0 : 1.1 - 0.1 * t;
  }

  private static double decay(long t) {
    return t == 3 ? 0 : 0.25 * t;
  }

  @Override
  Map<String, Supplier<TunerBuilder<?>>> forms() {
    final Map<String, Supplier<TunerBuilder<?>>> forms = new LinkedHashMap<>();
    forms.put("SPA", () -> FixedRate.of(0.5, PrimalAveraging.defaults().weightDecay(0.01)));
    forms.put("MDA", () -> FixedRate.of(0.1, ModernizedDualAveraging.defaults().weightDecay(0.01)));
    forms.put("Adan", () -> FixedRate.of(0.01, Adan.defaults().weightDecay(0.01)));
    forms.put("Mechanic over SPA", () -> Mechanic.tuning(PrimalAveraging.defaults().weightDecay(0.01)).initialScale(0.1));
    forms.put("Prodigy", () -> Prodigy.tuning(AdamW.defaults()));
    final Map<String, Supplier<TunerBuilder<?>>> scheduled = new LinkedHashMap<>();
    forms.forEach(
        (name, builder) -> scheduled.put(
            name,
            () -> builder.get().momentumSchedule(Schedule.inverseSquareRoot(2, 3)).decaySchedule(Schedule.linear(3, 20))));
    scheduled.put(
        "moving target",
        () -> MovingTarget.tuning(SGD.defaults().momentum(0.9)).baseRate(0.01).momentumSchedule(Schedule.inverseSquareRoot(2, 3)));
    return scheduled;
  }

  /** A rule for one element, with the momentum m and the decay w of the step. */
  private interface Formula {
    double next(double x, double g, int t, double m, double w);
  }

  private static Map<Rule, Supplier<Formula>> formulas() {
    final Map<Rule, Supplier<Formula>> all = new LinkedHashMap<>();
    all.put(new SGD(0, false, 0.2), () -> (x, g, t, m, w) -> x - RATE * (g + w * 0.2 * x));
    all.put(new SGD(0.8, false, 0.2), () -> sgd(false));
    all.put(new SGD(0.8, true, 0.2), () -> sgd(true));
    all.put(new RMSProp(0.9, 1e-3, 0.2, 0.8, false), RuleSchedulesTest::rmsProp);
    all.put(new AdaGrad(0, 1e-3, 0.2, 0.1), RuleSchedulesTest::adaGrad);
    all.put(new Adam(0.8, 0.95, 1e-3, 0.2), () -> adam(0.2, 0));
    all.put(new AdamW(0.8, 0.95, 1e-3, 0.2), () -> adam(0, 0.2));
    all.put(new AdEMAMix(0.8, 0.95, 0.99, 2, 5, 1e-3, 0.2), RuleSchedulesTest::adEMAMix);
    all.put(new Lion(0.8, 0.95, 0.2), RuleSchedulesTest::lion);
    all.put(new Adan(0.8, 0.7, 0.95, 1e-3, 0.2, false), () -> adan(true));
    all.put(new Adan(0.8, 0.7, 0.95, 1e-3, 0.2, true), () -> adan(false));
    all.put(new ModernizedDualAveraging(0.8, 0.2), RuleSchedulesTest::dualAveraging);
    all.put(new PrimalAveraging(0.8, 0.2), RuleSchedulesTest::primalAveraging);
    all.put(new ScheduleFreeSGD(0.8, 0, 2, 0.2), RuleSchedulesTest::scheduleFree);
    all.put(new MADGRAD(0.8, 1e-3, 0.2), () -> madgrad(false));
    all.put(new MirrorMADGRAD(0.8, 1e-3, 0.2), () -> madgrad(true));
    return all;
  }

  private static Formula scheduleFree() {
    final double[] z = new double[1];
    final double[] average = new double[1];
    return (y, g, t, m, w) -> {
      if (t == 1) z[0] = average[0] = y;
      z[0] -= RATE * (g + w * 0.2 * y);
      average[0] += (z[0] - average[0]) / t;
      return 0.8 * average[0] + 0.2 * z[0];
    };
  }

  private static Formula sgd(boolean nesterov) {
    final double[] b = new double[1];
    return (x, g, t, m, w) -> {
      final double d = g + w * 0.2 * x;
      b[0] = m * 0.8 * b[0] + d;
      return x - RATE * (nesterov ? d + m * 0.8 * b[0] : b[0]);
    };
  }

  private static Formula rmsProp() {
    final double[] s = new double[2];
    return (x, g, t, m, w) -> {
      final double d = g + w * 0.2 * x;
      s[0] = 0.9 * s[0] + 0.1 * d * d;
      s[1] = m * 0.8 * s[1] + d / (sqrt(s[0]) + 1e-3);
      return x - RATE * s[1];
    };
  }

  private static Formula adaGrad() {
    final double[] v = {0.1};
    return (x, g, t, m, w) -> {
      final double d = g + w * 0.2 * x;
      v[0] += d * d;
      return x - RATE * d / (sqrt(v[0]) + 1e-3);
    };
  }

  private static Formula adam(double coupled, double decoupled) {
    final double[] s = new double[2];
    return (x, g, t, m, w) -> {
      final double d = g + w * coupled * x;
      s[0] = m * 0.8 * s[0] + (1 - m * 0.8) * d;
      s[1] = 0.95 * s[1] + 0.05 * d * d;
      final double average = s[0] / (1 - pow(m * 0.8, t)); // with the present beta1, as PyTorch
      return x - RATE * w * decoupled * x - RATE * average / (sqrt(s[1] / (1 - pow(0.95, t))) + 1e-3);
    };
  }

  private static Formula adEMAMix() {
    final double[] s = new double[3];
    return (x, g, t, m, w) -> {
      final double part = Math.min(1, t / 5.0);
      // The half-life, as 1 / ln b, rises from that of the unscheduled beta1.
      final double b3 = Math.exp(1 / ((1 - part) / Math.log(0.8) + part / Math.log(0.99)));
      s[0] = m * 0.8 * s[0] + (1 - m * 0.8) * g;
      s[1] = b3 * s[1] + (1 - b3) * g;
      s[2] = 0.95 * s[2] + 0.05 * g * g;
      final double blend = s[0] / (1 - pow(m * 0.8, t)) + 2 * part * s[1];
      return x - RATE * (blend / (sqrt(s[2] / (1 - pow(0.95, t))) + 1e-3) + w * 0.2 * x);
    };
  }

  private static Formula adan(boolean proximal) {
    final double[] s = new double[4];
    return (x, g, t, m, w) -> {
      final double d = t == 1 ? 0 : g - s[3];
      s[0] = m * 0.8 * s[0] + (1 - m * 0.8) * g;
      s[1] = 0.7 * s[1] + 0.3 * d;
      s[2] = 0.95 * s[2] + 0.05 * pow(g + 0.7 * d, 2);
      s[3] = g;
      final double ahead = s[0] / (1 - pow(m * 0.8, t)) + 0.7 * s[1] / (1 - pow(0.7, t));
      final double u = -RATE * ahead / (sqrt(s[2] / (1 - pow(0.95, t))) + 1e-3);
      return proximal ? (x + u) / (1 + RATE * w * 0.2) : x + u - RATE * w * 0.2 * x;
    };
  }

  private static Formula dualAveraging() {
    final double[] s = {0, Double.NaN}; // s, x0
    return (x, g, t, m, w) -> {
      if (t == 1) s[1] = x;
      s[0] += RATE * sqrt(t) * (g + w * 0.2 * x);
      return m * 0.8 * x + (1 - m * 0.8) * (s[1] - s[0] / sqrt(t));
    };
  }

  private static Formula primalAveraging() {
    final double[] z = {Double.NaN};
    return (x, g, t, m, w) -> {
      if (t == 1) z[0] = x;
      z[0] -= RATE * (g + w * 0.2 * x);
      return (1 - m * 0.8) * x + m * 0.8 * z[0];
    };
  }

  private static Formula lion() {
    final double[] average = new double[1];
    return (x, g, t, m, w) -> {
      final double sign = signum(m * 0.8 * average[0] + (1 - m * 0.8) * g);
      average[0] = 0.95 * average[0] + 0.05 * g;
      return x - RATE * w * 0.2 * x - RATE * sign;
    };
  }

  private static Formula madgrad(boolean mirror) {
    final double[] s = new double[2];
    final double[] z = {Double.NaN, Double.NaN}; // z, x0
    return (x, g, t, m, w) -> {
      if (t == 1) z[0] = z[1] = x;
      final double d = g + w * 0.2 * x;
      final double weight = (RATE + 1e-3) * (mirror ? cbrt(t) : sqrt(t));
      s[0] = mirror ? sqrt((t - 1.0) / t) * s[0] + d * d : s[0] + weight * d * d;
      s[1] += weight * d;
      z[0] = mirror ? z[0] - weight * d / (cbrt(s[0]) + 1e-3) : z[1] - s[1] / (cbrt(s[0]) + 1e-3);
      return m * 0.8 * x + (1 - m * 0.8) * z[0];
    };
  }

  static Stream<Rule> rules() {
    return formulas().keySet().stream();
  }

  @ParameterizedTest
  @MethodSource("rules")
  void rulesFollowTheirFormulas(Rule rule) {
    try (Training training = new Training(DataType.FLOAT64, 0.5, 100);
        Optimizer optimizer = scheduled(FixedRate.of(RATE, rule), rule).build(training.on(CPU))) {
      final Formula[] formulas = Stream.generate(formulas().get(rule)).limit(100).toArray(Formula[]::new);
      final double[] x = training.values();
      for (int t = 1; t <= STEPS; ++t) {
        optimizer.step(training.backward(t));
        for (int i = 0; i < x.length; ++i) x[i] = formulas[i].next(x[i], training.gradient(i), t, momentum(t), decay(t));
        assertArrayEquals(x, training.values(), 1e-12, rule + ", step " + t);
      }
    }
  }

  private static TunerBuilder<?> scheduled(TunerBuilder<?> builder, Rule rule) {
    builder.decaySchedule(RuleSchedulesTest::decay);
    return rule.momentum() == 0 ? builder : builder.momentumSchedule(RuleSchedulesTest::momentum);
  }

  /** Something built over a rule with a momentum and a decay. */
  private interface Over {
    TunerBuilder<?> momentum(double momentum, double decay);
  }

  private static Map<String, Over> tuners() {
    final Map<String, Over> all = new LinkedHashMap<>();
    all.put("Mechanic", (m, w) -> Mechanic.tuning(new SGD(m, true, w)));
    all.put("Mechanic TORCH", (m, w) -> Mechanic.tuning(new AdamW(m, 0.9, 1e-3, w)).variant(Mechanic.Variant.TORCH));
    all.put("Mechanic recomputed",
        (m, w) -> Mechanic.tuning(new Lion(m, 0.9, w)).variant(Mechanic.Variant.TORCH).delta(Mechanic.Delta.RECOMPUTED));
    all.put("Prodigy, coupled", (m, w) -> Prodigy.tuning(new Adam(m, 0.99, 1e-3, w)).biasCorrection(true));
    all.put("Prodigy", (m, w) -> Prodigy.tuning(new AdamW(m, 0.99, 1e-3, w)));
    all.put("D-Adaptation SGD", (m, w) -> DAdaptation.tuning(new SGD(m, false, w)).maxRate(0.1));
    all.put("D-Adaptation Adam", (m, w) -> DAdaptation.tuning(new Adam(m, 0.99, 1e-3, w)).biasCorrection(true).maxRate(0.1));
    all.put("D-Adaptation AdamW", (m, w) -> DAdaptation.tuning(new AdamW(m, 0.99, 1e-3, w)).maxRate(0.1));
    all.put("D-Adaptation AdaGrad",
        (m, w) -> DAdaptation.tuning(new AdaGrad(0, 1e-6, w, 0)).momentum(m).maxRate(0.1));
    all.put("D-Adaptation Lion", (m, w) -> DAdaptation.tuning(new Lion(m, 0.5, w)).initialRate(0.5).maxRate(0.5));
    all.put("D-Adaptation Adan", (m, w) -> DAdaptation.tuning(new Adan(m, 0.9, 0.95, 1e-3, w, false)).maxRate(0.1));
    all.put("MoMo", (m, w) -> MoMo.tuning(new SGD(m, false, w)).maxRate(0.1));
    all.put("MoMo over RMSProp", (m, w) -> MoMo.tuning(new RMSProp(0.9, 1e-3, w, m, false)).maxRate(0.1));
    all.put("MoMo over AdaGrad", (m, w) -> MoMo.tuning(new AdaGrad(0, 1e-3, w, 0)).beta(m).maxRate(0.1));
    all.put("MetaOptimize", (m, w) -> MetaOptimize.tuning(new AdamW(m, 0.99, 1e-8, w)).initialStepSize(1e-3));
    all.put("MetaOptimize, momentum", (m, w) -> MetaOptimize.tuning(new SGD(m, false, w)).initialStepSize(1e-3));
    all.put("MetaOptimize per weight", (m, w) -> MetaOptimize.tuning(new Lion(m, 0.99, w)).perWeight().initialStepSize(1e-3));
    all.put("MetaOptimize package",
        (m, w) -> MetaOptimize.tuning(new AdamW(m, 0.99, 1e-8, w)).variant(MetaOptimize.Variant.PACKAGE).meta(Lion.defaults()));
    all.put("Hypergradient", (m, w) -> Hypergradient.tuning(new SGD(m, true, w), 0.01, 1e-4));
    all.put("Hypergradient released",
        (m, w) -> Hypergradient.tuning(new Adam(m, 0.99, 1e-3, w), 0.01, 1e-6).variant(Hypergradient.Variant.ADDITIVE_RELEASED));
    all.put("GradaGrad", (m, w) -> GradaGrad.tuning(new SGD(m, false, w), 0.1));
    all.put("GradaGrad, diagonal", (m, w) -> GradaGrad.tuning(new SGD(m, false, w), 0.1).form(GradaGrad.Form.DIAGONAL));
    all.put("AdaGrad-Norm", (m, w) -> GradaGrad.adaGradNorm(new SGD(m, false, w), 1));
    all.put("NewtonRate", (m, w) -> NewtonRate.tuning(new AdamW(m, 0.99, 1e-3, w), 0.01).interval(2));
    all.put("CDAT", (m, w) -> CDAT.tuning(new AdamW(m, 0.99, 1e-3, w)).curvature(u -> 1));
    all.put("Polyak", (m, w) -> Polyak.tuning(new Adam(m, 0.99, 1e-3, w)).alongUpdate());
    all.put("Armijo", (m, w) -> Armijo.tuning(new SGD(m, false, w), () -> -1e9));
    all.put("ExactSharpness", (m, w) -> ExactSharpness.tuning(new SGD(m, false, w), (vector, product) -> {}).maxRate(0.1));
    return all;
  }

  static Stream<String> tunerNames() {
    return tuners().keySet().stream();
  }

  /** Half of a momentum and a quarter of a decay by schedules are the rule that has them: the same bits. */
  @ParameterizedTest
  @MethodSource("tunerNames")
  void aTunerSeesTheScheduledValues(String name) {
    final Over over = tuners().get(name);
    final double[] expected = train(over.momentum(0.4, 0.02));
    assertArrayEquals(expected, train(over.momentum(0.8, 0.08).momentumSchedule(t -> 0.5).decaySchedule(t -> 0.25)), 0, name);
    // The case would also pass with a value that does not matter.
    assertFalse(Arrays.equals(expected, train(over.momentum(0.8, 0.02))), "momentum matters");
    assertFalse(Arrays.equals(expected, train(over.momentum(0.4, 0.08))), "decay matters");
  }

  /** A tuner without a row could ignore a schedule silently. */
  @Test
  void everyTunerHasARow() {
    final Set<Class<?>> seen = new HashSet<>();
    tuners().values().forEach(over -> seen.add(over.momentum(0.4, 0.02).getClass()));
    seen.add(FixedRate.class); // rulesFollowTheirFormulas
    seen.add(MovingTarget.class); // movingTargetAveragesWithThePresentMomentum
    seen.add(DoG.class); // dogSeesTheScheduledDecay
    seen.add(DistanceAdaptation.class); // has neither: whatIsNotThereCannotBeScheduled
    assertEquals(Set.of(TunerBuilder.class.getPermittedSubclasses()), seen);
  }

  /** DoG has a decay and no momentum. */
  @Test
  void dogSeesTheScheduledDecay() {
    final double[] expected = train(DoG.tuning(SGD.defaults().weightDecay(0.02)));
    assertArrayEquals(expected, train(DoG.tuning(SGD.defaults().weightDecay(0.08)).decaySchedule(t -> 0.25)), 0);
    assertFalse(Arrays.equals(expected, train(DoG.tuning(SGD.defaults().weightDecay(0.08)))), "decay matters");
  }

  private static double[] train(TunerBuilder<?> builder) {
    // So noisy that signs of gradients change, which is all that Lion sees.
    try (Training training = new Training(DataType.FLOAT64, 4, 40, 3);
        Optimizer optimizer = builder.build(training.on(CPU))) {
      for (int t = 1; t <= STEPS; ++t) optimizer.step(training.backward(t));
      return training.values();
    }
  }

  /** z and x as the paper writes them, with a momentum that changes: b must keep what belongs to the step before. */
  @Test
  void movingTargetAveragesWithThePresentMomentum() {
    try (Training training = new Training(DataType.FLOAT64, 0.5, 40);
        Optimizer optimizer =
            MovingTarget.tuning(SGD.defaults().momentum(0.8)).baseRate(0.1).target(1).targetRate(0)
                .momentumSchedule(RuleSchedulesTest::momentum).build(training.on(CPU))) {
      final double[] x = training.values();
      final double[] z = training.values();
      double target = 0;
      for (int t = 1; t <= STEPS; ++t) {
        final double loss = training.backward(t);
        optimizer.step(loss);
        double square = 0;
        for (int i = 0; i < x.length; ++i) square += training.gradient(i) * training.gradient(i);
        final double m = 0.8 * momentum(t);
        final double c = 0.1 / (1 - m) * (loss - target) / (square + 1);
        final double mean = target + c; // of the one part
        for (int i = 0; i < x.length; ++i) {
          z[i] -= c * training.gradient(i);
          x[i] = m * x[i] + (1 - m) * z[i];
        }
        target = mean + 0.1 / (1 - m) * (1 - mean);
        assertArrayEquals(x, training.values(), 1e-12, "step " + t);
      }
    }
  }

  /**
   * Primal averaging makes the same x as SGD with momentum where c_t = alpha_t / rate_t and rate_(t+1) = (rate_t - alpha_t) / beta_(t+1),
   * for rates and momenta that change at every step.
   */
  @Test
  void primalAveragingIsMomentum() {
    final int steps = 40;
    final double[] alpha = new double[steps];
    final double[] beta = new double[steps];
    final double[] rate = new double[steps];
    final double[] c = new double[steps];
    rate[0] = 1;
    for (int t = 0; t < steps; ++t) {
      alpha[t] = 0.1 * (1 + 0.5 * Math.sin(t));
      beta[t] = 0.9 + 0.05 * Math.cos(2.3 * t);
      if (t > 0) rate[t] = (rate[t - 1] - alpha[t - 1]) / beta[t];
      c[t] = alpha[t] / rate[t];
    }
    // Both multiply what the rule has: a momentum of 0.5, a weight of 1.
    final double[] factors = Arrays.stream(beta).map(b -> b / 0.5).toArray();
    try (Training one = new Training(DataType.FLOAT64, 0.5, 100);
        Training other = new Training(DataType.FLOAT64, 0.5, 100);
        Optimizer averaging = FixedRate.of(1, new PrimalAveraging(1, 0)).schedule(Schedule.of(rate)).momentumSchedule(Schedule.of(c))
            .build(one.on(CPU));
        Optimizer momentum = FixedRate.of(1, new SGD(0.5, false, 0)).schedule(Schedule.of(alpha))
            .momentumSchedule(Schedule.of(factors)).build(other.on(CPU))) {
      final double[] start = one.values();
      for (int t = 1; t <= steps; ++t) {
        averaging.step(one.backward(t));
        momentum.step(other.backward(t));
        assertArrayEquals(other.values(), one.values(), 1e-12, "step " + t);
      }
      assertFalse(Math.abs(start[0] - one.get(0)) < 0.1, "it has moved");
    }
  }

  /** The weight of primal averaging may be 1, and no more. */
  @Test
  void theWeightOfPrimalAveragingMayBeOne() {
    try (Training training = new Training(DataType.FLOAT64, 0.5, 10);
        Optimizer optimizer =
            FixedRate.of(RATE, PrimalAveraging.defaults().averaging(0.5)).momentumSchedule(t -> t).build(training.on(CPU))) {
      for (int t = 1; t <= 2; ++t) optimizer.step(training.backward(t));
      assertRefused(IllegalStateException.class, optimizer::step, "momentumSchedule", "1.5", "step 3", "PrimalAveraging");
    }
  }

  /** What a rule divides by after a step has that step's beta1. */
  @Test
  void preconditionersHaveTheBetaOfTheirStep() {
    try (Training training = new Training(DataType.FLOAT64, 0.5, 10);
        Optimizer optimizer =
            FixedRate.of(RATE, new Adam(0.8, 0.95, 1e-3, 0)).momentumSchedule(RuleSchedulesTest::momentum).build(training.on(CPU))) {
      for (int t = 1; t <= 3; ++t) {
        optimizer.step(training.backward(t));
        final Map<String, Double> values = new HashMap<>();
        ((Instrumented) optimizer).preconditioner(0, new Coefficients() {
          @Override
          public Coefficients put(String name, double value) {
            values.put(name, value);
            return this;
          }
        });
        assertEquals(1 - pow(0.8 * momentum(t), t), values.get("factor"), 1e-15);
      }
    }
  }

  @Test
  void whatIsNotThereCannotBeScheduled() {
    final Map<String, TunerBuilder<?>> withoutMomentum = new LinkedHashMap<>();
    withoutMomentum.put("SGD", FixedRate.of(1, SGD.defaults().weightDecay(0.1)));
    withoutMomentum.put("AdaGrad", FixedRate.of(1, AdaGrad.defaults()));
    withoutMomentum.put("ScheduleFreeSGD", FixedRate.of(1, ScheduleFreeSGD.defaults().weightDecay(0.1)));
    withoutMomentum.put("ScheduleFreeAdamW", FixedRate.of(1, ScheduleFreeAdamW.defaults().weightDecay(0.1)));
    withoutMomentum.put("SuppliedUpdate", FixedRate.of(1, new SuppliedUpdate()));
    withoutMomentum.put("DAdaptation", DAdaptation.tuning(AdaGrad.defaults().epsilon(1e-6)));
    withoutMomentum.put("DistanceAdaptation", DAdaptation.dualAveraging());
    withoutMomentum.put("DoG", DoG.tuning(SGD.defaults()));
    withoutMomentum.put("MoMo", MoMo.tuning(AdamW.defaults()));
    withoutMomentum.put("MoMo's", MoMo.tuning(SGD.defaults().momentum(0.9)).biasCorrection(true));
    final Map<String, TunerBuilder<?>> withoutDecay = new LinkedHashMap<>();
    withoutDecay.put("FixedRate", FixedRate.of(1, Adam.defaults()));
    withoutDecay.put("SuppliedUpdate", FixedRate.of(1, new SuppliedUpdate()));
    withoutDecay.put("DistanceAdaptation", Prodigy.dualAveraging());
    withoutDecay.put("MovingTarget", MovingTarget.tuning(SGD.defaults().momentum(0.9)));
    try (Training training = new Training(DataType.FLOAT64, 0, 4, 4)) {
      withoutMomentum.forEach(
          (name, builder) -> assertRefused(
              IllegalArgumentException.class, () -> builder.momentumSchedule(Schedule.constant()).build(training.on(CPU)),
              "momentumSchedule", name));
      withoutDecay.forEach(
          (name, builder) -> assertRefused(
              IllegalArgumentException.class, () -> builder.decaySchedule(Schedule.constant()).build(training.on(CPU)), "decaySchedule",
              name));
      // One group that has it is enough.
      FixedRate.of(1, Adam.defaults()).group("second", Adam.defaults().weightDecay(0.1)).decaySchedule(Schedule.constant())
          .build(training.on(CPU)).close();
    }
    assertRefused(NullPointerException.class, () -> FixedRate.of(1, Adam.defaults()).momentumSchedule(null), "momentumSchedule");
    assertRefused(NullPointerException.class, () -> FixedRate.of(1, Adam.defaults()).decaySchedule(null), "decaySchedule");
  }

  /** A schedule that gives what cannot be used changes nothing; the run can go on when it gives something else. */
  @Test
  void badFactorsChangeNothing() {
    final double[] factor = {1};
    final Map<String, TunerBuilder<?>> builders = new LinkedHashMap<>();
    builders.put("momentumSchedule", FixedRate.of(RATE, new SGD(0.8, false, 0.1)).momentumSchedule(t -> factor[0]));
    builders.put("decaySchedule", FixedRate.of(RATE, new SGD(0.8, false, 0.1)).decaySchedule(t -> factor[0]));
    builders.forEach((name, builder) -> {
      try (Training training = new Training(DataType.FLOAT64, 0.5, 10);
          Optimizer optimizer = builder.build(training.on(CPU))) {
        optimizer.step(training.backward(1));
        final double loss = optimizer.report().loss();
        final byte[] before = training.parameterBytes();
        for (double bad : name.equals("decaySchedule") ? new double[] {-1, Double.NaN, Double.POSITIVE_INFINITY}
            : new double[] {-1, Double.NaN, Double.POSITIVE_INFINITY, 1.25, 2}) {
          factor[0] = bad;
          assertRefused(IllegalStateException.class, () -> optimizer.step(7), name, "step 2");
          assertArrayEquals(before, training.parameterBytes(), name + " " + bad);
          assertEquals(1, optimizer.steps());
          assertEquals(loss, optimizer.report().loss());
        }
        factor[0] = 0.5;
        optimizer.step(training.backward(2));
        assertEquals(2, optimizer.steps());
        factor[0] = 1;
      }
    });
  }

  /** AdaGrad under D-Adaptation has the tuner's momentum, which is also held to its range. */
  @Test
  void theMomentumOfATunerIsCheckedToo() {
    try (Training training = new Training(DataType.FLOAT64, 0.5, 10);
        Optimizer optimizer =
            DAdaptation.tuning(AdaGrad.defaults().epsilon(1e-6)).momentum(0.5).momentumSchedule(t -> 2).build(training.on(CPU))) {
      assertRefused(IllegalStateException.class, optimizer::step, "momentumSchedule", "1.0", "step 1");
    }
  }
}
