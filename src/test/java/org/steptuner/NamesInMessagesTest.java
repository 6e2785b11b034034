// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.SuppliedUpdate;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.TunerBuilder;

/**
 * Messages call a tensor what its trainer called it. The groups are out of order, so that a number of the library's own would be that of
 * another tensor; and some names are made to be mistaken for a number, or for the pattern of a replacement.
 */
class NamesInMessagesTest {
  private static final Device CPU = Device.cpu(1);
  private static final String[] NAMES = {"encoder/kernel", "tensor #0", "$1", "naïve 'w'", "slot #1"};
  private static final String[] GROUPS = {"late", "first", "late", "first", "middle"};
  private static final long NOWHERE = 0x1000;
  private static final Pattern NUMBER = Pattern.compile("(tensor|slot|segment|scope|group) #?\\d");

  /** Addresses of a set that can be spoilt one by one. */
  private static final class Spoilt implements AutoCloseable {
    final List<TestArray> arrays = new ArrayList<>();
    final long[] x = new long[NAMES.length];
    final long[] g = new long[NAMES.length];
    final long[] u = new long[NAMES.length];
    final long[] counts = new long[NAMES.length];

    Spoilt() {
      Arrays.fill(counts, 12);
      for (long[] to : new long[][] {x, g, u})
        for (int t = 0; t < NAMES.length; ++t) {
          arrays.add(new TestArray(DataType.FLOAT32, 12).fill(i -> 1));
          to[t] = arrays.get(arrays.size() - 1).address();
        }
    }

    ParameterSet set() {
      final ParameterSet.Builder builder = ParameterSet.on(CPU);
      for (int t = 0; t < NAMES.length; ++t)
        builder.group(GROUPS[t]).add(NAMES[t], x[t], DataType.FLOAT32, g[t], DataType.FLOAT32, u[t], counts[t]);
      return builder.build();
    }

    @Override
    public void close() {
      arrays.forEach(TestArray::close);
    }
  }

  private static void named(String name, Executable call, String... words) {
    final IllegalArgumentException thrown = assertThrows(IllegalArgumentException.class, call);
    final String message = thrown.getMessage();
    assertTrue(message.contains("'" + name + "'"), () -> "'" + name + "' is not in: " + message);
    String rest = message;
    for (String other : NAMES) rest = rest.replace("'" + other + "'", "");
    assertFalse(NUMBER.matcher(rest).find(), () -> "a number for a name: " + message);
    for (String word : words) assertTrue(message.contains(word), () -> "'" + word + "' is not in: " + message);
  }

  private static TunerBuilder<?> supplied() {
    return FixedRate.of(0.1, new SuppliedUpdate()).nonFinite(NonFinite.UNCHECKED);
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 3, 4})
  void whenASetIsMadeOrBound(int t) {
    final String name = NAMES[t];
    final List<TunerBuilder<?>> tuners =
        List.of(FixedRate.of(0.1, AdamW.defaults()), Mechanic.tuning(AdamW.defaults()).scope(Scope.TENSOR));
    for (TunerBuilder<?> tuner : tuners)
      try (Spoilt all = new Spoilt()) {
        all.x[t] = NOWHERE;
        named(name, () -> tuner.build(all.set()), "parameter of", "12 elements", "not memory");
        all.x[t] = 0;
        named(name, all::set, "parameterAddress", "null");
        all.x[t] = all.g[(t + 1) % 5];
        named(name, all::set, "overlap");
        all.x[t] = all.u[t] + 2;
        named(name, all::set, "parameterAddress", "multiple");
      }
    for (TunerBuilder<?> tuner : tuners)
      try (Spoilt all = new Spoilt()) {
        all.g[t] = NOWHERE;
        named(name, () -> tuner.build(all.set()), "gradient of", "not memory");
        all.g[t] = 0; // which a set may have where there is an update
        named(name, () -> tuner.build(all.set()), "gradient", "null");
        all.u[t] = 0;
        named(name, all::set, "gradientAddress", "null");
      }
    try (Spoilt all = new Spoilt()) {
      all.u[t] = NOWHERE;
      named(name, () -> supplied().build(all.set()), "update of", "not memory");
      all.u[t] = 0;
      named(name, () -> supplied().build(all.set()), "update", "null");
      all.counts[t] = -1;
      named(name, all::set, "count");
      all.counts[t] = (1L << 40) + 1;
      named(name, all::set, "count");
      all.counts[t] = 1L << 40;
      named(name, () -> FixedRate.of(0.1, AdamW.defaults()).build(all.set()));
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 3, 4})
  void whenTensorsMove(int t) {
    final String name = NAMES[t];
    try (Spoilt all = new Spoilt();
        Spoilt to = new Spoilt();
        Optimizer optimizer = FixedRate.of(0.1, AdamW.defaults()).build(all.set());
        Optimizer updated = supplied().build(all.set())) {
      final Executable together = () -> optimizer.rebind(to.x, to.g, to.u);
      final Executable alone = () -> optimizer.rebind(name, to.x[t], to.g[t], to.u[t]);
      for (Executable rebinding : List.of(together, alone)) {
        final long x = to.x[t];
        final long g = to.g[t];
        for (long[] kind : new long[][] {to.x, to.g, to.u}) {
          final String what = kind == to.x ? "parameter" : kind == to.g ? "gradient" : "update";
          final long before = kind[t];
          kind[t] = NOWHERE;
          named(name, rebinding, what, "not memory");
          kind[t] = before + 1;
          named(name, rebinding, what, "multiple");
          kind[t] = before;
        }
        to.x[t] = 0;
        named(name, rebinding, "parameter", "null");
        to.x[t] = g;
        named(name, rebinding, "overlap");
        to.x[t] = x;
        to.g[t] = 0;
        named(name, rebinding, "gradient", "null");
        to.g[t] = g;
      }
      final long update = to.u[t];
      to.u[t] = 0;
      named(name, () -> updated.rebind(to.x, to.g, to.u), "update", "null");
      named(name, () -> updated.rebind(name, to.x[t], to.g[t], 0), "update", "null");
      to.u[t] = update;
      optimizer.rebind(to.x, to.g, to.u);
      optimizer.step();
    }
  }

  @Test
  void whenGradientsCannotBeZeroed(@TempDir Path folder) throws IOException {
    try (FileChannel file =
        FileChannel.open(folder.resolve("map"), StandardOpenOption.READ, StandardOpenOption.WRITE, StandardOpenOption.CREATE)) {
      file.write(ByteBuffer.allocate(4096));
      try (Pointer readOnly = new Pointer(file.map(FileChannel.MapMode.READ_ONLY, 0, 4096))) {
        for (int t = 0; t < NAMES.length; ++t)
          try (Spoilt all = new Spoilt()) {
            all.g[t] = readOnly.address();
            try (Optimizer optimizer = FixedRate.of(0.1, AdamW.defaults()).build(all.set())) {
              named(NAMES[t], optimizer::zeroGradients, "gradient of", "write");
            }
          }
      }
    }
  }
}
