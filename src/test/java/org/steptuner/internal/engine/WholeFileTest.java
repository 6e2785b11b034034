// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.common.jimfs.Configuration;
import com.google.common.jimfs.Jimfs;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFileAttributeView;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.steptuner.DeviceException;
import org.steptuner.GatedFiles;
import org.steptuner.Interruptions;
import org.steptuner.MemoryFolder;
import org.steptuner.OtherJvm;

/** A file is there whole, or as it was before; nothing is left beside it. On every file system, thread and name. */
@Timeout(120)
class WholeFileTest {
  @TempDir(factory = MemoryFolder.class)
  Path folder;

  private static void write(Path file, String text) throws IOException {
    WholeFile.write(file, out -> out.write(text.getBytes(StandardCharsets.UTF_8)));
  }

  private static List<String> names(Path folder) throws IOException {
    try (Stream<Path> paths = Files.list(folder)) {
      return paths.map(path -> path.getFileName().toString()).sorted().toList();
    }
  }

  private static String refused(Path file) {
    final IOException e = assertThrows(IOException.class, () -> write(file, "new"));
    return WholeFile.reason(e);
  }

  @Test
  void anInterruptedThread() throws IOException {
    final Path file = folder.resolve("f");
    for (String text : List.of("one", "two")) {
      Thread.currentThread().interrupt();
      write(file, text);
      assertTrue(Thread.interrupted(), "it is interrupted as before");
      assertEquals(text, Files.readString(file));
      write(file, text + " again");
      assertFalse(Thread.interrupted(), "and not if it was not");
    }
    assertEquals(List.of("f"), names(folder));
  }

  @Test
  void interruptedAtAnyMoment() throws IOException {
    final byte[] content = new byte[200_000];
    final Path file = folder.resolve("f");
    int interrupted = 0;
    try (Interruptions running = new Interruptions()) {
      assertTrue(running != null);
      for (int i = 0; i < 300; ++i) {
        content[0] = (byte) i;
        WholeFile.write(file, out -> out.write(content));
        if (Thread.interrupted()) ++interrupted;
        assertEquals((byte) i, Files.readAllBytes(file)[0]);
        assertEquals(content.length, Files.size(file));
      }
    }
    assertTrue(interrupted > 0);
    assertEquals(List.of("f"), names(folder));
  }

  /** A stream that an interruption closes, as those of many file systems. */
  @Test
  void interruptedOnAnotherFileSystem() throws Exception {
    try (FileSystem memory = Jimfs.newFileSystem(Configuration.unix())) {
      final GatedFiles gated = new GatedFiles(Files.createDirectory(memory.getPath("/d")));
      gated.close();
      final AtomicReference<Object> outcome = new AtomicReference<>();
      final Thread writer =
          new Thread(
              () -> {
                try {
                  write(gated.resolve("f"), "text");
                  outcome.set(Thread.interrupted());
                } catch (IOException | RuntimeException e) {
                  outcome.set(e);
                }
              });
      writer.start();
      gated.awaitWriter();
      writer.interrupt();
      while (writer.isInterrupted()) Thread.onSpinWait(); // until it has seen it
      gated.open();
      writer.join();
      assertEquals(true, outcome.get(), "written, and still interrupted");
      assertEquals("text", Files.readString(memory.getPath("/d/f")));
      assertEquals(List.of("f"), names(memory.getPath("/d")));
    }
  }

  @Test
  void inAZipFile() throws IOException {
    final URI zip = URI.create("jar:" + folder.resolve("z.zip").toUri());
    try (FileSystem files = FileSystems.newFileSystem(zip, Map.of("create", "true"))) {
      write(files.getPath("/f"), "first");
      write(files.getPath("f"), "second");
      Files.createDirectory(files.getPath("/d"));
      write(files.getPath("/d/g"), "in a folder");
      assertEquals("there is no /no", refused(files.getPath("/no/f")));
      assertEquals("it is a folder", refused(files.getPath("/d")));
      assertEquals("it is a folder", refused(files.getPath("/")));
    }
    try (FileSystem files = FileSystems.newFileSystem(zip, Map.of())) {
      assertEquals("second", Files.readString(files.getPath("/f")));
      assertEquals("in a folder", Files.readString(files.getPath("/d/g")));
      assertEquals(List.of("d", "f"), names(files.getPath("/")).stream().map(name -> name.replace("/", "")).toList());
    }
    final FileSystem closed = FileSystems.newFileSystem(zip, Map.of());
    closed.close();
    assertEquals("the file system is closed", refused(closed.getPath("/f")));
  }

  @Test
  void aReadOnlyFileSystem() {
    final Path modules = FileSystems.getFileSystem(URI.create("jrt:/")).getPath("/modules");
    assertEquals("the file system is read-only", refused(modules.resolve("f")));
  }

  @Test
  void inMemory() throws IOException {
    final Configuration posix = Configuration.unix().toBuilder().setAttributeViews("basic", "owner", "posix", "unix").build();
    for (Configuration configuration : List.of(Configuration.unix(), Configuration.windows(), Configuration.osX(), posix))
      try (FileSystem memory = Jimfs.newFileSystem(configuration)) {
        final Path work = memory.getPath("").toAbsolutePath();
        final Path file = memory.getPath("f");
        write(file, "first");
        if (configuration == posix) Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r-----"));
        Thread.currentThread().interrupt();
        write(file, "second");
        assertTrue(Thread.interrupted());
        if (configuration == posix) assertEquals("rw-r-----", PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
        Files.createSymbolicLink(memory.getPath("link"), file);
        write(memory.getPath("link"), "third");
        assertTrue(Files.isSymbolicLink(memory.getPath("link")));
        assertEquals("third", Files.readString(file));
        assertThrows(OutOfMemoryError.class, () -> WholeFile.write(file, out -> {
          out.write(new byte[100_000]);
          throw new OutOfMemoryError("planted");
        }));
        assertEquals(List.of("f", "link"), names(work));
        assertEquals("third", Files.readString(file));
      }
  }

  @Test
  void throughLinks() throws IOException {
    final Path files = Files.createDirectory(folder.resolve("files"));
    final Path links = Files.createDirectory(folder.resolve("links"));
    Files.writeString(files.resolve("old"), "old");
    final Map<String, Path> leads =
        Map.of(
            "absolute", files.resolve("old"),
            "relative", Path.of("../files/old"),
            "chain", Path.of("relative"),
            "dangling", Path.of("../files/absent"),
            "dangling chain", Path.of("dangling"));
    for (Map.Entry<String, Path> link : leads.entrySet()) Files.createSymbolicLink(links.resolve(link.getKey()), link.getValue());
    for (String link : leads.keySet()) {
      write(links.resolve(link), link);
      assertEquals(leads.get(link), Files.readSymbolicLink(links.resolve(link)), "the link stays");
      assertEquals(link, Files.readString(files.resolve(link.startsWith("dangling") ? "absent" : "old")));
    }
    assertEquals(List.of("absent", "old"), names(files));
    assertEquals(leads.keySet().stream().sorted().toList(), names(links));
    // What .. means behind a link is for the system to say.
    Files.createDirectories(folder.resolve("deep/er"));
    Files.createSymbolicLink(folder.resolve("to"), Path.of("deep/er"));
    write(folder.resolve("to/../f"), "up");
    assertEquals("up", Files.readString(folder.resolve("deep/f")));

    Files.createSymbolicLink(links.resolve("folder"), files);
    assertEquals("it is a folder", refused(links.resolve("folder")));
    Files.createSymbolicLink(links.resolve("self"), Path.of("self"));
    Files.createSymbolicLink(links.resolve("a"), Path.of("b"));
    Files.createSymbolicLink(links.resolve("b"), Path.of("a"));
    for (String loop : List.of("self", "a")) assertTrue(refused(links.resolve(loop)).contains("circle"), loop);
    Files.createSymbolicLink(links.resolve("nowhere"), Path.of("no/such"));
    assertTrue(refused(links.resolve("nowhere")).contains("there is no"), "a dangling link into no folder");
    assertEquals(List.of("absent", "old"), names(files));
  }

  /** As long as a name may be, and of all characters. */
  @ParameterizedTest
  @ValueSource(strings = {"x", " ", "-rf", "a\nb", "quote\"'", "*?[", "~", ".hidden", "...", "größe 層"})
  void names(String part) throws IOException {
    final Path file;
    final Path longest;
    try {
      file = folder.resolve(part);
      int length = part.getBytes(StandardCharsets.UTF_8).length;
      longest = folder.resolve(part + "n".repeat(255 - length));
    } catch (InvalidPathException e) {
      Assumptions.abort("this locale has no such characters: " + part);
      return;
    }
    for (Path target : List.of(file, longest))
      for (String text : List.of("first", "second")) {
        write(target, text);
        assertEquals(text, Files.readString(target));
      }
    assertEquals(2, names(folder).size());
    assertTrue(refused(folder.resolve("n".repeat(256))).contains("too long"));
    assertEquals(2, names(folder).size());
  }

  /** Names that are no text in any encoding, which {@link java.io.File} cannot say. */
  @Test
  void namesThatCannotBeDecoded() throws Exception {
    final Process made =
        new ProcessBuilder("bash", "-c", "mkdir \"$0\"/$'\\xff\\xfe' && touch \"$0\"/$'\\xff\\xfe'/$'\\xfd'", folder.toString()).start();
    assertEquals(0, made.waitFor());
    final Path inner;
    try (Stream<Path> paths = Files.list(folder)) {
      inner = paths.findFirst().orElseThrow();
    }
    final Path file;
    try (Stream<Path> paths = Files.list(inner)) {
      file = paths.findFirst().orElseThrow();
    }
    write(file, "text");
    write(inner.resolve("plain"), "text");
    assertEquals("text", Files.readString(file));
    assertEquals(2, names(inner).size());
  }

  @Test
  void whatIsNoOrdinaryFile() throws Exception {
    for (Path refused : List.of(Path.of("/"), Path.of(""), Path.of("."), Path.of(".."), folder, folder.resolve(".")))
      assertEquals("it is a folder", refused(refused), refused.toString());
    assertTrue(refused(Path.of("/dev/null")).contains("device"));
    final Path pipe = folder.resolve("pipe");
    assertEquals(0, new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor());
    assertTrue(refused(pipe).contains("pipe"));
    Files.writeString(folder.resolve("file"), "");
    assertTrue(refused(folder.resolve("file/f")).contains("no folder"));
    assertEquals(List.of("file", "pipe"), names(folder));
  }

  @Test
  void aRelativeName() throws IOException {
    final Path local = Path.of("steptuner-test-" + System.nanoTime());
    try {
      write(local, "text");
      write(Path.of(".").resolve(local), "again");
      assertEquals("again", Files.readString(local));
    } finally {
      Files.deleteIfExists(local);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"rw-------", "rw-r-----", "rw-rw-rw-", "r--r--r--", "rwxr-x--x", "---------"})
  void permissionsStay(String permissions) throws IOException {
    final Path file = folder.resolve("f");
    write(file, "first");
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString(permissions));
    final List<String> during = new ArrayList<>();
    WholeFile.write(
        file, out -> {
          out.write(1);
          for (String name : names(folder))
            if (!name.equals("f"))
              during.add(PosixFilePermissions.toString(Files.getPosixFilePermissions(folder.resolve(name), LinkOption.NOFOLLOW_LINKS)));
        });
    assertEquals(permissions, PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
    assertEquals(List.of("rw-------"), during, "nobody else reads it before");
  }

  /** Where all files have the same permissions a file can be replaced all the same, unless others could read what they could not. */
  @Test
  void permissionsThatCannotBeChanged() throws IOException {
    final Configuration posix = Configuration.unix().toBuilder().setAttributeViews("basic", "owner", "posix", "unix").build();
    try (FileSystem memory = Jimfs.newFileSystem(posix)) {
      final Path real = Files.createDirectory(memory.getPath("/d"));
      final GatedFiles fixed = new GatedFiles(real);
      fixed.fixPermissions();
      write(fixed.resolve("f"), "first");
      write(fixed.resolve("f"), "second");
      assertEquals("second", Files.readString(real.resolve("f")));
      Files.setPosixFilePermissions(real.resolve("f"), PosixFilePermissions.fromString("rw-------"));
      assertEquals("permissions are fixed here", refused(fixed.resolve("f")));
      assertEquals("second", Files.readString(real.resolve("f")));
      assertEquals(List.of("f"), names(real));
    }
  }

  /** What failed first is the reason, also where what was begun cannot be removed either. */
  @Test
  void whatFailedFirstIsTheReason() throws IOException {
    try (FileSystem memory = Jimfs.newFileSystem(Configuration.unix())) {
      final GatedFiles kept = new GatedFiles(Files.createDirectory(memory.getPath("/d")));
      kept.keep();
      kept.failWith(new IOException("planted"));
      assertEquals("planted", refused(kept.resolve("f")));
    }
  }

  @Test
  void aNewFileHasTheUsualPermissions() throws IOException {
    write(folder.resolve("ours"), "");
    Files.createFile(folder.resolve("usual"));
    assertEquals(
        Files.getPosixFilePermissions(folder.resolve("usual")), Files.getPosixFilePermissions(folder.resolve("ours")));
  }

  @Test
  void ownerAndGroupStay() throws IOException {
    final Path file = folder.resolve("f");
    write(file, "first");
    final PosixFileAttributeView view = Files.getFileAttributeView(file, PosixFileAttributeView.class);
    try {
      view.setOwner(file.getFileSystem().getUserPrincipalLookupService().lookupPrincipalByName("12345"));
      view.setGroup(file.getFileSystem().getUserPrincipalLookupService().lookupPrincipalByGroupName("54321"));
    } catch (IOException e) {
      Assumptions.abort("only the superuser may give files away");
    }
    write(file, "second");
    assertEquals("12345", view.readAttributes().owner().getName());
    assertEquals("54321", view.readAttributes().group().getName());
  }

  /** Whatever fails on the way: the old file stays, and nothing beside it. */
  @Test
  void contentThatFails() throws IOException {
    final Path old = folder.resolve("old");
    write(old, "old");
    for (Throwable planted : List.of(
        new IOException("planted"), new DeviceException("planted"), new OutOfMemoryError("planted"), new StackOverflowError()))
      for (Path file : List.of(old, folder.resolve("new"))) {
        final Throwable thrown =
            assertThrows(
                planted.getClass(), () -> WholeFile.write(
                    file, out -> {
                      out.write(new byte[300_000]);
                      if (planted instanceof IOException e) throw e;
                      if (planted instanceof RuntimeException e) throw e;
                      throw (Error) planted;
                    }));
        assertEquals(planted, thrown);
        assertEquals(List.of("old"), names(folder));
        assertEquals("old", Files.readString(old));
      }
  }

  /** Writes something, says so, and goes on when it is told to. */
  static final class SlowWriter {
    public static void main(String[] arguments) throws IOException {
      WholeFile.write(
          Path.of(arguments[0]), out -> {
            out.write(new byte[200_000]);
            System.out.println("half");
            if (System.in.read() < 0) throw new IOException("told to fail");
            out.write(new byte[100_000]);
          });
    }
  }

  @Test
  void killedWritersLeaveNothingForLong() throws Exception {
    final Path file = folder.resolve("f");
    for (String target : List.of("f", "another file in the folder")) {
      final List<Process> writers = new ArrayList<>();
      for (int i = 0; i < 2; ++i) writers.add(OtherJvm.with("-Xmx32m").start(SlowWriter.class, folder.resolve(target)));
      for (Process writer : writers) OtherJvm.await(writer, "half");
      assertEquals(2, names(folder).stream().filter(name -> name.endsWith(".partial")).count());
      for (Process writer : writers) writer.destroyForcibly().waitFor();
      write(file, "whole");
      assertEquals(List.of("f"), names(folder));
      assertEquals("whole", Files.readString(file));
    }
  }

  @Test
  void filesOfLivingWritersStay() throws Exception {
    final Path file = folder.resolve("f");
    final Process other = OtherJvm.with("-Xmx32m").start(SlowWriter.class, file);
    OtherJvm.await(other, "half");
    // And one of this process, of which the other must not lose its lock.
    final CountDownLatch half = new CountDownLatch(1);
    final CountDownLatch goOn = new CountDownLatch(1);
    final AtomicReference<Exception> failed = new AtomicReference<>();
    final Thread thread =
        new Thread(
            () -> {
              try {
                WholeFile.write(
                    file, out -> {
                      out.write(1);
                      half.countDown();
                      try {
                        goOn.await();
                      } catch (InterruptedException e) {
                        throw new IOException(e);
                      }
                    });
              } catch (IOException | RuntimeException e) {
                failed.set(e);
              }
            });
    thread.start();
    half.await();
    for (int i = 0; i < 3; ++i) write(file, "short");
    final Process third = OtherJvm.with("-Xmx32m").start(SlowWriter.class, file);
    OtherJvm.await(third, "half");
    third.destroyForcibly().waitFor();
    write(file, "short");
    assertEquals(3, names(folder).size(), "f, and two that are being written");
    other.getOutputStream().write(1);
    other.getOutputStream().close();
    assertEquals(0, other.waitFor());
    assertEquals(300_000, Files.size(file), "the other process's file");
    goOn.countDown();
    thread.join();
    assertEquals(null, failed.get());
    assertEquals(1, Files.size(file), "this process's file");
    assertEquals(List.of("f"), names(folder));
  }

  /** Saves to one target, many times. */
  static final class Repeated {
    public static void main(String[] arguments) throws Exception {
      final AtomicReference<Throwable> failed = new AtomicReference<>();
      final List<Thread> threads = new ArrayList<>();
      for (int t = 0; t < 3; ++t) {
        final byte[] content = new byte[70_000];
        java.util.Arrays.fill(content, (byte) t);
        threads.add(
            new Thread(
                () -> {
                  try {
                    for (int i = 0; i < 200; ++i) WholeFile.write(Path.of(arguments[0]), out -> out.write(content));
                  } catch (IOException | RuntimeException | Error e) {
                    failed.set(e);
                  }
                }));
      }
      threads.forEach(Thread::start);
      for (Thread thread : threads) thread.join();
      if (failed.get() != null) throw new AssertionError(failed.get());
    }
  }

  /** Two processes with three threads each: every save succeeds, and what is there in the end is one of theirs. */
  @Test
  void manyWritersOfOneFile() throws Exception {
    final Path file = folder.resolve("f");
    final Process other = OtherJvm.with("-Xmx64m").start(Repeated.class, file);
    Repeated.main(new String[] {file.toString()});
    final String printed = new String(other.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, other.waitFor(), printed);
    assertEquals(List.of("f"), names(folder));
    final byte[] content = Files.readAllBytes(file);
    assertEquals(70_000, content.length);
    for (byte b : content) assertEquals(content[0], b);
  }
}
