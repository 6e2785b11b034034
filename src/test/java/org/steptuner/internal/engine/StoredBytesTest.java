// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT16;
import static org.steptuner.DataType.FLOAT32;

import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.ParameterRounding;
import org.steptuner.Scope;
import org.steptuner.TestTensors;

/** What a sweep moves, by type and storage, counted on paper; and how numbers are converted between files and slots. */
class StoredBytesTest {
  private static final int COUNT = 1000;

  private static Plan plan(TestTensors tensors, Precision precision, String... slots) {
    final Map<String, Storage> stored = new LinkedHashMap<>();
    for (String slot : slots) stored.put(slot, precision.isNarrow() ? Storage.BFLOAT16 : Storage.COMPUTED);
    if (precision.inParts()) stored.put(Plan.REST, Storage.REST);
    return new Plan(tensors.on(Device.cpu(1)), stored, Scope.ALL, precision);
  }

  /** AdamW: g once, x, m and v twice; of parameters in parts the rest twice, where they are bfloat16. */
  @ParameterizedTest
  @CsvSource({
    "FLOAT32, FLOAT32, FLOAT32, STOCHASTIC, 28, 7", "FLOAT32, FLOAT32, BFLOAT16, STOCHASTIC, 20, 7",
    "BFLOAT16, BFLOAT16, FLOAT32, STOCHASTIC, 22, 7", "BFLOAT16, BFLOAT16, BFLOAT16, STOCHASTIC, 14, 7",
    "BFLOAT16, BFLOAT16, BFLOAT16, IN_PARTS, 18, 9", "BFLOAT16, FLOAT32, FLOAT32, IN_PARTS, 28, 9",
    "FLOAT32, FLOAT32, BFLOAT16, IN_PARTS, 20, 7", "FLOAT16, FLOAT16, BFLOAT16, NEAREST, 14, 7"
  })
  void aStepOfAdamW(DataType type, DataType gradients, DataType storage, ParameterRounding rounding, int bytes, int words) {
    try (TestTensors tensors = new TestTensors().add("x", type, gradients, COUNT, 0);
        Plan plan = plan(tensors, new Precision(storage, rounding, 0), "momentum", "square")) {
      final Sweep sweep = plan.bind("fixed_rate", "adam");
      assertEquals((long) bytes * COUNT, sweep.bytes());
      assertEquals(words, sweep.words());
      assertEquals((long) storage.bytes() * COUNT, plan.bytes("square", 0));
      assertEquals(storage, plan.type("square", 0));
      assertEquals(type, plan.type(null, 0));
    }
  }

  /** What Java knows of a storage is what the native code does. */
  @ParameterizedTest
  @EnumSource
  void storages(DataType type) {
    final Map<String, Storage> stored = new LinkedHashMap<>();
    for (Storage storage : Storage.values()) stored.put(storage.name(), storage);
    try (TestTensors tensors = new TestTensors().add("x", type, FLOAT32, COUNT, 0);
        Plan plan = new Plan(tensors.on(Device.cpu(1)), stored, Scope.ALL, Precision.PLAIN)) {
      for (Storage storage : Storage.values()) {
        assertEquals(storage.bytes(type, COUNT), plan.bytes(storage.name(), 0), storage.name());
        assertEquals(storage.type(type), plan.type(storage.name(), 0), storage.name());
        assertEquals(storage, plan.storage(storage.name()));
      }
    }
  }

  /** FNV-1a, 64 bits: values that its authors publish. */
  @Test
  void keysOfNames() {
    assertEquals(0xcbf29ce484222325L, Plan.hash(""));
    assertEquals(0xaf63dc4c8601ec8cL, Plan.hash("a"));
    assertEquals(0x85944171f73967e8L, Plan.hash("foobar"));
    assertEquals(2, "\u00f6".getBytes(StandardCharsets.UTF_8).length);
    assertNotEquals(Plan.hash("\u00f6"), Plan.hash("o"));
  }

  /** Every pattern of 16 bits, and both sides of the middle between two, as the formats define them. */
  @Test
  void conversionToTheNearest() {
    for (int upper = 0; upper < 1 << 16; ++upper)
      for (int lower : new int[] {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff}) {
        final int bits = upper << 16 | lower;
        final float value = Float.intBitsToFloat(bits);
        final long actual = Conversion.nearest(bits) & 0xffffL;
        if (Float.isNaN(value)) assertEquals(true, Double.isNaN(org.steptuner.Formats.decode(BFLOAT16, actual)));
        else assertEquals(org.steptuner.Formats.encode(BFLOAT16, value), actual, Integer.toHexString(bits));
      }
  }

  /** Parts of any length, which end within elements. */
  @ParameterizedTest
  @EnumSource(value = DataType.class, names = {"FLOAT32", "BFLOAT16"})
  void conversionInParts(DataType from) {
    final DataType to = from == FLOAT32 ? BFLOAT16 : FLOAT32;
    for (int part : new int[] {1, 2, 3, 5, 7, 64, 4001}) {
      try (TestTensors tensors = new TestTensors().add("x", FLOAT16, COUNT);
          Plan plan = plan(tensors, new Precision(to, ParameterRounding.NEAREST, 0), "slot")) {
        final Conversion conversion = new Conversion(plan, "slot", 0, from);
        final byte[] all = new byte[COUNT * from.bytes()];
        for (int i = 0; i < COUNT; ++i) {
          final int bits = Float.floatToIntBits(i * 0.37f - 100);
          for (int b = 0; b < from.bytes(); ++b) all[i * from.bytes() + b] = (byte) (bits >> 8 * (b + 4 - from.bytes()));
        }
        for (int at = 0; at < all.length; at += part) {
          final int count = Math.min(part, all.length - at);
          final byte[] bytes = new byte[part];
          System.arraycopy(all, at, bytes, 0, count);
          conversion.take(at, bytes, count);
        }
        final byte[] taken = new byte[COUNT * to.bytes()];
        plan.read("slot", 0, 0, taken, taken.length);
        for (int i = 0; i < COUNT; ++i) {
          final int bits = Float.floatToIntBits(i * 0.37f - 100);
          final int expected = to == BFLOAT16 ? Conversion.nearest(bits) & 0xffff : bits & 0xffff0000;
          int actual = 0;
          for (int b = to.bytes() - 1; b >= 0; --b) actual = actual << 8 | taken[i * to.bytes() + b] & 0xff;
          assertEquals(expected, actual, "element " + i + " in parts of " + part);
        }
      }
    }
  }
}
