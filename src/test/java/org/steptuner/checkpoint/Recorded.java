// SPDX-License-Identifier: Apache-2.0
package org.steptuner.checkpoint;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/** The runs of which checkpoints are recorded, and the recordings. */
public final class Recorded {
  /** A checkpoint that the library wrote when it had a format version, and the lines of {@link RecordedRun#outcome} that followed. */
  public record File(int version, RecordedRun run, byte[] content, List<String> outcome) {
    @Override
    public String toString() {
      return "version " + version + ", " + run;
    }
  }

  private Recorded() {}

  /** All runs, of which older versions know the first ones. */
  public static List<RecordedRun> runs() {
    final List<RecordedRun> runs = new ArrayList<>(FirstRuns.all());
    runs.addAll(LaterRuns.all());
    return runs;
  }

  /** The recordings of a format version. */
  public static List<File> files(int version) {
    final Map<String, byte[]> entries = new LinkedHashMap<>();
    try (InputStream resource = Recorded.class.getResourceAsStream("/checkpoints/v" + version + "/recorded.zip");
        ZipInputStream zip = new ZipInputStream(resource, StandardCharsets.UTF_8)) {
      for (ZipEntry entry; (entry = zip.getNextEntry()) != null;) entries.put(entry.getName(), zip.readAllBytes());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    final Map<String, RecordedRun> runs = new LinkedHashMap<>();
    for (RecordedRun run : runs()) runs.put(run.name(), run);
    final List<File> files = new ArrayList<>();
    entries.forEach(
        (name, content) -> {
          if (!name.endsWith(".checkpoint")) return;
          final String run = name.substring(0, name.length() - ".checkpoint".length());
          if (!runs.containsKey(run)) throw new IllegalStateException("there is no run '" + run + "' of version " + version);
          final String outcome = new String(entries.get(run + ".txt"), StandardCharsets.UTF_8);
          files.add(new File(version, runs.get(run), content, outcome.lines().toList()));
        });
    return files;
  }
}
