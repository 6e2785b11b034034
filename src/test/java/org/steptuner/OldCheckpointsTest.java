// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.Refusal.assertRefused;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.steptuner.checkpoint.Bowl;
import org.steptuner.checkpoint.Recorded;
import org.steptuner.checkpoint.RecordedRun;

/** Files of older format versions, which older libraries wrote: restored strictly, they go on as they did then. */
class OldCheckpointsTest {
  @TempDir(factory = MemoryFolder.class)
  Path folder;

  static Stream<Recorded.File> files() {
    return Stream.of(1, 2).flatMap(version -> Recorded.files(version).stream());
  }

  @ParameterizedTest
  @MethodSource("files")
  void goesOnAsItDidThen(Recorded.File recorded) throws IOException {
    final RecordedRun run = recorded.run();
    final Path file = Files.write(folder.resolve("old.checkpoint"), recorded.content());
    assertTrue(SavedState.read(file).manifest().contains("\nversion=" + recorded.version() + "\n"), "the version of the file");
    final CheckpointInfo info = CheckpointInfo.read(file);
    final List<String> outcome;
    try (Bowl bowl = run.begin(); Optimizer optimizer = run.optimizer(bowl)) {
      assertTrue(optimizer.restore(file).isExact());
      assertEquals(recorded.version(), info.version());
      assertEquals(optimizer.steps(), info.steps());
      // Where a name has ": " in it, the file does not say where the group's ends.
      assertEquals(
          optimizer.parameters().tensors().stream().map(
              tensor -> tensor.group() + ": " + tensor.name() + " " + tensor.parameterType() + " " + tensor.count()).toList(),
          info.tensors().stream().map(
              tensor -> tensor.group() + ": " + tensor.name() + " " + tensor.parameterType() + " " + tensor.count()).toList());
      run.train(bowl, optimizer, RecordedRun.SAVED, RecordedRun.FINISHED);
      outcome = RecordedRun.outcome(bowl, optimizer);
      if (tookTheExponentialOfTheJvm(run)) assertLastPlaces(recorded.outcome(), outcome, bowl);
      else assertEquals(recorded.outcome(), outcome);
    }
    // And so does what the present library makes of it.
    try (Bowl bowl = run.begin(); Optimizer optimizer = run.optimizer(bowl)) {
      optimizer.restore(file);
      optimizer.save(file);
    }
    try (Bowl bowl = run.begin(); Optimizer optimizer = run.optimizer(bowl)) {
      optimizer.restore(file);
      run.train(bowl, optimizer, RecordedRun.SAVED, RecordedRun.FINISHED);
      assertEquals(outcome, RecordedRun.outcome(bowl, optimizer), "saved again");
    }
  }

  /** MetaOptimize's shared step sizes were Math.exp of their logarithms, whose last place is the JVM's own. */
  private static boolean tookTheExponentialOfTheJvm(RecordedRun run) {
    return run.name().startsWith("MetaOptimize") && !run.name().startsWith("MetaOptimize per weight");
  }

  /** The same outcomes, but for the last places of float64. */
  private static void assertLastPlaces(List<String> recorded, List<String> outcome, Bowl bowl) {
    assertEquals(recorded.size(), outcome.size());
    final int first = recorded.size() - bowl.tensors().all().size();
    for (int i = 0; i < recorded.size(); ++i) {
      if (i < first || bowl.tensors().parameters(i - first).type() != DataType.FLOAT64) assertEquals(recorded.get(i), outcome.get(i));
      else assertArrayEquals(doubles(recorded.get(i)), doubles(outcome.get(i)), 1e-15);
    }
  }

  private static double[] doubles(String bits) {
    final ByteBuffer bytes = ByteBuffer.wrap(HexFormat.of().parseHex(bits.substring("bits ".length()))).order(ByteOrder.LITTLE_ENDIAN);
    final double[] values = new double[bytes.remaining() / Double.BYTES];
    bytes.asDoubleBuffer().get(values);
    return values;
  }

  /** Strictly, every file belongs to one run alone. */
  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void belongsToNoOtherRun(int version) throws IOException {
    final List<Recorded.File> files = Recorded.files(version);
    for (int i = 0; i < files.size(); ++i) {
      final Path file = Files.write(folder.resolve("old.checkpoint"), files.get(i).content());
      final RecordedRun other = files.get((i + 1) % files.size()).run();
      try (Bowl bowl = other.begin(); Optimizer optimizer = other.optimizer(bowl)) {
        other.train(bowl, optimizer, 0, 2);
        final SavedState before = SavedState.of(optimizer);
        assertRefused(CheckpointException.class, () -> optimizer.restore(file), file.toString());
        before.assertSame(SavedState.of(optimizer), files.get(i) + " and " + other);
      }
    }
  }

  /** Names of runs are those of files, so two runs of one name would hide one of them. */
  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void everyFileHasItsRun(int version) {
    final Map<String, Long> names =
        Recorded.runs().stream().collect(Collectors.groupingBy(RecordedRun::name, Collectors.counting()));
    for (Recorded.File file : Recorded.files(version)) assertEquals(1, names.get(file.run().name()), file.toString());
    assertEquals(version == 1 ? 101 : 152, Recorded.files(version).size());
  }
}
