// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.ParameterSet;
import org.steptuner.Scope;
import org.steptuner.SumReducer;
import org.steptuner.TestTensors;

/** Sums go to the term of their name, whatever else a sweep sums; all terms of a step go over the processes in one call. */
class ReductionTest {
  private static final List<String> NAMES = List.of("a", "b", "c");

  // Groups out of order: segments, groups and tensors are then numbered differently.
  private static TestTensors tensors() {
    return new TestTensors()
        .add("a", DataType.FLOAT64, 2)
        .group("second")
        .add("b", DataType.FLOAT64, 3)
        .group(ParameterSet.DEFAULT_GROUP)
        .add("c", DataType.FLOAT64, 4)
        .gradients(i -> i % 2 == 0 ? 2 : -2);
  }

  private static double[] perScope(Scope scope, SumReducer reducer, boolean l1) {
    try (TestTensors tensors = tensors(); Plan plan = new Plan(tensors.on(Device.cpu(1)), List.of("delta"), scope)) {
      plan.fill("delta", 0.5);
      final Sweep sweep = plan.bind(l1 ? "mechanic_observe_l1" : "mechanic_observe", "");
      final List<String> names = scope == Scope.ALL ? List.of() : NAMES.subList(0, plan.scopes());
      final Reduction sums = new Reduction(plan, reducer == null ? null : new Processes(reducer, Map.of(), names, List.of()));
      final Reduction.Term square = sums.perScope(sweep.sum("gradientSquare"));
      final Reduction.Term own = sums.perScope();
      final Reduction.Term product = sums.perScope(sweep.sum("deltaGradient"));
      final Reduction.Term norm = l1 ? sums.overall(sweep.sum("gradientL1")) : sums.overall();
      for (int step = 0; step < 2; ++step) { // what a step added is gone in the next one
        sweep.run();
        sweep.await();
        sums.collect();
        own.add(0, 7);
        if (!l1) norm.set(0, 18);
        sums.reduce();
      }
      assertEquals(7 * (reducer == null ? 1 : 10), own.of(0));
      assertEquals(18 * (reducer == null ? 1 : 10), norm.of(0));
      assertTrue(sums.isFinite());
      final double[] all = new double[2 * plan.scopes()];
      for (int s = 0; s < plan.scopes(); ++s) {
        all[s] = square.of(s);
        all[plan.scopes() + s] = product.of(s);
      }
      assertEquals(Arrays.stream(all, 0, plan.scopes()).sum(), square.total());
      own.set(0, Double.NaN);
      assertFalse(sums.isFinite());
      return all;
    }
  }

  @Test
  void everySumGoesToItsTerm() {
    for (boolean l1 : new boolean[] {false, true}) {
      assertArrayEquals(new double[] {36, 1}, perScope(Scope.ALL, null, l1));
      assertArrayEquals(new double[] {24, 12, 0, 1}, perScope(Scope.GROUP, null, l1));
      assertArrayEquals(new double[] {8, 12, 16, 0, 1, 0}, perScope(Scope.TENSOR, null, l1));
    }
  }

  @Test
  void allTermsGoOverTheProcessesAtOnce() {
    final List<Integer> counts = new ArrayList<>();
    final SumReducer tenfold = (sums, count) -> {
      counts.add(count);
      for (int i = 0; i < count; ++i) sums[i] *= 10;
    };
    assertArrayEquals(new double[] {80, 120, 160, 0, 10, 0}, perScope(Scope.TENSOR, tenfold, true));
    final List<Integer> steps = counts.subList(counts.size() - 2, counts.size());
    assertEquals(List.of(23, 23), steps, "three terms of three scopes and one over everything, and the check, once a step");
    assertEquals(1 + 15 + 1 + 2, counts.size(), "with the agreement, which is reached once");
  }
}
