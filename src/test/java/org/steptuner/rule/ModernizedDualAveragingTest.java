// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT64;

import org.junit.jupiter.api.Test;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.ParameterRounding;
import org.steptuner.TestTensors;
import org.steptuner.tuner.FixedRate;

/** What the page of the rule says about it. */
class ModernizedDualAveragingTest {
  private static final double RATE = 1e-4;
  private static final int STEPS = 400;

  private static double after(Rule rule, DataType type) {
    try (TestTensors tensors = TestTensors.of(type, 5).parameters(i -> 1).gradients(i -> 1);
        Optimizer optimizer = FixedRate.of(RATE, rule).parameterRounding(ParameterRounding.NEAREST).build(tensors.on(Device.cpu(1)))) {
      for (int step = 0; step < STEPS; ++step) optimizer.step();
      return tensors.parameters(0).get(4);
    }
  }

  /** A gradient that stays the same takes z two thirds as far as plain descent. */
  @Test
  void thePullToTheStartTakesAThird() {
    final double descent = 1 - after(SGD.defaults(), FLOAT64);
    assertEquals(RATE * STEPS, descent, 1e-12);
    assertEquals(2 / 3.0, (1 - after(ModernizedDualAveraging.defaults().momentum(0), FLOAT64)) / descent, 2e-3);
  }

  /** A bfloat16 x below 1 has steps of 1/256: SGD's are lost where x goes to the nearest, and those of z add up. */
  @Test
  void stepsThatA16BitParameterLosesComeBack() {
    final ModernizedDualAveraging rule = ModernizedDualAveraging.defaults().momentum(0.5);
    assertEquals(1, after(SGD.defaults(), BFLOAT16));
    assertEquals(after(rule, FLOAT64), after(rule, BFLOAT16), 2 / 256.0);
    assertTrue(after(rule, BFLOAT16) < 1 - 3 / 256.0);
  }
}
