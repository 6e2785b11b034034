// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.NonFinite;
import org.steptuner.NonFiniteException;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.Schedule;
import org.steptuner.Scope;
import org.steptuner.StepReport;
import org.steptuner.TestTensors;
import org.steptuner.curvature.LossFunction;
import org.steptuner.curvature.ParameterVector;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.MirrorMADGRAD;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;

/** The tuners that the trainer tells losses and curvature. */
class CurvatureTunersTest extends TunerContract {
  private static final SGD MOMENTUM = SGD.defaults().momentum(0.9).weightDecay(0.01);

  @Override
  Map<String, Supplier<TunerBuilder<?>>> forms() {
    final Map<String, Supplier<TunerBuilder<?>>> forms = new LinkedHashMap<>();
    forms.put("CDAT", () -> CDAT.tuning(MOMENTUM).sigma(1.5).maxRate(0.05).curvature(u -> 2 * square(u)));
    forms.put("CDAT averaged", () -> CDAT.tuning(AdamW.defaults()).ema(0.9).hessian(CurvatureTunersTest::twice));
    forms.put("CDAT by difference", () -> CDAT.tuning(RMSProp.defaults().momentum(0.5)).finiteDifference(CurvatureTunersTest::parameters));
    forms.put("CDAT at times", () -> CDAT.tuning(Adam.defaults().weightDecay(0.1)).every(3).hessian(CurvatureTunersTest::twice));
    forms.put("quadratically greedy", () -> CDAT.quadraticallyGreedy(SGD.defaults().weightDecay(0.1)).hessian(CurvatureTunersTest::twice));
    forms.put("exact sharpness", () -> ExactSharpness.tuning(RMSProp.defaults(), CurvatureTunersTest::twice).sigma(0.01).every(2));
    forms.put("Polyak", () -> Polyak.tuning(MOMENTUM).maxRate(0.05));
    forms.put("Polyak along the update", () -> Polyak.tuning(AdamW.defaults()).alongUpdate().bound(-1));
    forms.put("Armijo", () -> Armijo.tuning(AdamW.defaults(), everySecondIsGood()).firstGuess(0.1));
    forms.put("CDAT over Lion", () -> CDAT.tuning(Lion.defaults().weightDecay(0.1)).maxRate(0.05).curvature(u -> 2 * square(u)));
    forms.put("CDAT over MADGRAD", () -> CDAT.tuning(MADGRAD.defaults()).every(2).maxRate(0.5).hessian(CurvatureTunersTest::twice));
    forms.put("Polyak over MADGRAD", () -> Polyak.tuning(MADGRAD.defaults().weightDecay(0.02)).maxRate(0.5));
    forms.put("SPS_max", () -> Polyak.spsMax(SGD.defaults(), 0.5, 0.3));
    forms.put("SPS_max, smoothed", () -> Polyak.spsMax(AdaGrad.defaults(), 0.5, 0.01).smoothing(2, 3).alongUpdate());
    forms.put("Armijo over MirrorMADGRAD", () -> Armijo.tuning(MirrorMADGRAD.defaults(), everySecondIsGood()).firstGuess(0.3));
    forms.put("SLS", () -> Armijo.stochastic(SGD.defaults(), everySecondIsGood(), 5).firstGuess(0.1));
    forms.put(
        "first-order additive", () -> NewtonRate.firstOrder(MOMENTUM, 1e-3, NewtonRate.Variant.FIRST_ORDER_ADDITIVE, 1e-9).interval(2));
    forms.put(
        "by tensor first-order multiplicative",
        () -> NewtonRate.firstOrder(AdamW.defaults(), 1e-3, NewtonRate.Variant.FIRST_ORDER_MULTIPLICATIVE, 0.1).interval(3)
            .scope(Scope.TENSOR));
    forms.put("Newton", () -> NewtonRate.tuning(MOMENTUM, 1e-3).interval(2));
    forms.put(
        "Newton released", () -> NewtonRate.tuning(Adam.defaults(), 1e-2).interval(1).variant(NewtonRate.Variant.RELEASED).gamma(0.01));
    forms.put("by tensor Newton", () -> NewtonRate.tuning(Lion.defaults(), 1e-2).interval(3).scope(Scope.TENSOR));
    return forms;
  }

  // Lion's steps are signs: those of two windows in a row are often the same.
  @Override
  Set<String> decidedByRounding() {
    return Set.of("by tensor Newton");
  }

  // Two trials a step: one fails, one is accepted.
  private static LossFunction everySecondIsGood() {
    final int[] calls = {0};
    return () -> ++calls[0] % 2 == 1 ? Double.NaN : -1e300;
  }

  private static double square(ParameterVector u) {
    double sum = 0;
    for (int t = 0; t < u.parameters().tensors().size(); ++t)
      for (int i = 0; i < u.count(t); ++i) sum += element(u, t, i) * element(u, t, i);
    return sum;
  }

  private static void twice(ParameterVector vector, ParameterVector product) {
    for (int t = 0; t < vector.parameters().tensors().size(); ++t)
      for (int i = 0; i < vector.count(t); ++i) set(product, t, i, 2 * element(vector, t, i));
  }

  // The gradient of |x|^2 / 2, from where the parameters are.
  private static void parameters(ParameterVector gradient) {
    for (int t = 0; t < gradient.parameters().tensors().size(); ++t) {
      final long address = gradient.parameters().tensors().get(t).parameterAddress();
      final boolean wide = gradient.type(t) == DataType.FLOAT64;
      for (int i = 0; i < gradient.count(t); ++i) set(gradient, t, i, wide ? new Doubles(address).get(i) : new Floats(address).get(i));
    }
  }

  private static double element(ParameterVector vector, int tensor, int i) {
    return vector.type(tensor) == DataType.FLOAT64 ? vector.doubles(tensor).get(i) : vector.floats(tensor).get(i);
  }

  private static void set(ParameterVector vector, int tensor, int i, double value) {
    if (vector.type(tensor) == DataType.FLOAT64) vector.doubles(tensor).put(i, value);
    else vector.floats(tensor).put(i, (float) value);
  }

  private static final class Doubles extends DoublePointer {
    Doubles(long address) {
      super((Pointer) null);
      this.address = address;
    }
  }

  private static final class Floats extends FloatPointer {
    Floats(long address) {
      super((Pointer) null);
      this.address = address;
    }
  }

  /** On |x - target|^2 / 2, where H is I, sigma is the rate itself for gradient descent, and 1 goes to the minimum at once. */
  @Test
  void onABowlTheRateIsSigma() {
    for (double sigma : new double[] {0.5, 1, 1.9}) {
      try (Training training = new Training(DataType.FLOAT64, 0, 400, 300);
          Optimizer optimizer =
              CDAT.tuning(SGD.defaults()).sigma(sigma).maxRate(10).curvature(u -> square(u)).build(training.on(device()))) {
        for (int step = 1; step <= 3; ++step) {
          final double before = training.backward(step);
          assertEquals(sigma, optimizer.step(before).learnedScale(), 1e-12);
          assertEquals((1 - sigma) * (1 - sigma) * before, training.loss(), 1e-9 * before);
          if (sigma == 1) break;
        }
      }
    }
  }

  @Test
  void formulaOfCdat() {
    final double[] curvatures = {3, -2, 40, 1e-9, 5};
    final double[] given = new double[1];
    try (Training training = new Training(DataType.FLOAT64, 0.5, 200);
        Optimizer optimizer =
            CDAT.tuning(SGD.defaults()).sigma(1.3).ema(0.7).epsilon(0.5).maxRate(2).curvature(u -> given[0]).build(training.on(device()))) {
      double n = 0, d = 0;
      boolean limited = false;
      for (int step = 1; step <= curvatures.length; ++step) {
        final double loss = training.backward(step);
        given[0] = curvatures[step - 1];
        double square = 0;
        for (int i = 0; i < training.count(); ++i) square += training.gradient(i) * training.gradient(i);
        n = 0.7 * n + 0.3 * square;
        d = 0.7 * d + 0.3 * (Math.abs(given[0]) + 0.5);
        final double wanted = Math.min(1.3 * n / d, 2);
        limited |= wanted == 2;
        assertEquals(wanted, optimizer.step(loss).learnedScale(), 1e-12 * wanted, "step " + step);
        assertEquals(square, optimizer.scalars().get("n")[0], 1e-10 * square);
      }
      assertTrue(limited);
    }
  }

  /** n = max(-<g, u>, 0): an update that ascends gets no rate; the greedy form follows the sign. */
  @Test
  void whatDoesNotDescend() {
    for (boolean greedy : new boolean[] {false, true}) {
      try (Training training = new Training(DataType.FLOAT64, 0, 50);
          Optimizer optimizer =
              (greedy ? CDAT.quadraticallyGreedy(SGD.defaults().momentum(0.99)) : CDAT.tuning(SGD.defaults().momentum(0.99)).sigma(1))
                  .curvature(u -> square(u)).build(training.on(device()))) {
        for (int i = 0; i < training.count(); ++i) training.setGradient(i, 1);
        optimizer.step(1);
        for (int i = 0; i < training.count(); ++i) training.setGradient(i, -0.1); // the momentum goes on, uphill
        final double rate = optimizer.step(1).learnedScale();
        assertEquals(greedy ? -0.1 / 0.89 : 0, rate, 1e-12);
      }
    }
  }

  /** Between two findings the rate stays and the rule's own words are moved. */
  @Test
  void aRateFoundEveryThirdStep() {
    final int[] calls = {0};
    try (Training training = new Training(DataType.FLOAT32, 0.5, 500);
        Optimizer optimizer =
            CDAT.tuning(SGD.defaults()).every(3).curvature(u -> ++calls[0] * square(u)).build(training.on(device()))) {
      final double[] rates = new double[7];
      for (int step = 1; step <= 7; ++step) rates[step - 1] = optimizer.step(training.backward(step)).learnedScale();
      assertEquals(3, calls[0]);
      assertArrayEquals(new double[] {1, 1, 1, 1, 1, 1, 2.0 / 3}, rates, 1e-6); // 2 / 1 and 2 / 2 are limited to 1
    }
  }

  /** A finite difference agrees with the exact curvature of a loss that is not quadratic: within 1 % in float32, 1e-5 in float64. */
  @Test
  void finiteDifferences() {
    for (DataType type : new DataType[] {DataType.FLOAT32, DataType.FLOAT64})
      for (Rule rule : new Rule[] {SGD.defaults(), RMSProp.defaults().epsilon(1e-3), AdamW.defaults().epsilon(1e-3)}) {
        try (Waves exact = new Waves(type, 3000);
            Waves difference = new Waves(type, 3000);
            Optimizer one = CDAT.tuning(rule).sigma(0.5).curvature(exact::along).build(exact.bound());
            Optimizer other = CDAT.tuning(rule).sigma(0.5).finiteDifference(difference::gradient).build(difference.bound())) {
          for (int step = 1; step <= 5; ++step) {
            one.step(exact.backward());
            other.step(difference.backward());
            difference.copyFrom(exact);
            final double wanted = one.scalars().get("d")[0];
            assertEquals(wanted, other.scalars().get("d")[0], (type == DataType.FLOAT32 ? 0.01 : 1e-5) * wanted, rule + " in " + type);
          }
        }
      }
  }

  /** sum of (1 + i % 5) x^2 / 2 + cos(2 x), whose curvature is known element by element. */
  private static final class Waves implements AutoCloseable {
    private final Training training;

    Waves(DataType type, int count) {
      training = new Training(type, 0, count);
    }

    ParameterSet bound() {
      return training.on(device());
    }

    double backward() {
      double loss = 0;
      for (int i = 0; i < training.count(); ++i) {
        final double x = training.get(i);
        loss += (1 + i % 5) * x * x / 2 + Math.cos(2 * x);
        training.setGradient(i, slope(i, x));
      }
      return loss;
    }

    private static double slope(int i, double x) {
      return (1 + i % 5) * x - 2 * Math.sin(2 * x);
    }

    double along(ParameterVector u) {
      double sum = 0;
      for (int i = 0; i < training.count(); ++i)
        sum += (1 + i % 5 - 4 * Math.cos(2 * training.get(i))) * element(u, 0, i) * element(u, 0, i);
      return sum;
    }

    void gradient(ParameterVector gradient) {
      for (int i = 0; i < training.count(); ++i) set(gradient, 0, i, slope(i, training.get(i)));
    }

    void copyFrom(Waves from) {
      for (int i = 0; i < training.count(); ++i) training.set(i, from.training.get(i));
    }

    @Override
    public void close() {
      training.close();
    }
  }

  @Test
  void exactSharpnessOfADiagonal() {
    try (Training training = new Training(DataType.FLOAT64, 0, 600, 401);
        Optimizer optimizer =
            ExactSharpness.tuning(SGD.defaults(), CurvatureTunersTest::diagonal)
                .sigma(1.5)
                .tolerance(1e-8, 200)
                .build(training.on(device()))) {
      assertEquals(1.5 / 9, optimizer.step(training.backward(1)).learnedScale(), 1e-12);
      assertEquals(9, optimizer.scalars().get("lambda_max")[0], 1e-11);
    }
  }

  // Eigenvalues in [-3, 3], and 9 once.
  private static void diagonal(ParameterVector vector, ParameterVector product) {
    for (int t = 0; t < vector.parameters().tensors().size(); ++t)
      for (int i = 0; i < vector.count(t); ++i)
        set(product, t, i, (t == 0 && i == 77 ? 9 : 3 * Math.sin(i)) * element(vector, t, i));
  }

  /** Large enough that freed memory would go back to the system, and reading it would end the process. */
  @Test
  void aBufferOutlivesItsOptimizer() {
    final int size = 1 << 21;
    final ParameterVector[] kept = new ParameterVector[1];
    FloatBuffer buffer = null;
    try (Training training = new Training(DataType.FLOAT32, 0, size, 5, 0)) {
      try (Optimizer optimizer =
          CDAT.tuning(SGD.defaults()).curvature(u -> {
            kept[0] = u;
            return 1;
          }).build(training.on(Device.cpu(1)))) {
        optimizer.step(training.backward(1));
        buffer = kept[0].floats(0);
        assertEquals(0, kept[0].floats(1).capacity());
      }
      for (int i = 0; i < size; i += 512) assertEquals((float) -training.gradient(i), buffer.get(i));
    }
    assertTrue(buffer == kept[0].floats(0));
    assertThrows(IllegalStateException.class, () -> kept[0].floats(2));
  }

  @Test
  void aSharpnessHasTheSameBitsEverywhere() {
    for (DataType type : new DataType[] {DataType.FLOAT32, DataType.FLOAT64}) {
      double expected = Double.NaN;
      for (Device device : devices()) {
        try (Training training = new Training(type, 0.5, SIZES);
            Optimizer optimizer = ExactSharpness.tuning(SGD.defaults(), CurvatureTunersTest::diagonal).build(training.on(device))) {
          for (int step = 1; step <= 2; ++step) optimizer.step(training.backward(step));
          final double sharpness = optimizer.scalars().get("lambda_max")[0];
          if (Double.isNaN(expected)) expected = sharpness;
          assertEquals(expected, sharpness, device.name());
        }
      }
      assertTrue(expected > 2.9 && expected < 9.1, "" + expected);
    }
  }

  @Test
  void formulaOfPolyak() {
    for (boolean along : new boolean[] {false, true}) {
      try (Training training = new Training(DataType.FLOAT64, 0, 500);
          Optimizer optimizer = (along ? polyak().alongUpdate() : polyak()).build(training.on(device()))) {
        boolean limited = false, free = false;
        for (int step = 1; step <= 8; ++step) {
          final double loss = training.backward(step);
          double square = 0;
          for (int i = 0; i < training.count(); ++i) square += training.gradient(i) * training.gradient(i);
          final double wanted = Math.min(0.45, Math.max(0, loss - 20) / square);
          assertEquals(wanted, optimizer.step(loss).learnedScale(), 1e-12, "step " + step);
          limited |= wanted == 0.45;
          free |= wanted < 0.45 && wanted > 0;
        }
        assertTrue(limited && free);
        final byte[] before = training.parameterBytes();
        training.backward(9);
        assertEquals(0, optimizer.step(19).learnedScale(), "below the bound");
        assertArrayEquals(before, training.parameterBytes());
      }
    }
  }

  private static Polyak polyak() {
    return Polyak.tuning(SGD.defaults()).maxRate(0.45).bound(20);
  }

  /** Clipping changes the update, and not the gradient that the linear model has. */
  @Test
  void clippingIsNotPartOfTheLoss() {
    try (Training training = new Training(DataType.FLOAT64, 0, 300);
        Optimizer optimizer = Polyak.tuning(SGD.defaults()).maxRate(1e9).alongUpdate().clipNorm(1).build(training.on(device()))) {
      final double loss = training.backward(1);
      double norm = 0;
      for (int i = 0; i < training.count(); ++i) norm += training.gradient(i) * training.gradient(i);
      norm = Math.sqrt(norm);
      assertEquals(loss / norm, optimizer.step(loss).learnedScale(), 1e-5 * loss / norm); // <g, u> = -|g|
    }
  }

  @Test
  void formulaOfArmijo() {
    try (Training training = new Training(DataType.FLOAT64, 0, 100, 60)) {
      final List<Double> losses = new ArrayList<>();
      final LossFunction trial =
          () -> {
            losses.add(training.loss());
            return training.loss();
          };
      try (Optimizer optimizer =
          Armijo.tuning(SGD.defaults(), trial)
              .sufficientDecrease(0.5)
              .firstGuess(10)
              .decrease(0.5)
              .increase(4)
              .build(training.on(device()))) {
        double rate = 10 / 4.0;
        for (int step = 1; step <= 4; ++step) {
          final double loss = training.backward(step);
          double square = 0;
          for (int i = 0; i < training.count(); ++i) square += training.gradient(i) * training.gradient(i);
          losses.clear();
          // f(x - eta g) = (1 - eta)^2 f(x): accepted where (1 - eta)^2 f <= f - eta |g|^2 / 2, which for |g|^2 = 2 f is eta <= 1.
          rate = Math.min(4 * rate, 10);
          int backtracks = 0;
          while (rate > 1) {
            rate /= 2;
            ++backtracks;
          }
          optimizer.step(loss);
          assertEquals(rate, optimizer.report().learnedScale(), 0);
          assertEquals(backtracks, optimizer.scalars().get("backtracks")[0]);
          assertEquals(backtracks + 1, losses.size());
          assertEquals(training.loss(), losses.get(backtracks), 0, "the step ends where the last trial was");
          assertTrue(square > 0);
        }
      }
    }
  }

  /** Where nothing is accepted: the smallest rate is taken if it has a loss; else nothing happens. */
  @Test
  void anArmijoSearchThatFails() {
    final double[] trialLoss = {1e9};
    try (Training training = new Training(DataType.FLOAT32, 0.5, 100);
        Optimizer optimizer =
            Armijo.tuning(MOMENTUM, () -> trialLoss[0]).maxTrials(5).decrease(0.5).firstGuess(1).build(training.on(device()))) {
      assertEquals(1 / 16.0, optimizer.step(training.backward(1)).learnedScale(), 0);
      assertEquals(4, optimizer.scalars().get("backtracks")[0]);
      trialLoss[0] = Double.POSITIVE_INFINITY;
      final byte[] before = training.parameterBytes();
      assertEquals(StepReport.Skip.NON_FINITE_LOSS, optimizer.step(training.backward(2)).skip());
      assertArrayEquals(before, training.parameterBytes());
    }
  }

  /** A trial is undone bit for bit in every type: also where parameters are zeros with a sign and where the trainer throws. */
  @Test
  void trialsLeaveEveryBit(@TempDir Path folder) {
    for (DataType type : DataType.values()) {
      final double[] trial = {1};
      final byte[][] seen = new byte[1][];
      try (TestTensors tensors =
          new TestTensors()
              .add("a", type, 4099)
              .add("b", type, 33)
              .parameters(i -> i % 3 == 0 ? -0.0 : Math.sin(i))
              .gradients(i -> Math.cos(i) * 30);
          Optimizer optimizer =
              Armijo.tuning(
                  AdamW.defaults(),
                  () -> {
                    seen[0] = tensors.parameters(0).toBytes();
                    if (trial[0] == 0) throw new IllegalStateException("no loss today");
                    return trial[0];
                  })
                  .maxTrials(3).build(tensors.on(device()))) {
        trial[0] = -1e9;
        optimizer.step(1);
        final byte[][] before = {tensors.parameters(0).toBytes(), tensors.parameters(1).toBytes()};
        final Map<String, byte[]> state = saved(optimizer, folder);
        for (double outcome : new double[] {0, Double.NaN}) {
          trial[0] = outcome;
          if (outcome == 0)
            assertEquals("no loss today", assertThrows(IllegalStateException.class, () -> optimizer.step(1)).getMessage());
          else assertEquals(StepReport.Skip.NON_FINITE_LOSS, optimizer.step(1).skip());
          assertFalse(Arrays.equals(before[0], seen[0]), "the trial did move " + type);
          assertArrayEquals(before[0], tensors.parameters(0).toBytes(), type + "");
          assertArrayEquals(before[1], tensors.parameters(1).toBytes(), type + "");
          assertSame(state, saved(optimizer, folder), type + "");
        }
        trial[0] = -1e9;
        assertFalse(optimizer.step(1).skipped(), "it goes on");
      }
    }
  }

  @Test
  void curvatureThatIsNotFiniteLeavesEverything(@TempDir Path folder) {
    final double[] bad = {0};
    final Map<String, Supplier<TunerBuilder<?>>> forms = new LinkedHashMap<>();
    forms.put("scalar", () -> CDAT.tuning(AdamW.defaults()).ema(0.5).curvature(u -> square(u) + bad[0]));
    forms.put("product", () -> CDAT.tuning(MOMENTUM).hessian((v, p) -> spoiled(v, p, bad[0])));
    forms.put("difference", () -> CDAT.tuning(MOMENTUM).finiteDifference(g -> spoiled(g, g, bad[0])));
    forms.put("sharpness", () -> ExactSharpness.tuning(AdamW.defaults(), (v, p) -> spoiled(v, p, bad[0])));
    forms.forEach((name, builder) -> {
      try (Training training = new Training(DataType.FLOAT32, 0.5, 300, 70);
          Optimizer optimizer = builder.get().build(training.on(device()))) {
        bad[0] = 0;
        optimizer.step(training.backward(1));
        final Map<String, byte[]> before = saved(optimizer, folder);
        final double loss = training.backward(2);
        for (double value : new double[] {Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY}) {
          bad[0] = value;
          assertEquals(StepReport.Skip.NON_FINITE_CURVATURE, optimizer.step(loss).skip(), name);
          assertSame(before, saved(optimizer, folder), name);
        }
        bad[0] = 0;
        assertFalse(optimizer.step(loss).skipped(), name + " goes on");
      }
      try (Training training = new Training(DataType.FLOAT32, 0.5, 300, 70);
          Optimizer optimizer = builder.get().nonFinite(NonFinite.THROW).build(training.on(device()))) {
        bad[0] = Double.NaN;
        final double loss = training.backward(1);
        assertTrue(assertThrows(NonFiniteException.class, () -> optimizer.step(loss)).getMessage().contains("curvature"), name);
      }
    });
  }

  private static void spoiled(ParameterVector from, ParameterVector to, double bad) {
    for (int t = 0; t < from.parameters().tensors().size(); ++t)
      for (int i = 0; i < from.count(t); ++i) set(to, t, i, 2 * element(from, t, i) + 1e-3 * i);
    set(to, 0, 5, bad == 0 ? 1 : bad);
  }

  /** Curvature that vanishes: the limit holds; without one, the step is skipped. */
  @Test
  void curvatureOfZero() {
    for (boolean limited : new boolean[] {true, false}) {
      try (Training training = new Training(DataType.FLOAT32, 0.5, 300);
          Optimizer optimizer =
              CDAT.tuning(SGD.defaults())
                  .maxRate(limited ? 0.25 : Double.POSITIVE_INFINITY)
                  .curvature(u -> 0)
                  .build(training.on(device()))) {
        final StepReport report = optimizer.step(training.backward(1));
        assertEquals(limited ? StepReport.Skip.NONE : StepReport.Skip.NON_FINITE_CURVATURE, report.skip());
        if (limited) assertEquals(0.25, report.learnedScale());
      }
    }
  }

  @Test
  void nothingMovesWithoutAGradient() {
    try (Training training = new Training(DataType.FLOAT32, 0.5, 300);
        Optimizer optimizer = CDAT.tuning(SGD.defaults()).hessian(CurvatureTunersTest::twice).build(training.on(device()))) {
      final byte[] before = training.parameterBytes();
      assertEquals(0, optimizer.step(1).learnedScale());
      assertArrayEquals(before, training.parameterBytes());
    }
  }

  @Test
  void callsFromWithinAStepAreRefused() {
    final Optimizer[] itself = new Optimizer[1];
    try (Training training = new Training(DataType.FLOAT32, 0.5, 300);
        Optimizer optimizer =
            CDAT.tuning(SGD.defaults())
                .curvature(
                    u -> {
                      assertThrows(IllegalStateException.class, () -> itself[0].step(1));
                      assertThrows(IllegalStateException.class, () -> itself[0].close());
                      return square(u);
                    })
                .build(training.on(device()))) {
      itself[0] = optimizer;
      assertFalse(optimizer.step(training.backward(1)).skipped());
    }
  }

  /** A schedule multiplies what was found: half the way to the minimum. */
  @Test
  void schedulesMultiplyTheRate() {
    try (Training training = new Training(DataType.FLOAT64, 0, 300)) {
      final LossFunction loss = training::loss;
      for (TunerBuilder<?> builder : List.of(
          CDAT.tuning(SGD.defaults()).sigma(1).curvature(u -> square(u)),
          Armijo.tuning(SGD.defaults(), loss).firstGuess(1)))
        try (Optimizer optimizer = builder.schedule(Schedule.of(0.5)).build(training.on(device()))) {
          final double before = training.backward(1);
          assertEquals(1, optimizer.step(before).learnedScale(), 1e-12);
          assertEquals(before / 4, training.loss(), 1e-9 * before);
        }
    }
  }

  /** Eq. 8, against the definition of windows, in double. */
  @Test
  void formulaOfNewton() {
    try (Training training = new Training(DataType.FLOAT64, 0, 90);
        Optimizer optimizer = NewtonRate.tuning(SGD.defaults(), 0.01).interval(3).gamma(0.4).build(training.on(device()))) {
      double[] from = training.values();
      double[] way = new double[from.length];
      double rate = 0.01;
      for (int step = 1; step <= 12; ++step) {
        optimizer.step(training.backward(step));
        if (step % 3 == 0) {
          final double[] to = training.values();
          double product = 0, square = 0;
          for (int i = 0; i < to.length; ++i) {
            final double now = (from[i] - to[i]) / rate;
            product += way[i] * now;
            square += way[i] * way[i];
            way[i] = now;
          }
          from = to;
          if (square > product) rate *= Math.min(1 + 0.4 * product / (square - product), 100);
        }
        assertEquals(rate, optimizer.report().learnedScale(), 1e-11 * rate, "step " + step);
      }
      assertTrue(rate > 0.02, "it grew: " + rate);
    }
  }

  /** The first-order rates against the definition of windows, in double. */
  @Test
  void formulaOfTheFirstOrderRates() {
    for (NewtonRate.Variant form : new NewtonRate.Variant[] {
      NewtonRate.Variant.FIRST_ORDER_ADDITIVE, NewtonRate.Variant.FIRST_ORDER_MULTIPLICATIVE}) {
      final boolean additive = form == NewtonRate.Variant.FIRST_ORDER_ADDITIVE;
      final double eta = additive ? 1e-6 : 0.2;
      try (Training training = new Training(DataType.FLOAT64, 0.5, 90);
          Optimizer optimizer = NewtonRate.firstOrder(SGD.defaults(), 0.01, form, eta).interval(3).build(training.on(device()))) {
        double[] from = training.values();
        double[] way = new double[from.length];
        double rate = 0.01;
        for (int step = 1; step <= 15; ++step) {
          optimizer.step(training.backward(step));
          if (step % 3 == 0) {
            final double[] to = training.values();
            double product = 0, before = 0, after = 0;
            for (int i = 0; i < to.length; ++i) {
              final double now = (from[i] - to[i]) / rate;
              product += way[i] * now;
              before += way[i] * way[i];
              after += now * now;
              way[i] = now;
            }
            from = to;
            if (before > 0 && after > 0) rate = additive ? rate + eta * product : rate * (1 + eta * product / Math.sqrt(before * after));
          }
          assertEquals(rate, optimizer.report().learnedScale(), 1e-12 * rate, form + ", step " + step);
        }
        assertTrue(rate > 0.011, form + " grew: " + rate);
      }
    }
  }

  /** The rate stays within its bounds, and one that would fall to 0 or below stays as it is. */
  @Test
  void aFirstOrderRateNeverBecomesNegative() {
    for (double smallest : new double[] {0, 0.25}) {
      try (Training training = new Training(DataType.FLOAT64, 0, 20);
          Optimizer optimizer =
              NewtonRate.firstOrder(SGD.defaults(), 1, NewtonRate.Variant.FIRST_ORDER_ADDITIVE, 1e3).interval(1)
                  .rateBounds(smallest, 2).build(training.on(device()))) {
        for (int step = 1; step <= 2; ++step) {
          for (int i = 0; i < training.count(); ++i) training.setGradient(i, step == 1 ? 1 : -1); // the way turns round
          optimizer.step(1);
        }
        assertEquals(smallest == 0 ? 1 : smallest, optimizer.report().learnedScale());
      }
    }
  }

  /** Loizou et al.: the limit of a step is gamma^(1 / n) times the last eta that was not 0; c multiplies the decrease. */
  @Test
  void formulaOfSmoothedSpsMax() {
    try (Training training = new Training(DataType.FLOAT64, 0, 500);
        Optimizer optimizer = Polyak.spsMax(SGD.defaults(), 0.2, 0.01).bound(5).smoothing(3, 2).build(training.on(device()))) {
      double limit = 0.01;
      boolean limited = false, free = false;
      for (int step = 1; step <= 14; ++step) {
        final double loss = step == 4 ? 4 : training.backward(step); // once below the bound
        double square = 0;
        for (int i = 0; i < training.count(); ++i) square += training.gradient(i) * training.gradient(i);
        final double wanted = Math.min(limit, Math.max(0, loss - 5) / (0.2 * square));
        assertEquals(wanted, optimizer.step(loss).learnedScale(), 1e-12, "step " + step);
        limited |= step > 1 && wanted == limit;
        free |= wanted > 0 && wanted < limit;
        if (wanted > 0) limit = Math.sqrt(3) * wanted;
        assertEquals(limit, optimizer.scalars().get("eta_max")[0], 1e-12);
      }
      assertTrue(limited && free);
    }
  }

  /** Vaswani et al.: where a search begins, after a step that ended at eta. */
  @Test
  void resetsOfTheStochasticLineSearch() {
    final double growth = Math.pow(4, 1 / 3.0);
    final double[] begins = {1, 0.5, 0.5 * growth};
    for (int reset = 0; reset < 3; ++reset) {
      try (Training training = new Training(DataType.FLOAT64, 0.5, 100)) {
        final double[] start = training.values();
        final List<Double> guesses = new ArrayList<>();
        final Armijo builder =
            Armijo.stochastic(
                SGD.defaults(),
                () -> {
                  guesses.add((training.get(0) - start[0]) / -training.gradient(0));
                  return guesses.size() == 1 ? 1e9 : -1e9; // the first trial of all fails
                },
                10).decrease(0.5);
        if (reset == 0) builder.resetToLargest();
        if (reset == 1) builder.resetToPrevious();
        if (reset == 2) builder.resetByEpoch(4, 3).firstGuess(2);
        try (Optimizer optimizer = builder.build(training.on(device()))) {
          optimizer.step(training.backward(1));
          final double first = reset == 2 ? 2 : 1;
          assertEquals(0.5 * first, optimizer.report().learnedScale(), 1e-15);
          training.backward(2);
          System.arraycopy(training.values(), 0, start, 0, start.length);
          guesses.add(0.0);
          optimizer.step(1);
          assertEquals(first * begins[reset], guesses.get(3), 1e-9);
        }
      }
    }
  }

  /** c of the stochastic line search is 0.1: on a bowl of curvature 1 a rate is accepted from 2 (1 - c) = 1.8 on downwards. */
  @Test
  void theConditionOfTheStochasticLineSearch() {
    try (Training training = new Training(DataType.FLOAT64, 0, 100)) {
      final LossFunction loss = training::loss;
      try (Optimizer optimizer = Armijo.stochastic(SGD.defaults(), loss, 10).firstGuess(3).build(training.on(device()))) {
        final double eta = optimizer.step(training.backward(1)).learnedScale();
        double wanted = 3;
        while (wanted > 1.8) wanted *= 0.9;
        assertEquals(wanted, eta, 1e-15);
      }
    }
  }

  /** A rate a thousand times too small finds its way, globally and for each tensor by itself. */
  @Test
  void newtonFromFarBelow() {
    for (Scope scope : new Scope[] {Scope.ALL, Scope.TENSOR}) {
      try (Training training = new Training(DataType.FLOAT64, 0, 90, 40);
          Optimizer optimizer = NewtonRate.tuning(SGD.defaults(), 1e-4).epoch(25).scope(scope).build(training.on(device()))) {
        final double first = training.backward(1);
        for (int step = 1; step <= 80; ++step) optimizer.step(training.backward(step));
        assertTrue(training.loss() < 1e-3 * first, scope + ": " + training.loss() + " of " + first);
        assertEquals(scope == Scope.ALL ? 1 : 2, optimizer.report().scopes());
      }
    }
  }

  @Test
  void words() {
    final Rule[] rules = {SGD.defaults(), SGD.defaults().momentum(0.9), RMSProp.defaults(), AdamW.defaults()};
    final double[][] expected = {{6, 9, 18, 4, 6, 15, 5}, {9, 12, 21, 6, 9, 18, 7}, {9, 12, 21, 6, 9, 18, 7}, {12, 15, 24, 8, 12, 21, 9}};
    for (int r = 0; r < rules.length; ++r) {
      final List<TunerBuilder<?>> builders =
          List.of(
              CDAT.tuning(rules[r]).curvature(u -> 1),
              CDAT.tuning(rules[r]).hessian(CurvatureTunersTest::twice),
              CDAT.tuning(rules[r]).finiteDifference(g -> {}),
              Polyak.tuning(rules[r]),
              Polyak.tuning(rules[r]).alongUpdate(),
              Armijo.tuning(rules[r], () -> 0),
              NewtonRate.tuning(rules[r], 1).interval(5));
      for (int b = 0; b < builders.size(); ++b) {
        try (Training training = new Training(DataType.FLOAT32, 0, 10);
            Optimizer optimizer = builders.get(b).build(training.on(device()))) {
          assertEquals(expected[r][b], optimizer.wordsPerElement(), rules[r] + ", " + b);
        }
      }
    }
    try (Training training = new Training(DataType.FLOAT32, 0, 10);
        Optimizer optimizer = CDAT.tuning(SGD.defaults()).every(10).curvature(u -> 1).build(training.on(device()))) {
      assertEquals(1 + (6 + 9 * 3) / 10.0, optimizer.wordsPerElement(), 1e-12);
    }
  }

  @Test
  void badValuesAreRefused() {
    final SGD sgd = SGD.defaults();
    final Map<String, Runnable> wrong = new LinkedHashMap<>();
    wrong.put("sigma", () -> CDAT.tuning(sgd).sigma(0));
    wrong.put("ema", () -> CDAT.tuning(sgd).ema(1));
    wrong.put("epsilon", () -> CDAT.tuning(sgd).epsilon(Double.NaN));
    wrong.put("maxRate", () -> CDAT.tuning(sgd).maxRate(-1));
    wrong.put("every", () -> CDAT.tuning(sgd).every(0));
    wrong.put("step", () -> CDAT.tuning(sgd).finiteDifference(g -> {}, 0));
    wrong.put("multiple of its rate", () -> ExactSharpness.tuning(MADGRAD.defaults(), CurvatureTunersTest::twice));
    wrong.put("coefficient", () -> Polyak.spsMax(sgd, 0, 1));
    wrong.put("gamma must be finite and at least 1, not 0.5", () -> Polyak.tuning(sgd).smoothing(0.5, 3));
    wrong.put("gamma must be finite and at least 1, not Infinity", () -> Armijo.tuning(sgd, () -> 0).resetByEpoch(1 / 0.0, 3));
    wrong.put("stepsPerEpoch must be 1 or more, not -1", () -> Armijo.stochastic(sgd, () -> 0, -1));
    wrong.put("eta must", () -> NewtonRate.tuning(sgd, 1).eta(0));
    wrong.put("form must", () -> NewtonRate.firstOrder(sgd, 1, NewtonRate.Variant.PAPER, 1));
    wrong.put("bound", () -> Polyak.tuning(sgd).bound(Double.NEGATIVE_INFINITY));
    wrong.put("maxRate must", () -> Polyak.tuning(sgd).maxRate(0));
    wrong.put("sufficientDecrease", () -> Armijo.tuning(sgd, () -> 0).sufficientDecrease(1));
    wrong.put("increase", () -> Armijo.tuning(sgd, () -> 0).increase(0.5));
    wrong.put("decrease must", () -> Armijo.tuning(sgd, () -> 0).decrease(1));
    wrong.put("allowedIncrease", () -> Armijo.tuning(sgd, () -> 0).allowedIncrease(-1));
    wrong.put("firstGuess", () -> Armijo.tuning(sgd, () -> 0).firstGuess(Double.POSITIVE_INFINITY));
    wrong.put("maxTrials", () -> Armijo.tuning(sgd, () -> 0).maxTrials(0));
    wrong.put("initialRate", () -> NewtonRate.tuning(sgd, 0));
    wrong.put("gamma", () -> NewtonRate.tuning(sgd, 1).gamma(1.1));
    wrong.put("interval", () -> NewtonRate.tuning(sgd, 1).interval(0));
    wrong.put("stepsPerEpoch", () -> NewtonRate.tuning(sgd, 1).epoch(0));
    wrong.put("share", () -> NewtonRate.tuning(sgd, 1).epoch(10, 0));
    wrong.put("maxFactor", () -> NewtonRate.tuning(sgd, 1).maxFactor(0.5));
    wrong.put("rate bounds", () -> NewtonRate.tuning(sgd, 1).rateBounds(2, 1));
    wrong.put("relative", () -> ExactSharpness.tuning(sgd, CurvatureTunersTest::twice).tolerance(0, 5));
    wrong.put("mostProducts", () -> ExactSharpness.tuning(sgd, CurvatureTunersTest::twice).tolerance(1, 0));
    wrong.forEach(
        (part, call) -> {
          final String message = assertThrows(IllegalArgumentException.class, call::run, part).getMessage();
          assertTrue(message.contains(part), message);
        });
    assertThrows(NullPointerException.class, () -> Armijo.tuning(sgd, null));
    assertThrows(NullPointerException.class, () -> CDAT.tuning(sgd).hessian(null));
    assertThrows(NullPointerException.class, () -> CDAT.tuning(null));
  }

  @Test
  void whatIsMissingIsNamedWhenItIsBuilt() {
    try (Training training = new Training(DataType.FLOAT32, 0, 10);
        TestTensors half = TestTensors.of(DataType.BFLOAT16, 10)) {
      assertMessage("curvature", () -> CDAT.tuning(SGD.defaults()).build(training.on(device())));
      assertMessage("interval or epoch", () -> NewtonRate.tuning(SGD.defaults(), 1).build(training.on(device())));
      assertMessage(
          "needs eta",
          () -> NewtonRate.tuning(SGD.defaults(), 1).interval(1).variant(NewtonRate.Variant.FIRST_ORDER_ADDITIVE)
              .build(training.on(device())));
      assertMessage("bounds", () -> NewtonRate.tuning(SGD.defaults(), 1).interval(1).rateBounds(2, 3).build(training.on(device())));
      assertMessage("BFLOAT16", () -> CDAT.tuning(SGD.defaults()).finiteDifference(g -> {}).build(half.on(device())));
      try (Optimizer optimizer = Armijo.tuning(SGD.defaults(), () -> 0).build(training.on(device()))) {
        assertTrue(assertThrows(IllegalStateException.class, optimizer::step).getMessage().contains("step(loss)"));
      }
    }
  }

  private static void assertMessage(String part, Runnable call) {
    final String message = assertThrows(IllegalArgumentException.class, call::run).getMessage();
    assertTrue(message.contains(part), message);
  }

  @Test
  void vectorsAreTheLibrarysMemory() {
    final ParameterVector[] first = new ParameterVector[1];
    try (Training training = new Training(DataType.FLOAT32, 0.5, 30, 0, 20);
        Optimizer optimizer =
            CDAT.tuning(SGD.defaults())
                .curvature(
                    u -> {
                      assertNotEquals(0, u.address(0));
                      assertEquals(DataType.FLOAT32, u.type(2));
                      assertEquals(20, u.count(1)); // one group after the other
                      assertEquals(0, u.count(2));
                      assertEquals(30, u.floats(0).capacity());
                      assertThrows(IllegalArgumentException.class, () -> u.doubles(0));
                      if (first[0] == null) first[0] = u;
                      assertTrue(first[0] == u);
                      for (int i = 0; i < 30; ++i) assertEquals((float) -training.gradient(i), u.floats(0).get(i));
                      return square(u);
                    })
                .build(training.on(device()))) {
      for (int step = 1; step <= 2; ++step) optimizer.step(training.backward(step));
    }
  }
}
