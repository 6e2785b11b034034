// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.steptuner.DataType.FLOAT64;

import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.SGD;
import org.steptuner.rule.SuppliedUpdate;
import org.steptuner.tuner.Armijo;
import org.steptuner.tuner.CDAT;
import org.steptuner.tuner.DAdaptation;
import org.steptuner.tuner.DoG;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.GradaGrad;
import org.steptuner.tuner.Hypergradient;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.MetaCurvature;
import org.steptuner.tuner.MetaOptimize;
import org.steptuner.tuner.MoMo;
import org.steptuner.tuner.NewtonRate;
import org.steptuner.tuner.Polyak;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/** When a step adds its sums over processes, and how often. What comes of it is in ProcessesTest. */
@Timeout(60)
class SumReducerTest {
  private static double gradient(int i, int step) {
    return 1 + Math.sin(i + step) / 2;
  }

  /** A network that fails once in a step: the step is lost, and when it is made again training goes on as if it had not failed. */
  @Test
  void aReducerThatThrowsCostsNothing() {
    for (int failing = 1; failing <= 6; ++failing) {
      final int[] calls = {0};
      final int bad = failing;
      final SumReducer reducer =
          (sums, count) -> {
            if (++calls[0] == bad) throw new UnsupportedOperationException("connection lost");
          };
      try (TestTensors lossy = TestTensors.of(FLOAT64, 100).parameters(i -> 1);
          TestTensors safe = TestTensors.of(FLOAT64, 100).parameters(i -> 1);
          Optimizer one = Mechanic.tuning(AdamW.defaults()).sumReducer(reducer).build(lossy.on(Device.cpu(1)));
          Optimizer other = Mechanic.tuning(AdamW.defaults()).build(safe.on(Device.cpu(1)))) {
        int failures = 0;
        for (int step = 0; step < 6; ++step) {
          final int t = step;
          lossy.gradients(i -> gradient(i, t));
          safe.gradients(i -> gradient(i, t));
          try {
            one.step();
          } catch (UnsupportedOperationException lost) {
            ++failures;
            one.step();
          }
          other.step();
        }
        assertEquals(1, failures);
        assertEquals(other.report().learnedScale(), one.report().learnedScale(), "call " + failing + " failed");
        assertArrayEquals(safe.values(), lossy.values(), "call " + failing + " failed");
      }
    }
  }

  /**
   * How often a step adds sums over processes: once where all sums are known together, and once more where a guard must decide before the
   * sweep that sums the rest.
   */
  @Test
  void aStepReducesOnceAndOnceForItsGuard() {
    final Map<TunerBuilder<?>, Integer> expected = new LinkedHashMap<>();
    expected.put(FixedRate.of(0.01, AdamW.defaults()), 1);
    expected.put(FixedRate.of(0.01, AdamW.defaults()).nonFinite(NonFinite.UNCHECKED), 0);
    expected.put(Mechanic.tuning(AdamW.defaults()).gradientL1(true), 1);
    expected.put(Mechanic.tuning(AdamW.defaults()).scope(Scope.TENSOR).clipNorm(1), 1);
    expected.put(Mechanic.tuning(AdamW.defaults()).variant(Mechanic.Variant.TORCH), 2);
    expected.put(Prodigy.tuning(AdamW.defaults()).gradientL1(true), 1);
    expected.put(DAdaptation.tuning(AdamW.defaults()), 2);
    expected.put(DAdaptation.dualAveraging(), 1);
    expected.put(MoMo.tuning(AdamW.defaults()), 1);
    expected.put(MoMo.tuning(RMSProp.defaults()), 1);
    expected.put(Hypergradient.tuning(AdamW.defaults(), 0.01, 1e-6), 1);
    expected.put(Hypergradient.tuning(SGD.defaults().weightDecay(0.1), 0.01, 1e-6).scope(Scope.TENSOR).clipNorm(1), 1);
    expected.put(GradaGrad.tuning(SGD.defaults().weightDecay(0.1), 0.01).scope(Scope.TENSOR).clipNorm(1), 1);
    expected.put(GradaGrad.adaGradNorm(SGD.defaults(), 0.01).gradientL1(true), 1);
    expected.put(GradaGrad.tuning(SGD.defaults(), 0.01).form(GradaGrad.Form.DIAGONAL), 2);
    expected.put(DoG.tuning(SGD.defaults().weightDecay(0.1)).gradientL1(true).clipNorm(1), 1); // with the distance of the last step
    expected.put(NewtonRate.tuning(SGD.defaults(), 0.01).interval(1), 2);
    expected.put(MetaOptimize.tuning(AdamW.defaults()), 2);
    expected.put(MetaOptimize.tuning(AdamW.defaults()).perWeight(), 2);
    expected.put(MetaOptimize.tuning(SGD.defaults()).meta(SGD.defaults()).curvature(MetaCurvature.DIAGONAL)
        .approximation(MetaOptimize.Approximation.TWO_BY_TWO).nonFinite(NonFinite.UNCHECKED), 1);
    expected.put(MetaOptimize.tuning(SGD.defaults()).curvature(MetaCurvature.DIAGONAL), 2); // gradient and curvature together
    expected.put(MetaOptimize.tuning(AdamW.defaults()).curvature(MetaCurvature.DIAGONAL)
        .approximation(MetaOptimize.Approximation.TWO_BY_TWO), 2);
    expected.put(Polyak.tuning(SGD.defaults()), 1);
    expected.put(Polyak.spsMax(new SuppliedUpdate(), 0.5, 0.01).alongUpdate(), 1);
    expected.put(Armijo.tuning(SGD.defaults(), () -> -1e300), 2); // with the loss of its one trial
    expected.put(CDAT.tuning(AdamW.defaults()).curvature(u -> 1), 2); // the curvature is asked for along an accepted step
    expected.forEach(
        (builder, wanted) -> {
          final int[] calls = {0};
          builder.sumReducer((sums, count) -> ++calls[0]);
          try (TestTensors tensors =
              new TestTensors().add("a", FLOAT64, 100).group("b").add("b", FLOAT64, 10).parameters(i -> 1).gradients(i -> 0.1);
              Optimizer optimizer = builder.build(tensors.on(Device.cpu(1)))) {
            optimizer.step(1);
            calls[0] = 0;
            optimizer.step(1);
            assertEquals(wanted, calls[0], optimizer.scalars().keySet() + " of " + builder.getClass().getSimpleName());
          }
        });
  }

  /** Looking at an optimizer is a matter of one rank: it must not wait for the others. */
  @Test
  void readingScalarsReducesNothing() {
    final int[] calls = {0};
    try (TestTensors tensors = TestTensors.of(FLOAT64, 100).gradients(i -> 1);
        Optimizer optimizer =
            Mechanic.tuning(AdamW.defaults()).sumReducer((sums, count) -> ++calls[0]).build(tensors.on(Device.cpu(1)))) {
      optimizer.step();
      final int after = calls[0];
      optimizer.scalars();
      assertEquals(after, calls[0], "scalars() called the reducer");
    }
  }
}
