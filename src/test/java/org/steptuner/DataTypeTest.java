// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;

import java.util.SplittableRandom;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.rule.SGD;
import org.steptuner.rule.SuppliedUpdate;
import org.steptuner.tuner.FixedRate;

/** Conversions of element types are the IEEE ones: exact where they widen, to nearest with ties to even where they narrow. */
class DataTypeTest {
  private static final int PATTERNS = 1 << 16;

  static Stream<Arguments> devicesAndHalves() {
    return TestDevices.all().stream()
        .filter(device -> !device.name().matches(".* x [23]"))
        .flatMap(device -> Stream.of(BFLOAT16, FLOAT16).map(type -> Arguments.of(device, type)));
  }

  @ParameterizedTest
  @MethodSource("devicesAndHalves")
  void everyPatternPassesThroughAStepOfRateZero(TestDevices.Candidate candidate, DataType type) {
    try (TestTensors tensors = allPatterns(type)) {
      // rate * u = 0 * -1 = -0, the one number that changes nothing when it is added.
      tensors.updates(0).fill(i -> -1);
      step(FixedRate.of(0, new SuppliedUpdate()), tensors, candidate.open());
      assertUnchanged(tensors, type, false);
    }
  }

  /** With a rule that reads x: 0 times an infinite x is not a number, so only finite ones can pass. */
  @ParameterizedTest
  @MethodSource("devicesAndHalves")
  void everyFinitePatternPassesThroughSGDOfRateZero(TestDevices.Candidate candidate, DataType type) {
    try (TestTensors tensors = allPatterns(type)) {
      tensors.gradients(0).fill(i -> 1);
      step(FixedRate.of(0, SGD.defaults()), tensors, candidate.open());
      assertUnchanged(tensors, type, true);
    }
  }

  private static TestTensors allPatterns(DataType type) {
    final TestTensors tensors = TestTensors.of(type, PATTERNS);
    for (int i = 0; i < PATTERNS; ++i) tensors.parameters(0).setBits(i, i);
    return tensors;
  }

  private static void assertUnchanged(TestTensors tensors, DataType type, boolean finiteOnly) {
    for (int i = 0; i < PATTERNS; ++i) {
      final double value = Formats.decode(type, i);
      if (Double.isNaN(value)) assertTrue(Double.isNaN(tensors.parameters(0).get(i)), () -> type + " pattern");
      else if (!finiteOnly || Double.isFinite(value)) assertEquals(i, tensors.parameters(0).bits(i), type.name());
    }
  }

  @ParameterizedTest
  @MethodSource("devicesAndHalves")
  void everyPatternOfAGradientIsReadExactly(TestDevices.Candidate candidate, DataType type) {
    final Device device = candidate.open();
    for (DataType parameterType : new DataType[] {FLOAT32, FLOAT64})
      try (TestTensors tensors = new TestTensors().add("x", parameterType, type, PATTERNS, 1)) {
        for (int i = 0; i < PATTERNS; ++i) tensors.gradients(0).setBits(i, i);
        step(descent(), tensors, device);
        for (int i = 0; i < PATTERNS; ++i)
          assertEquals(0 - Formats.decode(type, i), tensors.parameters(0).get(i), type.name());
      }
  }

  /** Every value of the narrow type, every midpoint of two of them, and the float32 neighbours of both. */
  @ParameterizedTest
  @MethodSource("devicesAndHalves")
  void narrowingRoundsToNearestTiesToEven(TestDevices.Candidate candidate, DataType type) {
    final float[] values = new float[6 * PATTERNS];
    int n = 0;
    for (int i = 0; i < PATTERNS; ++i) {
      final float value = (float) Formats.decode(type, i);
      if (Float.isNaN(value) || Float.isInfinite(value)) continue;
      final double above = Formats.decode(type, i + 1 & 0xffff);
      // After the largest finite value comes what one more exponent would begin with; from the midpoint on it is infinity.
      final double next = Double.isFinite(above) ? above : Math.copySign(type == FLOAT16 ? 0x1p16 : 0x1p128, value);
      final float middle = (float) (value + (next - value) / 2);
      for (float v : new float[] {value, middle}) {
        values[n++] = v;
        values[n++] = Math.nextUp(v);
        values[n++] = Math.nextDown(v);
      }
    }
    assertRounded(values, n, type, candidate.open());
  }

  @ParameterizedTest
  @MethodSource("devicesAndHalves")
  void narrowingOfAnyFloat(TestDevices.Candidate candidate, DataType type) {
    final SplittableRandom random = new SplittableRandom(1);
    final float[] values = new float[200_000];
    for (int i = 0; i < values.length; ++i) values[i] = Float.intBitsToFloat(random.nextInt());
    final float[] special = {
      Float.MAX_VALUE, -Float.MAX_VALUE, Float.MIN_VALUE, -Float.MIN_VALUE, Float.MIN_NORMAL, Float.POSITIVE_INFINITY,
      Float.NEGATIVE_INFINITY, Float.NaN, Float.intBitsToFloat(0x7f800001), Float.intBitsToFloat(0xffffffff), 65504, 65519.996f,
      65520, -65520, 0x1p-24f, 0x1p-25f, Math.nextUp(0x1p-25f), 0x1p-14f, Math.nextDown(0x1p-14f)
    };
    System.arraycopy(special, 0, values, 0, special.length);
    assertRounded(values, values.length, type, candidate.open());
  }

  private static void assertRounded(float[] values, int n, DataType type, Device device) {
    try (TestTensors tensors = new TestTensors().add("x", type, FLOAT32, n, 1)) {
      for (int i = 0; i < n; ++i) tensors.gradients(0).setBits(i, Float.floatToRawIntBits(values[i]));
      step(descent(), tensors, device);
      for (int i = 0; i < n; ++i) {
        final float value = values[i];
        final Supplier<String> what = () -> value + " to " + type;
        // x = 0 - g: also for g = 0, where 0 + -0 = +0.
        final double expected = 0 - (double) value;
        if (Double.isNaN(expected)) assertTrue(Double.isNaN(tensors.parameters(0).get(i)), what);
        else assertEquals(Formats.encode(type, expected), tensors.parameters(0).bits(i), what);
      }
    }
  }

  @Test
  void gradientsOfFloat64AreRoundedToFloat32() {
    final SplittableRandom random = new SplittableRandom(2);
    try (TestTensors tensors = new TestTensors().add("x", FLOAT32, FLOAT64, 10_000, 1)) {
      final double[] special = {0x1.000001p0, 0x1.000003p0, 1e300, 0x1p-150};
      tensors.gradients(i -> i < special.length ? special[i] : random.nextDouble(-9, 9));
      step(descent(), tensors, Device.cpu(1));
      for (int i = 0; i < 10_000; ++i)
        assertEquals((float) -tensors.gradients(0).get(i) + 0f, (float) tensors.parameters(0).get(i));
    }
  }

  @Test
  void sizesAndStateTypes() {
    assertEquals(4, FLOAT32.bytes());
    assertEquals(8, FLOAT64.bytes());
    assertEquals(2, BFLOAT16.bytes());
    assertEquals(2, FLOAT16.bytes());
    assertEquals(FLOAT64, FLOAT64.stateType());
    for (DataType type : new DataType[] {FLOAT32, BFLOAT16, FLOAT16}) assertEquals(FLOAT32, type.stateType());
  }

  private static FixedRate descent() {
    return FixedRate.of(1, SGD.defaults()).nonFinite(NonFinite.UNCHECKED).parameterRounding(ParameterRounding.NEAREST);
  }

  private static void step(FixedRate settings, TestTensors tensors, Device device) {
    try (Optimizer optimizer = settings.build(tensors.on(device))) {
      optimizer.step();
    }
    tensors.assertFencesStand(device.name());
  }
}
