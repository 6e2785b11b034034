// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.Map;
import java.util.TreeMap;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/** Everything that an optimizer holds, as the entries of its checkpoint: the way to see that a call changed nothing. */
public record SavedState(Map<String, byte[]> entries) {
  public static SavedState of(Optimizer optimizer) {
    try {
      final Path file = MemoryFolder.file();
      try {
        optimizer.save(file);
        return read(file);
      } finally {
        Files.delete(file);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  public static SavedState read(Path file) throws IOException {
    final Map<String, byte[]> entries = new TreeMap<>();
    try (ZipFile zip = new ZipFile(file.toFile())) {
      for (ZipEntry entry : Collections.list(zip.entries())) {
        try (InputStream in = zip.getInputStream(entry)) {
          entries.put(entry.getName(), in.readAllBytes());
        }
      }
    }
    return new SavedState(entries);
  }

  public String manifest() {
    return new String(entries.get("manifest"), StandardCharsets.UTF_8);
  }

  /** Fails where anything but the count of skipped steps differs. */
  public void assertUnchanged(SavedState now, String what) {
    final String skipped = "skippedSteps=.*\n";
    assertEquals(manifest().replaceFirst(skipped, ""), now.manifest().replaceFirst(skipped, ""), what + ": manifest");
    assertSameArrays(now, what);
  }

  public boolean isSame(SavedState other) {
    return entries.keySet().equals(other.entries.keySet())
        && entries.keySet().stream().allMatch(name -> Arrays.equals(entries.get(name), other.entries.get(name)));
  }

  public void assertSame(SavedState other, String what) {
    assertEquals(manifest(), other.manifest(), what + ": manifest");
    assertSameArrays(other, what);
  }

  private void assertSameArrays(SavedState other, String what) {
    assertEquals(entries.keySet(), other.entries.keySet(), what);
    entries.forEach(
        (name, bytes) -> {
          if (!name.equals("manifest")) assertArrayEquals(bytes, other.entries.get(name), () -> what + ": " + name);
        });
  }
}
