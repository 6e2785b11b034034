// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.DataType;
import org.steptuner.NonFinite;
import org.steptuner.Optimizer;
import org.steptuner.TestDevices;
import org.steptuner.TestTensors;
import org.steptuner.tuner.FixedRate;

/**
 * The slips that Lion implementations are known for: the sign of +0, -0 and NaN, in vectors and in their tails; coupled instead of
 * decoupled decay; the sign taken of the new momentum.
 */
class LionTest {
  // Long enough for whole vectors and a tail on every instruction set.
  private static final int ELEMENTS = 165;

  private static final List<DataType> TYPES = List.of(DataType.FLOAT32, DataType.FLOAT64, DataType.BFLOAT16);

  static Stream<Arguments> devicesAndTypes() {
    return TestDevices.all().stream()
        .filter(device -> !device.name().matches(".* x [23]"))
        .flatMap(device -> TYPES.stream().map(type -> Arguments.of(device, type)));
  }

  @ParameterizedTest
  @MethodSource("devicesAndTypes")
  void signs(TestDevices.Candidate candidate, DataType type) {
    final double tiny = type == DataType.FLOAT64 ? 1e-300 : 1e-30;
    final double[] gradients = {
      0, -0.0, Double.NaN, tiny, -tiny, 3, -3, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY
    };
    final double[] signs = {0, 0, Double.NaN, 1, -1, 1, -1, 1, -1};
    final int n = gradients.length;
    final FixedRate lion = FixedRate.of(0.25, Lion.defaults().betas(0, 0.99)).nonFinite(NonFinite.UNCHECKED);
    try (TestTensors tensors = TestTensors.of(type, ELEMENTS).parameters(i -> 1).gradients(i -> gradients[i % n]);
        Optimizer optimizer = lion.build(tensors.on(candidate.open()))) {
      optimizer.step();
      for (int i = 0; i < ELEMENTS; ++i)
        assertEquals(1 - 0.25 * signs[i % n], tensors.parameters(0).get(i), "gradient " + gradients[i % n]);
    }
  }

  /** A momentum of exactly 0 with a gradient of -0 makes a blend of +0 or -0, of which the sign must be 0 and not a sign bit. */
  @ParameterizedTest
  @MethodSource("devicesAndTypes")
  void zeroMovesNothing(TestDevices.Candidate candidate, DataType type) {
    for (double zero : new double[] {0.0, -0.0}) {
      try (TestTensors tensors = TestTensors.of(type, ELEMENTS).parameters(i -> i % 7 - 3).gradients(i -> zero);
          Optimizer optimizer = FixedRate.of(0.25, Lion.defaults()).build(tensors.on(candidate.open()))) {
        final double[] before = tensors.values();
        for (int step = 0; step < 3; ++step) optimizer.step();
        for (int i = 0; i < ELEMENTS; ++i) assertEquals(before[i], tensors.values()[i], 0.0);
      }
    }
  }

  /** Decay shrinks x beside the sign; were it added to the gradient it would turn the sign of a small gradient. */
  @ParameterizedTest
  @MethodSource("devicesAndTypes")
  void decayIsDecoupled(TestDevices.Candidate candidate, DataType type) {
    try (TestTensors tensors = TestTensors.of(type, ELEMENTS).parameters(i -> 8).gradients(i -> -1e-3);
        Optimizer optimizer = FixedRate.of(0.25, Lion.defaults().weightDecay(0.5)).build(tensors.on(candidate.open()))) {
      optimizer.step();
      for (double x : tensors.values()) assertEquals(8 - 0.25 * 0.5 * 8 + 0.25, x);
    }
  }

  /** The sign is that of beta1 m + (1 - beta1) g with the old momentum, which then takes beta2. */
  @ParameterizedTest
  @MethodSource("devicesAndTypes")
  void theBlendIsOfTheOldMomentum(TestDevices.Candidate candidate, DataType type) {
    try (TestTensors tensors = TestTensors.of(type, ELEMENTS).gradients(i -> 16);
        Optimizer optimizer = FixedRate.of(1, new Lion(0.75, 0.5, 0)).build(tensors.on(candidate.open()))) {
      optimizer.step(); // m = 8
      for (double x : tensors.values()) assertEquals(-1, x);
      tensors.gradients(i -> i % 2 == 0 ? -16 : -32); // blends 6 - 4 and 6 - 8; with the new momentum both would be negative
      optimizer.step(); // m = -4 and -12
      for (int i = 0; i < ELEMENTS; ++i) assertEquals(i % 2 == 0 ? -2 : 0, tensors.values()[i]);
      tensors.gradients(i -> i % 2 == 0 ? 16 : 24); // blends 1 and -3
      optimizer.step();
      for (int i = 0; i < ELEMENTS; ++i) assertEquals(i % 2 == 0 ? -3 : 1, tensors.values()[i]);
    }
  }
}
