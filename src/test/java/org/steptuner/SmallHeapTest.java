// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.BytePointer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.steptuner.internal.NativeLibrary;
import org.steptuner.internal.Natives;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.ExactSharpness;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.TunerBuilder;

/**
 * Processes whose memory is native, and whose Java heap is small: JavaCPP refuses to allocate anything there. Step Tuner builds, steps,
 * saves and restores.
 */
class SmallHeapTest {
  @TempDir(factory = MemoryFolder.class)
  Path folder;

  /** Native memory, touched, that stays with the process: the C library's, which neither JavaCPP nor the JVM counts. */
  private static FloatBuffer floats(long address, int count) throws ReflectiveOperationException {
    final Field field = org.bytedeco.javacpp.Pointer.class.getDeclaredField("address");
    field.setAccessible(true);
    final BytePointer view = new BytePointer((org.bytedeco.javacpp.Pointer) null);
    field.setLong(view, address);
    return view.capacity(4L * count).asByteBuffer().order(ByteOrder.nativeOrder()).asFloatBuffer();
  }

  private static FloatBuffer allocate(int count) throws ReflectiveOperationException {
    final long[] address = new long[1];
    Natives.check(Natives.hostAllocate(4L * count, address));
    final FloatBuffer floats = floats(address[0], count);
    for (int i = 0; i < count; ++i) floats.put(i, i % 7);
    return floats;
  }

  /** Arguments: a folder; how many floats to touch. */
  static final class Trainer {
    public static void main(String[] arguments) throws Exception {
      final int count = Integer.parseInt(arguments[1]);
      NativeLibrary.load();
      final FloatBuffer ballast = allocate(count);
      // Without it the test would prove nothing.
      assertThrows(OutOfMemoryError.class, () -> new BytePointer(1 << 16), "JavaCPP allows allocations");
      final List<TunerBuilder<?>> tuners = new ArrayList<>();
      tuners.add(Mechanic.tuning(AdamW.defaults()));
      tuners.add(ExactSharpness.tuning(SGD.defaults(), (vector, product) -> product.floats(0).put(0, vector.floats(0).get(0))));
      final Path file = Path.of(arguments[0], "f");
      final FloatBuffer gradients = allocate(count / 8);
      for (TunerBuilder<?> tuner : tuners) {
        final FloatBuffer parameters = allocate(count / 8);
        final ByteBuffer direct = ByteBuffer.allocateDirect(400).order(ByteOrder.nativeOrder());
        final ParameterSet set =
            ParameterSet.on(Device.cpu(2))
                .add("w", parameters, gradients)
                .add("b", direct.asFloatBuffer(), ByteBuffer.allocateDirect(400).order(ByteOrder.nativeOrder()).asFloatBuffer())
                .build();
        try (Optimizer optimizer = tuner.build(set)) {
          optimizer.step();
          optimizer.evaluating();
          optimizer.save(file);
          optimizer.training();
          final float saved = parameters.get(5);
          optimizer.saveInBackground(file.resolveSibling("g"));
          optimizer.step();
          optimizer.awaitSaved();
          for (String name : List.of("f", "g")) {
            parameters.put(5, 77);
            optimizer.restore(file.resolveSibling(name));
            assertEquals(saved, parameters.get(5));
            assertEquals(1, optimizer.steps());
          }
          for (String slot : optimizer.slots()) assertEquals(count / 8, optimizer.state(slot, "w").count());
          // More than a reader takes of an archive that is packed small: what could be saved can be read.
          final int size = (int) (Runtime.getRuntime().maxMemory() / 6);
          optimizer.save(file, Map.of("own", new byte[size]));
          assertEquals(size, optimizer.restore(file).entries().get("own").length);
          assertRefusedOf(optimizer);
        }
      }
      assertEquals(5 % 7, ballast.get(5));
      System.out.println("done");
    }

    private static void assertRefusedOf(Optimizer optimizer) {
      assertThrows(CheckpointException.class, () -> optimizer.restore(Path.of("/proc/self/exe")));
      assertThrows(IllegalArgumentException.class, () -> optimizer.rebind("w", 64, 64));
    }
  }

  @Test
  void moreMemoryThanJavaCppAllows() throws Exception {
    assertTrue(OtherJvm.with("-Xmx16m").run(Trainer.class, folder, 50_000_000).contains("done"));
    assertEquals(2, Files.list(folder).count());
  }

  @ParameterizedTest
  @CsvSource({"maxPhysicalBytes=1m", "maxBytes=1"})
  void otherLimitsOfJavaCpp(String limit) throws Exception {
    assertTrue(OtherJvm.with("-Xmx64m", "-Dorg.bytedeco.javacpp." + limit).run(Trainer.class, folder, 800_000).contains("done"));
  }
}
