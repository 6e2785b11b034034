// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

import static java.lang.Math.pow;
import static java.lang.Math.sqrt;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.TestDevices;
import org.steptuner.TestTensors;
import org.steptuner.tuner.FixedRate;

/** Every rule does what its formula says: a plain Java implementation, one element at a time, agrees over 10 steps in float64. */
class RuleFormulaTest {
  private static final double RATE = 0.03;
  private static final int ELEMENTS = 9;
  private static final int STEPS = 10;

  /** A rule for one element, which keeps its own state. */
  private interface Formula {
    double next(double x, double g, int t);
  }

  private record Case(Rule rule, Supplier<Formula> formula) {}

  private static final Map<String, Case> CASES = new LinkedHashMap<>();

  static {
    add("SGD", SGD.defaults(), () -> (x, g, t) -> x - RATE * g);
    add("SGD, decay", SGD.defaults().weightDecay(0.3), () -> (x, g, t) -> x - RATE * (g + 0.3 * x));
    add("momentum", SGD.defaults().momentum(0.9).weightDecay(0.2), () -> momentum(0.9, 0.2, false));
    add("Nesterov", SGD.defaults().momentum(0.8).nesterov(true).weightDecay(0.2), () -> momentum(0.8, 0.2, true));
    add("RMSProp", new RMSProp(0.9, 1e-3, 0.1, 0, false), () -> rmsProp(0.9, 0.1, 0, false));
    add("RMSProp, epsilon inside", new RMSProp(0.9, 1e-3, 0, 0, true), () -> rmsProp(0.9, 0, 0, true));
    add("RMSProp, momentum", new RMSProp(0.9, 1e-3, 0, 0.7, false), () -> rmsProp(0.9, 0, 0.7, false));
    add("RMSProp, all", new RMSProp(0.95, 1e-3, 0.1, 0.7, true), () -> rmsProp(0.95, 0.1, 0.7, true));
    add("AdaGrad", AdaGrad.defaults(), () -> adaGrad(0, 1e-10, 0, 0));
    add("AdaGrad, all", new AdaGrad(0.1, 1e-3, 0.2, 0.5), () -> adaGrad(0.1, 1e-3, 0.2, 0.5));
    add("Adam", Adam.defaults(), () -> adam(0.9, 0.999, 1e-8, 0, 0));
    add("Adam, all", new Adam(0.7, 0.9, 1e-2, 0.3), () -> adam(0.7, 0.9, 1e-2, 0.3, 0));
    add("AdamW", AdamW.defaults(), () -> adam(0.9, 0.999, 1e-8, 0, 0.01));
    add("AdamW, all", new AdamW(0.7, 0.9, 1e-2, 0.3), () -> adam(0.7, 0.9, 1e-2, 0, 0.3));
    add("Adam without averages", new Adam(0, 0, 1e-2, 0), () -> adam(0, 0, 1e-2, 0, 0));
    add("AdEMAMix", AdEMAMix.defaults(), () -> adEMAMix(0.9, 0.999, 0.9999, 5, 0, 1e-8, 0.01));
    add("AdEMAMix, warm-up", new AdEMAMix(0.7, 0.9, 0.99, 2, 6, 1e-2, 0.3), () -> adEMAMix(0.7, 0.9, 0.99, 2, 6, 1e-2, 0.3));
    add("AdEMAMix, slow below fast", new AdEMAMix(0.9, 0.95, 0.5, 2, 6, 1e-2, 0.3), () -> adEMAMix(0.9, 0.95, 0.5, 2, 6, 1e-2, 0.3));
    add("AdEMAMix, nothing slow", new AdEMAMix(0.9, 0.95, 0, 2, 6, 1e-2, 0.3), () -> adEMAMix(0.9, 0.95, 0, 2, 6, 1e-2, 0.3));
    add("Adan", Adan.defaults(), () -> adan(0.98, 0.92, 0.99, 1e-8, 0, false));
    add("Adan, all", new Adan(0.7, 0.6, 0.9, 1e-2, 0.3, false), () -> adan(0.7, 0.6, 0.9, 1e-2, 0.3, false));
    add("Adan without prox", new Adan(0.7, 0.6, 0.9, 1e-2, 0.3, true), () -> adan(0.7, 0.6, 0.9, 1e-2, 0.3, true));
    add("MDA", ModernizedDualAveraging.defaults(), () -> dualAveraging(0.9, 0));
    add("MDA, all", new ModernizedDualAveraging(0.6, 0.3), () -> dualAveraging(0.6, 0.3));
    add("SPA", PrimalAveraging.defaults(), () -> primalAveraging(0.1, 0));
    add("SPA, all", new PrimalAveraging(0.4, 0.3), () -> primalAveraging(0.4, 0.3));
    add("SPA at its most", new PrimalAveraging(1, 0), () -> (x, g, t) -> x - RATE * g);
    add("Lion", Lion.defaults(), () -> lion(0.9, 0.99, 0));
    add("Lion, all", new Lion(0.5, 0.8, 0.4), () -> lion(0.5, 0.8, 0.4));
    add("Schedule-Free SGD", ScheduleFreeSGD.defaults(), () -> scheduleFree(0.9, 0, 2, 0, false));
    add("Schedule-Free SGD, all", new ScheduleFreeSGD(0.6, 1.5, 1, 0.3), () -> scheduleFree(0.6, 1.5, 1, 0.3, false));
    add("Schedule-Free AdamW", ScheduleFreeAdamW.defaults(), () -> scheduleFree(0.9, 0, 2, 0, true));
    add("Schedule-Free AdamW, all", new ScheduleFreeAdamW(0.6, 0.999, 1e-8, 1.5, 1, 0.3), () -> scheduleFree(0.6, 1.5, 1, 0.3, true));
    add("SuppliedUpdate", new SuppliedUpdate(), () -> (x, g, t) -> x - RATE * g);
  }

  private static void add(String name, Rule rule, Supplier<Formula> formula) {
    CASES.put(name, new Case(rule, formula));
  }

  private static Formula momentum(double momentum, double decay, boolean nesterov) {
    final double[] buffer = new double[1];
    return (x, g, t) -> {
      final double d = g + decay * x;
      buffer[0] = t == 1 ? d : momentum * buffer[0] + d; // the first buffer is the gradient
      return x - RATE * (nesterov ? d + momentum * buffer[0] : buffer[0]);
    };
  }

  private static Formula rmsProp(double alpha, double decay, double momentum, boolean inside) {
    final double[] v = new double[1];
    final double[] b = new double[1];
    return (x, g, t) -> {
      final double d = g + decay * x;
      v[0] = alpha * v[0] + (1 - alpha) * d * d;
      b[0] = momentum * b[0] + (inside ? d / sqrt(v[0] + 1e-3) : d / (sqrt(v[0]) + 1e-3));
      return x - RATE * b[0];
    };
  }

  private static Formula adaGrad(double rateDecay, double epsilon, double decay, double initial) {
    final double[] v = {initial};
    return (x, g, t) -> {
      final double d = g + decay * x;
      v[0] += d * d;
      return x - RATE / (1 + (t - 1) * rateDecay) * d / (sqrt(v[0]) + epsilon);
    };
  }

  private static Formula adam(double b1, double b2, double epsilon, double coupled, double decoupled) {
    final double[] m = new double[1];
    final double[] v = new double[1];
    return (x, g, t) -> {
      final double d = g + coupled * x;
      m[0] = b1 * m[0] + (1 - b1) * d;
      v[0] = b2 * v[0] + (1 - b2) * d * d;
      final double shrunk = x * (1 - RATE * decoupled);
      return shrunk - RATE / (1 - pow(b1, t)) * m[0] / (sqrt(v[0]) / sqrt(1 - pow(b2, t)) + epsilon);
    };
  }

  private static Formula adEMAMix(double b1, double b2, double b3, double alpha, int warmup, double epsilon, double decay) {
    final double[] fast = new double[1];
    final double[] slow = new double[1];
    final double[] v = new double[1];
    return (x, g, t) -> {
      final double done = warmup == 0 ? 1 : Math.min(1, (double) t / warmup);
      // Half-lives are ln 1/2 over ln b: the reciprocal of the logarithm goes evenly from that of beta1 to that of beta3.
      final double b = Math.min(b3, Math.exp(1 / ((1 - done) / Math.log(b1) + done / Math.log(b3))));
      fast[0] = b1 * fast[0] + (1 - b1) * g;
      slow[0] = b * slow[0] + (1 - b) * g;
      v[0] = b2 * v[0] + (1 - b2) * g * g;
      final double mixed = fast[0] / (1 - pow(b1, t)) + done * alpha * slow[0];
      return x * (1 - RATE * decay) - RATE * mixed / (sqrt(v[0]) / sqrt(1 - pow(b2, t)) + epsilon);
    };
  }

  private static Formula adan(double b1, double b2, double b3, double epsilon, double decay, boolean noProx) {
    final double[] s = new double[4];
    return (x, g, t) -> {
      final double difference = t == 1 ? 0 : g - s[3];
      s[0] = b1 * s[0] + (1 - b1) * g;
      s[1] = b2 * s[1] + (1 - b2) * difference;
      s[2] = b3 * s[2] + (1 - b3) * (g + b2 * difference) * (g + b2 * difference);
      s[3] = g;
      final double root = sqrt(s[2] / (1 - pow(b3, t))) + epsilon;
      final double move = RATE * (s[0] / (1 - pow(b1, t)) / root + b2 * s[1] / (1 - pow(b2, t)) / root);
      return noProx ? (1 - RATE * decay) * x - move : (x - move) / (1 + RATE * decay);
    };
  }

  // In the form that descends from z and pulls it to x0.
  private static Formula dualAveraging(double momentum, double decay) {
    final double[] z = {Double.NaN, Double.NaN}; // z, x0
    return (x, g, t) -> {
      if (t == 1) z[0] = z[1] = x;
      final double kept = sqrt((t - 1.0) / t);
      z[0] = kept * z[0] + (1 - kept) * z[1] - RATE * (g + decay * x);
      return momentum * x + (1 - momentum) * z[0];
    };
  }

  private static Formula primalAveraging(double c, double decay) {
    final double[] z = {Double.NaN};
    return (x, g, t) -> {
      if (t == 1) z[0] = x;
      z[0] -= RATE * (g + decay * x);
      return (1 - c) * x + c * z[0];
    };
  }

  // With x and z themselves, and the sum of weights. beta2 is 0.999, epsilon 1e-8.
  private static Formula scheduleFree(double b1, double r, double power, double decay, boolean adam) {
    final double[] z = new double[1];
    final double[] average = new double[1];
    final double[] v = new double[1];
    final double[] weights = new double[1];
    return (y, g, t) -> {
      if (t == 1) z[0] = average[0] = y;
      v[0] = 0.999 * v[0] + 0.001 * g * g;
      final double direction = (adam ? g / (sqrt(v[0] / (1 - pow(0.999, t))) + 1e-8) : g) + decay * y;
      final double w = pow(t, r) * pow(RATE, power);
      weights[0] += w;
      z[0] -= RATE * direction;
      average[0] += w / weights[0] * (z[0] - average[0]);
      return b1 * average[0] + (1 - b1) * z[0];
    };
  }

  private static Formula lion(double b1, double b2, double decay) {
    final double[] m = new double[1];
    return (x, g, t) -> {
      final double next = x * (1 - RATE * decay) - RATE * Math.signum(b1 * m[0] + (1 - b1) * g);
      m[0] = b2 * m[0] + (1 - b2) * g;
      return next;
    };
  }

  static Stream<Arguments> cases() {
    return TestDevices.all().stream()
        .filter(device -> !device.name().matches(".* x [23]"))
        .flatMap(device -> CASES.keySet().stream().map(name -> Arguments.of(name, device)));
  }

  @ParameterizedTest(name = "{0} on {1}")
  @MethodSource("cases")
  void agreesWithPlainJava(String name, TestDevices.Candidate candidate) {
    final Case one = CASES.get(name);
    final Formula[] formulas = Stream.generate(one.formula).limit(ELEMENTS).toArray(Formula[]::new);
    final double[] x = new double[ELEMENTS];
    try (TestTensors tensors = TestTensors.of(DataType.FLOAT64, ELEMENTS).parameters(i -> 0.5 * i - 2);
        Optimizer optimizer = FixedRate.of(RATE, one.rule).build(tensors.on(candidate.open()))) {
      for (int i = 0; i < ELEMENTS; ++i) x[i] = 0.5 * i - 2;
      for (int t = 1; t <= STEPS; ++t) {
        final int step = t;
        tensors.gradients(i -> gradient(i, step));
        optimizer.step();
        for (int i = 0; i < ELEMENTS; ++i) {
          x[i] = formulas[i].next(x[i], gradient(i, t), t);
          assertEquals(x[i], tensors.parameters(0).get(i), 1e-12 * (1 + Math.abs(x[i])), name + ", step " + t + ", element " + i);
        }
      }
    }
  }

  // Of either sign, zero now and then, and over several orders of magnitude.
  private static double gradient(int i, int t) {
    return (i + t) % 5 == 0 ? 0 : Math.sin(1.7 * i + 0.9 * t) * pow(10, i % 4 - 2);
  }

  /** The first step of AdamW moves every element by rate, whatever the gradient's size, and shrinks it by rate times decay. */
  @Test
  void adamWByHand() {
    final double[] gradients = {1e-3, -5, 1e6};
    try (TestTensors tensors = TestTensors.of(DataType.FLOAT64, 3).parameters(i -> 1).gradients(i -> gradients[i]);
        Optimizer optimizer = FixedRate.of(0.1, new AdamW(0.9, 0.999, 0, 0.5)).build(tensors.on(Device.cpu(1)))) {
      optimizer.step();
      assertEquals(0.95 - 0.1, tensors.parameters(0).get(0), 1e-12);
      assertEquals(0.95 + 0.1, tensors.parameters(0).get(1), 1e-12);
      assertEquals(0.95 - 0.1, tensors.parameters(0).get(2), 1e-12);
    }
  }

  /** Coupled decay goes through the averages and is divided away; decoupled decay does not. */
  @Test
  void adamAndAdamWDecayDifferently() {
    final double[] x = new double[2];
    final Rule[] rules = {new Adam(0.9, 0.999, 0, 0.5), new AdamW(0.9, 0.999, 0, 0.5)};
    for (int r = 0; r < 2; ++r) {
      try (TestTensors tensors = TestTensors.of(DataType.FLOAT64, 1).parameters(i -> 4).gradients(i -> 1);
          Optimizer optimizer = FixedRate.of(0.1, rules[r]).build(tensors.on(Device.cpu(1)))) {
        optimizer.step();
        x[r] = tensors.parameters(0).get(0);
      }
    }
    assertEquals(4 - 0.1, x[0], 1e-12);
    assertEquals(4 - 0.1 * 0.5 * 4 - 0.1, x[1], 1e-12);
  }
}
