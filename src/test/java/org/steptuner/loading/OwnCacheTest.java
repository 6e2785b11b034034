// SPDX-License-Identifier: Apache-2.0
package org.steptuner.loading;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/** Runs the program in a JVM of its own, with jars and a cache of its own. */
abstract class OwnCacheTest {
  @TempDir
  Path folder;
  Path cache;
  Jars jars;

  @BeforeEach
  void prepare() throws IOException {
    cache = Files.createDirectory(folder.resolve("cache"));
    jars = new Jars(folder);
  }

  Jvm jvm() {
    return new Jvm(Jvm.current(), cache);
  }

  List<Path> withProgram(List<Path> libraries) throws IOException {
    final List<Path> all = new ArrayList<>(libraries);
    all.add(jars.program());
    return all;
  }
}
