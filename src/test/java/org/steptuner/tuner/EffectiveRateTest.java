// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.function.DoubleUnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.Schedule;
import org.steptuner.Scope;
import org.steptuner.StepReport;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.SGD;

/** What a report calls the effective rate is what the rule's direction was multiplied by, whatever the tuner learns. */
class EffectiveRateTest {
  private static final int[] SIZES = {40, 60, 3};
  private static final DoubleUnaryOperator GRADIENT = g -> g;
  private static final AdamW SIGNS = AdamW.defaults().betas(0, 0).weightDecay(0);

  private record Case(String name, TunerBuilder<?> tuner, DoubleUnaryOperator direction, int steps) {}

  private static Case gradients(String name, TunerBuilder<?> tuner) {
    return new Case(name, tuner, GRADIENT, 8);
  }

  private static Case signs(String name, TunerBuilder<?> tuner, int steps) {
    return new Case(name, tuner, Math::signum, steps);
  }

  static Stream<Arguments> tuners() {
    final SGD sgd = SGD.defaults();
    final AdamW adam = AdamW.defaults().weightDecay(0);
    return Stream
        .of(
            gradients("fixed rate", FixedRate.of(0.1, sgd)),
            // Later steps of Mechanic are differences of scaled sums of directions.
            new Case("Mechanic", Mechanic.tuning(sgd).baseRate(0.3), GRADIENT, 1),
            gradients("Hypergradient", Hypergradient.tuning(sgd, 0.1, 1e-4)),
            gradients("NewtonRate", NewtonRate.tuning(sgd, 0.1).interval(2)),
            gradients("Polyak", Polyak.tuning(sgd)),
            gradients("Armijo", Armijo.tuning(sgd, () -> -1e9)),
            gradients("CDAT", CDAT.tuning(sgd).curvature(along -> 7)),
            gradients("D-Adaptation, SGD", DAdaptation.tuning(sgd).initialRate(0.1)),
            gradients("D-Adaptation, per tensor", DAdaptation.tuning(sgd).initialRate(0.1).scope(Scope.TENSOR)),
            signs("D-Adaptation, Adam", DAdaptation.tuning(SIGNS).initialRate(0.01), 8),
            signs("D-Adaptation, AdaGrad", DAdaptation.tuning(AdaGrad.defaults().epsilon(1e-30)).initialRate(0.01), 1),
            signs("D-Adaptation, Lion", DAdaptation.tuning(Lion.defaults().betas(0, 0)).initialRate(0.01), 8),
            signs("Prodigy", Prodigy.tuning(adam).biasCorrection(true).initialRate(0.01), 1),
            new Case("D-Adaptation, dual averaging", DAdaptation.dualAveraging().initialRate(0.1), GRADIENT, 1),
            gradients("D-Adaptation, gradient descent", DAdaptation.gradientDescent().initialRate(0.1)),
            gradients("Prodigy, gradient descent", Prodigy.gradientDescent().initialRate(0.1)),
            gradients("GradaGrad", GradaGrad.tuning(sgd, 0.1)),
            signs("GradaGrad, diagonal", GradaGrad.tuning(sgd, 0.1).form(GradaGrad.Form.DIAGONAL), 1),
            gradients("AdaGrad-Norm", GradaGrad.adaGradNorm(sgd, 0.1)),
            gradients("DoG", DoG.tuning(sgd).relativeDistance(0.1)),
            gradients("L-DoG", DoG.layerwise(sgd).relativeDistance(0.1)),
            gradients("DoWG", DoG.weighted(sgd).relativeDistance(0.1)),
            gradients("MoMo", MoMo.tuning(sgd)),
            signs("MoMo-Adam", MoMo.tuning(adam), 1),
            gradients("moving target", MovingTarget.tuning(sgd).parts(2).target(5)),
            gradients("MetaOptimize", MetaOptimize.tuning(sgd).initialStepSize(0.1)),
            new Case(
                "MetaOptimize, per weight", MetaOptimize.tuning(sgd).initialStepSize(0.1).perWeight(), GRADIENT, 1))
        .map(one -> Arguments.of(one.name, one));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("tuners")
  void isWhatTheDirectionIsMultipliedBy(String name, Case of) {
    of.tuner.schedule(Schedule.of(1, 0.5, 0.75));
    try (Training training = new Training(DataType.FLOAT64, 0.3, SIZES); Optimizer optimizer = of.tuner.build(training.on(Device.cpu(1)))) {
      assertTrue(Double.isNaN(optimizer.report().effectiveRate()), "before the first step");
      for (int step = 1; step <= of.steps; ++step) {
        final double loss = training.backward(step);
        final double[] before = training.values();
        final StepReport report = optimizer.step(loss);
        assertTrue(report.effectiveRate() > 0, "the step must be one");
        for (int i = 0, tensor = 0, end = SIZES[0]; i < before.length; ++i) {
          if (i == end) end += SIZES[++tensor];
          final double rate = report.effectiveRate(report.scopes() == 1 ? 0 : tensor == 0 ? 0 : tensor == 1 ? 2 : 1);
          final double moved = before[i] - training.get(i);
          assertEquals(rate * of.direction.applyAsDouble(training.gradient(i)), moved, 1e-6 * rate, "step " + step + ", element " + i);
        }
      }
    }
  }

  /** A group's factor is not in it; a skipped step leaves it; a restored run has none before its first step; a copy keeps it. */
  @Test
  void ofGroupsSkippedStepsAndCopies(@TempDir Path folder) {
    try (Training training = new Training(DataType.FLOAT64, 0.3, SIZES);
        Optimizer optimizer =
            FixedRate.of(0.4, SGD.defaults()).schedule(Schedule.of(1, 0.5)).group("second", SGD.defaults(), 0.25)
                .build(training.on(Device.cpu(1)))) {
      training.backward(1);
      final double[] before = training.values();
      final StepReport first = optimizer.step().copy();
      assertEquals(0.4, first.effectiveRate());
      assertEquals(0.4 * 0.25 * training.gradient(SIZES[0]), before[SIZES[0]] - training.get(SIZES[0]), 1e-15);
      training.backward(2);
      training.setGradient(1, Double.NaN);
      assertEquals(0.4, optimizer.step().effectiveRate());
      training.backward(3);
      assertEquals(0.2, optimizer.step().effectiveRate());
      assertEquals(0.4, first.effectiveRate());
      optimizer.save(folder.resolve("state"));
      optimizer.restore(folder.resolve("state"));
      assertTrue(Double.isNaN(optimizer.report().effectiveRate()));
    }
  }
}
