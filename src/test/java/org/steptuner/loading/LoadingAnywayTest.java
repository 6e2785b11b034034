// SPDX-License-Identifier: Apache-2.0
package org.steptuner.loading;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What others do to a process or to JavaCPP's cache does not keep the library from being loaded. */
class LoadingAnywayTest extends OwnCacheTest {
  /** A cancelled trainer opens its device late. The interrupt is still there afterwards. */
  @Test
  void interruptedThread() throws Exception {
    final List<Path> all = withProgram(jars.all());
    all.add(jars.gpu());
    final Jvm.Run run = jvm().classPath(all).run("interrupted").assertTrained();
    assertEquals(List.of("interrupted|true"), run.lines("interrupted"), run.output());
    final String cuda = run.lines("cuda").get(0);
    assertTrue(cuda.contains(Jars.saidByGpuJar()) || cuda.startsWith("cuda|ok|CUDA"), run.output());
  }

  /** The bridge has JavaCPP's native methods too. */
  @Test
  void withoutTheNativesOfJavaCpp() throws Exception {
    jvm().classPath(withProgram(jars.all().subList(0, 2))).run().assertTrained();
    jvm().with("-Dorg.bytedeco.javacpp.loadlibraries=false").classPath(withProgram(jars.all())).run().assertTrained();
  }

  private enum Damage {
    /** The process that unpacked it was killed. */
    CUT {
      @Override
      byte[] of(byte[] bytes) {
        return Arrays.copyOf(bytes, bytes.length / 2);
      }
    },
    /** The machine went down before all of the file was on the disk. */
    HOLES {
      @Override
      byte[] of(byte[] bytes) {
        final byte[] damaged = bytes.clone();
        Arrays.fill(damaged, bytes.length / 3, bytes.length, (byte) 0);
        return damaged;
      }
    },
    EMPTY {
      @Override
      byte[] of(byte[] bytes) {
        return new byte[0];
      }
    };

    abstract byte[] of(byte[] bytes);
  }

  /** Damaged libraries in the cache, whose times and, where possible, sizes are right, are unpacked anew. */
  @ParameterizedTest
  @EnumSource(Damage.class)
  void damagedCache(Damage damage) throws Exception {
    final List<Path> path = withProgram(jars.all());
    jvm().classPath(path).run().assertTrained();
    final Map<String, byte[]> before = Jars.content(cache);
    int damaged = 0;
    for (Map.Entry<String, byte[]> entry : before.entrySet()) {
      if (!entry.getKey().endsWith(".so")) continue;
      final Path file = cache.resolve(entry.getKey());
      final FileTime time = Files.getLastModifiedTime(file);
      Files.write(file, damage.of(entry.getValue()));
      Files.setLastModifiedTime(file, time);
      ++damaged;
    }
    assertEquals(3, damaged, () -> before.keySet().toString());
    jvm().classPath(path).run().assertTrained();
    Jars.content(cache).forEach((name, bytes) -> assertArrayEquals(before.get(name), bytes, name));
  }

  /** Where nothing can be unpacked, the libraries may be put on java.library.path. */
  @Test
  void libraryPath() throws Exception {
    final Path libraries = Files.createDirectory(folder.resolve("libraries"));
    for (Map.Entry<String, byte[]> entry : Jars.steptuner().entrySet())
      if (entry.getKey().startsWith(Jars.NATIVES))
        Files.write(libraries.resolve(entry.getKey().substring(Jars.NATIVES.length())), entry.getValue());
    jvm().with(
        "-Dorg.bytedeco.javacpp.cachedir=/proc/none", "-Duser.home=/proc/none", "-Djava.io.tmpdir=/proc/none",
        "-Djava.library.path=" + libraries).classPath(withProgram(jars.all())).run().assertTrained();
  }

  /** Folders of classes instead of jars, as an IDE has them. */
  @Test
  void folders() throws Exception {
    final Path classes = Files.createDirectory(folder.resolve("with space"));
    for (Map.Entry<String, byte[]> entry : Jars.steptuner().entrySet()) {
      final Path file = classes.resolve(entry.getKey());
      Files.createDirectories(file.getParent());
      Files.write(file, entry.getValue());
    }
    final List<Path> path = List.of(classes, Jars.javacpp(), Jars.javacppNatives(), jars.program());
    jvm().classPath(path).run().assertTrained();
    assertLoaders(List.of(), path);
  }

  /** An application that is deployed several times, with all jars of its own, or with JavaCPP shared by the server. */
  @Test
  void severalClassLoaders() throws Exception {
    final List<Path> all = withProgram(jars.all());
    assertLoaders(List.of(), all);
    assertLoaders(all.subList(1, 3), List.of(all.get(0), all.get(3)));
    assertLoaders(all.subList(0, 3), all.subList(3, 4));
  }

  private void assertLoaders(List<Path> shared, List<Path> own) throws Exception {
    final Jvm.Run run =
        jvm().classPath(List.of(jars.program())).starting("program.Loaders").run(Jvm.join(shared), Jvm.join(own), "3");
    assertEquals(0, run.status(), run.output());
    assertEquals(Collections.nCopies(3, "parameters|" + program.Program.step()), run.lines("parameters"), run.output());
  }

  /** Many processes that unpack to one new cache at a time. */
  @Test
  void manyProcesses() throws Exception {
    final List<Path> path = withProgram(jars.all());
    final List<Jvm.Run> runs = Stream.generate(() -> path).limit(4).parallel().map(entries -> {
      try {
        return jvm().classPath(entries).run();
      } catch (IOException | InterruptedException e) {
        throw new AssertionError(e);
      }
    }).toList();
    runs.forEach(Jvm.Run::assertTrained);
  }
}
