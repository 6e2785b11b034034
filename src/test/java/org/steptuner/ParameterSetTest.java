// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.READ;
import static java.nio.file.StandardOpenOption.WRITE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.MappedByteBuffer;
import java.nio.ShortBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.steptuner.rule.SGD;
import org.steptuner.rule.SuppliedUpdate;
import org.steptuner.tuner.FixedRate;

/** A parameter set is what was said, or a clear refusal: no address that could crash the process gets as far as a sweep. */
class ParameterSetTest {
  private static final Device CPU = Device.cpu(1);

  private static ByteBuffer direct(int bytes) {
    return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
  }

  private static void descend(ParameterSet parameters) {
    try (Optimizer optimizer = FixedRate.of(1, SGD.defaults()).build(parameters)) {
      optimizer.step();
    }
  }

  @Test
  void tensorsGroupsAndElements() {
    try (TestTensors tensors = TestTensors.of(FLOAT64, 10)) {
      final long x = tensors.parameters(0).address();
      final long g = tensors.gradients(0).address();
      final ParameterSet set =
          ParameterSet.on(CPU)
              .group("unused")
              .group("late")
              .add("a", x, g, 3, FLOAT64)
              .group(ParameterSet.DEFAULT_GROUP)
              .add("b", x + 24, FLOAT32, g + 24, BFLOAT16, 2)
              .group("late")
              .add("empty", 0, 0, 0, FLOAT16)
              .build();
      assertEquals(List.of("late", "default"), set.groups());
      assertEquals(5, set.elements());
      assertSame(CPU, set.device());
      assertEquals(
          List.of(
              new ParameterSet.Tensor("a", "late", x, FLOAT64, g, FLOAT64, 0, 3),
              new ParameterSet.Tensor("b", "default", x + 24, FLOAT32, g + 24, BFLOAT16, 0, 2),
              new ParameterSet.Tensor("empty", "late", 0, FLOAT16, 0, FLOAT16, 0, 0)),
          set.tensors());
      assertThrows(UnsupportedOperationException.class, () -> set.tensors().clear());
      assertThrows(UnsupportedOperationException.class, () -> set.groups().clear());
    }
  }

  @Test
  void aBuilderCanGoOnAfterBuild() {
    try (TestTensors tensors = TestTensors.of(FLOAT64, 10)) {
      final ParameterSet.Builder builder =
          ParameterSet.on(CPU).add("a", tensors.parameters(0).address(), tensors.gradients(0).address(), 3, FLOAT64);
      final ParameterSet first = builder.build();
      builder.add("b", tensors.parameters(0).address() + 24, tensors.gradients(0).address(), 3, FLOAT64);
      assertEquals(1, first.tensors().size());
      assertEquals(2, builder.build().tensors().size());
    }
  }

  @Test
  void buffersFromPositionToLimit() {
    final FloatBuffer x = direct(40).asFloatBuffer();
    final FloatBuffer g = direct(40).asFloatBuffer();
    for (int i = 0; i < 10; ++i) g.put(i, i + 1);
    // The ranges need not be the same ones, only as long; a read-only gradient will do.
    x.position(2).limit(5);
    g.position(6).limit(9);
    descend(ParameterSet.on(CPU).add("x", x, g.asReadOnlyBuffer()).build());
    assertEquals(2, x.position());
    assertEquals(5, x.limit());
    x.clear();
    for (int i = 0; i < 10; ++i) assertEquals(i < 2 || i >= 5 ? 0 : -(i + 5), x.get(i), "element " + i);
  }

  @Test
  void pointersAtTheirPositions() {
    try (FloatPointer x = new FloatPointer(8);
        FloatPointer g = new FloatPointer(8)) {
      for (int i = 0; i < 8; ++i) {
        x.put(i, 0);
        g.put(i, i + 1);
      }
      // Allocators give pointers without type and size.
      final Pointer untyped = new BytePointer(g).position(4 * Float.BYTES);
      descend(ParameterSet.on(CPU).add("x", x.position(2), untyped, 3, FLOAT32).build());
      x.position(0);
      for (int i = 0; i < 8; ++i) assertEquals(i < 2 || i >= 5 ? 0 : -(i + 3), x.get(i), "element " + i);

      final ParameterSet.Builder builder = ParameterSet.on(CPU);
      assertRefused(NullPointerException.class, () -> builder.add("w", null, g, 3, FLOAT32), "parameters of tensor 'w'");
      assertRefused(
          IllegalArgumentException.class, () -> builder.add("w", x, new FloatPointer(), 3, FLOAT32),
          "gradientAddress of tensor 'w' is null");
      assertRefused(
          IllegalArgumentException.class, () -> builder.add("w", x, new BytePointer(g).position(1), 3, FLOAT32), "multiple of 4");
    }
  }

  @Test
  void buffersOfEveryType() {
    final DoubleBuffer x = direct(80).asDoubleBuffer().position(1);
    final DoubleBuffer g = direct(80).asDoubleBuffer().position(1);
    g.put(1, 0.1);
    final ShortBuffer narrow = direct(6).asShortBuffer().position(1);
    final ShortBuffer narrowGradient = direct(6).asShortBuffer().limit(2);
    narrowGradient.put(1, (short) Formats.encode(FLOAT16, 1.5));
    final ShortBuffer brain = direct(2).asShortBuffer();
    final ShortBuffer brainGradient = direct(2).asShortBuffer();
    brainGradient.put(0, (short) Formats.encode(BFLOAT16, -3));
    descend(
        ParameterSet.on(CPU)
            .add("x", x, g)
            .add("h", narrow, narrowGradient, FLOAT16)
            .add("b", brain, brainGradient, BFLOAT16)
            .build());
    assertEquals(-0.1, x.get(1));
    assertEquals(-1.5, Formats.decode(FLOAT16, narrow.get(2) & 0xffff));
    assertEquals(3, Formats.decode(BFLOAT16, brain.get(0) & 0xffff));
  }

  /** A view of a larger buffer, as trainers hand out parts of an arena. */
  @Test
  void slicesOfBuffers() {
    final ByteBuffer arena = direct(64);
    final FloatBuffer x = arena.slice(8, 8).order(ByteOrder.nativeOrder()).asFloatBuffer();
    final FloatBuffer g = arena.slice(32, 8).order(ByteOrder.nativeOrder()).asFloatBuffer();
    g.put(0, 1).put(1, 2);
    descend(ParameterSet.on(CPU).add("x", x, g).build());
    assertArrayEquals(new float[] {-1, -2}, new float[] {arena.getFloat(8), arena.getFloat(12)});
  }

  @Test
  void theSetKeepsItsBuffersAlive() {
    final ParameterSet set =
        ParameterSet.on(CPU).add("x", direct(1 << 20).asFloatBuffer(), direct(1 << 20).asFloatBuffer()).build();
    try (Optimizer optimizer = FixedRate.of(1, SGD.defaults()).build(set)) {
      for (int i = 0; i < 20; ++i) {
        System.gc();
        direct(1 << 20);
        optimizer.step();
      }
    }
  }

  @Test
  void buffersThatCannotBe() {
    final ParameterSet.Builder builder = ParameterSet.on(CPU);
    final FloatBuffer good = direct(16).asFloatBuffer();
    final FloatBuffer heap = FloatBuffer.allocate(4);
    assertRefused(IllegalArgumentException.class, () -> builder.add("w", heap, good), "'w'", "direct");
    assertRefused(IllegalArgumentException.class, () -> builder.add("w", good, heap), "'w'", "direct");
    final FloatBuffer swapped = ByteBuffer.allocateDirect(16).order(ByteOrder.BIG_ENDIAN).asFloatBuffer();
    assertRefused(IllegalArgumentException.class, () -> builder.add("w", swapped, good), "'w'", "byte order");
    assertRefused(IllegalArgumentException.class, () -> builder.add("w", good, swapped), "'w'", "byte order");
    assertRefused(IllegalArgumentException.class, () -> builder.add("w", good.asReadOnlyBuffer(), good), "'w'", "read-only");
    final FloatBuffer less = direct(12).asFloatBuffer();
    assertRefused(IllegalArgumentException.class, () -> builder.add("w", good, less), "'w'", "4 parameters", "3 gradients");
    final ShortBuffer half = direct(8).asShortBuffer();
    assertRefused(IllegalArgumentException.class, () -> builder.add("w", half, half, FLOAT32), "'w'", "BFLOAT16", "FLOAT32");
    assertRefused(IllegalArgumentException.class, () -> builder.add("w", half, half, null), "'w'");
    assertThrows(NullPointerException.class, () -> builder.add("w", (FloatBuffer) null, good));
    assertThrows(NullPointerException.class, () -> builder.add("w", good, (FloatBuffer) null));
    assertRefused(IllegalArgumentException.class, builder::build, "at least one tensor");
  }

  @Test
  void argumentsThatCannotBe() {
    final ParameterSet.Builder builder = ParameterSet.on(CPU);
    try (TestTensors tensors = TestTensors.of(FLOAT64, 10)) {
      final long x = tensors.parameters(0).address();
      final long g = tensors.gradients(0).address();
      assertRefused(NullPointerException.class, () -> ParameterSet.on(null), "device");
      assertRefused(NullPointerException.class, () -> builder.group(null), "name");
      assertRefused(NullPointerException.class, () -> builder.add(null, x, g, 1, FLOAT64), "name");
      assertRefused(NullPointerException.class, () -> builder.add("w", x, g, 1, null), "parameterType", "'w'");
      assertRefused(NullPointerException.class, () -> builder.add("w", x, FLOAT32, g, null, 1), "gradientType", "'w'");
      for (long bad : new long[] {-1, Long.MIN_VALUE})
        assertRefused(IllegalArgumentException.class, () -> builder.add("w", x, g, bad, FLOAT64), "count", "'w'", "" + bad);
      for (long bad : new long[] {(1L << 40) + 1, Long.MAX_VALUE, 1L << 61})
        assertRefused(IllegalArgumentException.class, () -> builder.add("w", x, g, bad, FLOAT64), "count", "'w'", "2^40", "" + bad);
      assertRefused(IllegalArgumentException.class, () -> builder.add("w", 0, g, 1, FLOAT64), "parameterAddress", "'w'", "null");
      assertRefused(IllegalArgumentException.class, () -> builder.add("w", x, 0, 1, FLOAT64), "gradientAddress", "'w'", "null");
      builder.add("w", x, g, 1, FLOAT64);
      assertRefused(IllegalArgumentException.class, () -> builder.add("w", x + 8, g, 1, FLOAT64), "'w'", "already");
    }
  }

  @ParameterizedTest
  @EnumSource(DataType.class)
  void addressesBetweenElements(DataType type) {
    try (TestTensors tensors = TestTensors.of(type, 10)) {
      final long x = tensors.parameters(0).address();
      final long g = tensors.gradients(0).address();
      final long u = tensors.updates(0).address();
      for (int off = 1; off < type.bytes(); ++off) {
        final int by = off;
        final String multiple = "multiple of " + type.bytes();
        final ParameterSet.Builder builder = ParameterSet.on(CPU);
        assertRefused(
            IllegalArgumentException.class, () -> builder.add("w", x + by, g, 1, type), "parameterAddress", "'w'", multiple);
        assertRefused(
            IllegalArgumentException.class, () -> builder.add("w", x, g + by, 1, type), "gradientAddress", "'w'", multiple);
      }
      assertRefused(
          IllegalArgumentException.class, () -> ParameterSet.on(CPU).add("w", x, type, g, type, u + 1, 1), "updateAddress", "'w'");
    }
  }

  @Test
  void memoryThatIsUsedTwice() {
    try (TestTensors tensors = TestTensors.of(FLOAT64, 100)) {
      final long x = tensors.parameters(0).address();
      final long g = tensors.gradients(0).address();
      final long u = tensors.updates(0).address();
      assertOverlap(at("a", x, g, 10), at("b", x, g, 10));
      assertOverlap(at("a", x, g, 10), at("b", x + 72, g, 10));
      assertOverlap(at("b", x + 72, g, 10), at("a", x, g, 10));
      assertOverlap(at("a", x, g, 100), at("b", x + 80, g, 1)); // one within the other
      assertOverlap(at("a", x, x, 10)); // its own gradient
      assertOverlap(at("a", x, x + 72, 10));
      assertOverlap(at("a", x + 80, g, 10), at("b", g, x, 100)); // parameters of one in the gradients of another
      assertOverlap(at("c", x + 400, g, 1), at("a", x, g, 60), at("b", x + 8, g, 1)); // the long one reaches over its neighbour
      // In another type, and by one byte.
      assertRefused(
          IllegalArgumentException.class,
          () -> ParameterSet.on(CPU).add("a", x, g, 3, FLOAT64).add("b", x + 22, g, 3, FLOAT16).build(), "overlap", "'a'", "'b'");
      // The update of one tensor is where another's parameters are.
      assertRefused(
          IllegalArgumentException.class,
          () -> ParameterSet.on(CPU)
              .add("a", x, FLOAT64, g, FLOAT64, u, 10)
              .add("b", u + 72, FLOAT64, g, FLOAT64, 0, 1)
              .build(),
          "overlap", "update", "'a'", "'b'");
      // Neighbours, empty tensors and shared gradients and updates are fine.
      ParameterSet.on(CPU)
          .add("a", x, FLOAT64, g, FLOAT64, u, 10)
          .add("b", x + 80, FLOAT64, g, FLOAT64, u, 10)
          .add("c", x + 160, FLOAT64, u, FLOAT64, u, 10)
          .add("empty", x + 8, g, 0, FLOAT64)
          .build();
    }
  }

  private record At(String name, long parameters, long gradients, long count) {}

  private static At at(String name, long parameters, long gradients, long count) {
    return new At(name, parameters, gradients, count);
  }

  private static void assertOverlap(At... tensors) {
    final ParameterSet.Builder builder = ParameterSet.on(CPU);
    for (At t : tensors) builder.add(t.name, t.parameters, t.gradients, t.count, FLOAT64);
    assertRefused(IllegalArgumentException.class, builder::build, "overlap", "'a'", "parameters");
  }

  /** Wrong addresses are found when an optimizer is built: an exception, and no crash when it sweeps. */
  @Test
  void addressesThatAreNoMemory() {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 16)) {
      final long x = tensors.parameters(0).address();
      final long g = tensors.gradients(0).address();
      final long u = tensors.updates(0).address();
      for (long wild : new long[] {0x1000, 0x7fff_ffff_f000L, -4096, 0xdeadbeef0000L}) {
        assertNoMemory("parameter", wild, FLOAT32, g, 0, 16);
        assertNoMemory("gradient", x, FLOAT32, wild, 0, 16);
        assertNoMemory("update", x, FLOAT32, g, wild, 16);
      }
    }
  }

  private static void assertNoMemory(String which, long x, DataType type, long g, long u, long count) {
    final ParameterSet set = ParameterSet.on(CPU).add("w", x, type, g, type, u, count).build();
    assertRefused(
        IllegalArgumentException.class,
        () -> FixedRate.of(1, u == 0 ? SGD.defaults() : new SuppliedUpdate()).nonFinite(NonFinite.UNCHECKED).build(set), which,
        "not memory");
  }

  /** The first element past the end of memory is found, and so is memory that cannot be written. */
  @Test
  void aRangeThatRunsOutOfMemory(@TempDir Path folder) throws IOException {
    try (FileChannel file = FileChannel.open(folder.resolve("map"), READ, WRITE, CREATE)) {
      final MappedByteBuffer writable = file.map(MapMode.READ_WRITE, 0, 3 * 4096);
      final MappedByteBuffer readOnly = file.map(MapMode.READ_ONLY, 0, 3 * 4096);
      final long x = new Pointer(writable).address();
      final long end = endOfWritableMemory(x);
      Assumptions.assumeTrue(end - x < 256 << 20, "there is too much memory after the mapped file");
      final int elements = (int) ((end - x) / 4);
      final TestArray gradients = new TestArray(FLOAT32, elements + 1);
      try (gradients) {
        final long g = gradients.address();
        Assumptions.assumeTrue(g + gradients.bytes() <= x || g >= end, "the gradients are in the way");
        FixedRate.of(1, SGD.defaults()).build(ParameterSet.on(CPU).add("w", x, g, elements, FLOAT32).build()).close();
        assertNoMemory("parameter", x, FLOAT32, g, 0, elements + 1);
        assertNoMemory("parameter", new Pointer(readOnly).address(), FLOAT32, g, 0, 4);
      }
    }
  }

  private static long endOfWritableMemory(long address) throws IOException {
    long end = address;
    for (String line : Files.readAllLines(Path.of("/proc/self/maps"))) {
      final String[] range = line.substring(0, line.indexOf(' ')).split("-");
      final long high = Long.parseUnsignedLong(range[1], 16);
      if (Long.compareUnsigned(Long.parseUnsignedLong(range[0], 16), end) <= 0
          && Long.compareUnsigned(high, end) > 0
          && line.contains(" rw"))
        end = high;
    }
    return end;
  }
}
