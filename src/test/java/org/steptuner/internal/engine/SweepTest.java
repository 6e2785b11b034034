// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.Refusal.assertRefused;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Scope;
import org.steptuner.TestTensors;
import org.steptuner.rule.AdamW;

/** Coefficients are put, and sums taken, by name; a name that the formula lacks or was never given is said. */
class SweepTest {
  private static TestTensors tensors() {
    return new TestTensors().add("a", DataType.FLOAT64, 3).add("b", DataType.FLOAT64, 5).parameters(i -> 1).gradients(i -> 2);
  }

  private static Plan plan(TestTensors tensors, Scope scope, String... slots) {
    return new Plan(tensors.on(Device.cpu(1)), List.of(slots), scope);
  }

  @Test
  void aPutMayComeInAnyOrder() {
    final double[][] ends = new double[2][];
    for (int order = 0; order < 2; ++order)
      try (TestTensors tensors = tensors(); Plan plan = plan(tensors, Scope.ALL)) {
        final Sweep sweep = plan.bind("fixed_rate", "sgd");
        if (order == 0) sweep.put("gradientScale", 0.5).put("rate", 0.1).put("weightDecay", 0.25);
        else sweep.put("weightDecay", 0.25).put("rate", 9).put("gradientScale", 0.5).put(new String("rate"), 0.1);
        sweep.setAll();
        sweep.run();
        ends[order] = tensors.values();
      }
    assertEquals(1 - 0.1 * (0.5 * 2 + 0.25 * 1), ends[0][0], 1e-15);
    assertEquals(ends[0][7], ends[1][7]);
  }

  @Test
  void unknownAndMissingNamesAreNamed() {
    try (TestTensors tensors = tensors(); Plan plan = plan(tensors, Scope.ALL)) {
      final Sweep sweep = plan.bind("fixed_rate", "sgd");
      assertRefused(IllegalArgumentException.class, () -> sweep.put("momentum", 1), "'momentum'", "weightDecay");
      sweep.put("gradientScale", 1).put("rate", 0.1);
      assertRefused(IllegalStateException.class, sweep::setAll, "'weightDecay'", "never put");
      assertRefused(IllegalArgumentException.class, () -> sweep.sum("gradientSquare"), "'gradientSquare'");
      assertRefused(IllegalArgumentException.class, () -> plan.bind("fixed_rate", "newton"), "newton");
    }
  }

  @Test
  void segmentsHaveRowsOfTheirOwn() {
    try (TestTensors tensors = tensors(); Plan plan = plan(tensors, Scope.TENSOR)) {
      final Sweep sweep = plan.bind("fixed_rate", "sgd");
      sweep.put("gradientScale", 1).put("weightDecay", 0).put("rate", 0.5);
      sweep.set(0);
      sweep.put("rate", 0.25);
      sweep.set(1);
      sweep.run();
      assertEquals(0, tensors.parameters(0).get(0));
      assertEquals(0.5, tensors.parameters(1).get(0));
      final Sweep norm = plan.bind("gradient_norm", "");
      assertFalse(norm.sums("gradientL1"));
      norm.run();
      norm.await();
      assertEquals(12, norm.sum("gradientSquare").of(0));
      assertEquals(20, norm.sum("gradientSquare").of(1));
      assertEquals(32, norm.sum("gradientSquare").total());
    }
  }

  @Test
  void aPrefixGivesTheMetaRuleItsOwnNames() {
    try (TestTensors tensors = tensors(); Plan plan = plan(tensors, Scope.ALL, "trace", "logRatio", "metaMomentum", "metaSquare")) {
      final Sweep sweep = plan.bind("metaoptimize_per_weight_adam", "sgd");
      assertTrue(sweep.coefficients().contains("metaMomentum"), sweep.toString());
      sweep.prefixed("meta").put("momentum", 0.5).put("discount", 0.5);
      assertRefused(IllegalArgumentException.class, () -> sweep.prefixed("meta").put("rate", 1), "'rate'");
    }
  }

  /** The names of a rule's slots are those of the formula's state, wherever its other operands lie. */
  @Test
  void slotsAreTheOperandsThatAreState() {
    assertEquals(List.of("momentum", "square"), Kernel.slotsOf(AdamW.defaults().kernel()));
    assertEquals(List.of("momentum", "slowMomentum", "square"), Kernel.slotsOf("ademamix"));
    assertEquals(List.of("trace"), Kernel.slotsOf("metaoptimize_curved", "sgd"));
    assertEquals(List.of(), Kernel.slotsOf("supplied"));
    assertEquals(List.of("displacement", "sum"), Kernel.slotsOf("prodigy_observe_stored_sliced", "adam"));
    assertTrue(Kernel.takesUpdates("supplied"));
    assertFalse(Kernel.takesUpdates("adam"));
  }
}
