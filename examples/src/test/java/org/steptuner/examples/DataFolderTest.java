// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DataFolderTest {
  @TempDir
  private Path folder;
  private final Map<String, String> environment = new HashMap<>();
  private Path system;
  private int fetched;

  @BeforeEach
  void places() {
    system = folder.resolve("system");
    environment.put("HOME", folder.resolve("home").toString());
  }

  @Test
  void fetchesOnce() {
    final Path cache = folder.resolve("home/.cache/steptuner/fashion-mnist");
    assertEquals(cache, find(null));
    assertEquals(cache, find(null));
    assertEquals(1, fetched);
  }

  @Test
  void fetchesAgainWhereTheCacheIsIncomplete() throws IOException {
    final Path cache = fill(folder.resolve("home/.cache/steptuner/fashion-mnist"));
    Files.delete(cache.resolve(FashionMnist.FILES.get(2) + ".gz"));
    assertEquals(cache, find(null));
    assertEquals(1, fetched);
  }

  @Test
  void cacheOfTheDesktopStandard() {
    environment.put("XDG_CACHE_HOME", folder.resolve("caches").toString());
    assertEquals(folder.resolve("caches/steptuner/fashion-mnist"), find(null));
  }

  @Test
  void inOrder() {
    fill(folder.resolve("home/.cache/steptuner/fashion-mnist"));
    fill(system);
    assertEquals(system, find(null));
    environment.put(DataFolder.VARIABLE, fill(folder.resolve("variable")).toString());
    assertEquals(folder.resolve("variable"), find(null));
    assertEquals(folder.resolve("named"), find(fill(folder.resolve("named"))));
    assertEquals(0, fetched);
  }

  @Test
  void namedFoldersHaveNoSubstitute() throws IOException {
    fill(system);
    final Path named = fill(folder.resolve("named"));
    Files.delete(named.resolve(FashionMnist.FILES.get(3) + ".gz"));
    final String message = assertThrows(DataException.class, () -> find(named)).getMessage();
    assertTrue(message.contains("--data") && message.contains(FashionMnist.FILES.get(3)), message);
    environment.put(DataFolder.VARIABLE, folder.resolve("nowhere").toString());
    assertTrue(assertThrows(DataException.class, () -> find(null)).getMessage().contains(DataFolder.VARIABLE));
  }

  private Path find(Path named) {
    return new DataFolder(
        environment,
        system,
        cache -> {
          ++fetched;
          fill(cache);
        },
        line -> {})
        .find(named);
  }

  private static Path fill(Path place) {
    try {
      Files.createDirectories(place);
      for (String name : FashionMnist.FILES) Files.write(place.resolve(name + ".gz"), new byte[0]);
      return place;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
