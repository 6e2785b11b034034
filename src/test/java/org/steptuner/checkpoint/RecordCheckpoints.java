// SPDX-License-Identifier: Apache-2.0
package org.steptuner.checkpoint;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.steptuner.Optimizer;

/** Records the checkpoints of all runs, and what each run ends with, as src/test/resources/checkpoints/README.md describes. */
final class RecordCheckpoints {
  private RecordCheckpoints() {}

  /** @param arguments the zip to write */
  public static void main(String[] arguments) throws IOException {
    final List<RecordedRun> runs = Recorded.runs();
    final Path file = Files.createTempFile("steptuner", ".checkpoint");
    try (OutputStream out = Files.newOutputStream(Path.of(arguments[0])); ZipOutputStream zip = new ZipOutputStream(out)) {
      zip.setLevel(9);
      for (RecordedRun run : runs)
        try (Bowl bowl = run.begin(); Optimizer optimizer = run.optimizer(bowl)) {
          run.train(bowl, optimizer, 0, RecordedRun.SAVED);
          optimizer.save(file);
          add(zip, run + ".checkpoint", Files.readAllBytes(file));
          run.train(bowl, optimizer, RecordedRun.SAVED, RecordedRun.FINISHED);
          add(zip, run + ".txt", (String.join("\n", RecordedRun.outcome(bowl, optimizer)) + "\n").getBytes(StandardCharsets.UTF_8));
        }
    } finally {
      Files.delete(file);
    }
    System.out.println(runs.size() + " runs");
  }

  /** The same bytes at every time. */
  private static void add(ZipOutputStream zip, String name, byte[] content) throws IOException {
    final ZipEntry entry = new ZipEntry(name);
    entry.setLastModifiedTime(FileTime.fromMillis(0));
    zip.putNextEntry(entry);
    zip.write(content);
    zip.closeEntry();
  }
}
