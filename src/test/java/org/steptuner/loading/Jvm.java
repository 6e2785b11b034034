// SPDX-License-Identifier: Apache-2.0
package org.steptuner.loading;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import program.Program;

/** A JVM of its own that runs a program, with a cache of its own. */
final class Jvm {
  /** What a program printed. */
  record Run(int status, String output) {
    List<String> lines(String way) {
      return output.lines().filter(line -> line.startsWith(way + "|")).toList();
    }

    /** The program ran, and trained. */
    Run assertTrained() {
      assertEquals(0, status, output);
      assertEquals(List.of("parameters|" + Program.step()), lines("parameters"), output);
      return this;
    }

    /** The program ran to its end, and each of its attempts met a DeviceException with the same message, which holds these parts. */
    String assertRefused(String... parts) {
      assertEquals(0, status, output);
      final List<String> attempts = output.lines().filter(line -> line.matches("(best|cpu|cpu\\(2\\)|cuda|library|thread)\\|.*")).toList();
      assertEquals(10, attempts.size(), output);
      final List<String> different = attempts.stream().map(line -> line.substring(line.indexOf('|') + 1)).distinct().toList();
      assertEquals(1, different.size(), output);
      final String said = different.get(0);
      // The package of the exception may be a renamed one.
      assertTrue(said.matches("[a-z.]*org\\.steptuner\\.DeviceException\\|.*\\|cause"), output);
      for (String part : parts) assertTrue(said.contains(part), () -> "'" + part + "' is not in: " + said);
      return said;
    }
  }

  private static final int SECONDS = 120;

  private final Path home;
  private final List<String> options = new ArrayList<>();
  private final List<String> prefix = new ArrayList<>();
  private List<String> main = List.of("program.Program");

  Jvm(Path home, Path cache) {
    this.home = home;
    options.addAll(List.of("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.bytedeco.javacpp.cachedir=" + cache));
  }

  static Path current() {
    return Path.of(System.getProperty("java.home"));
  }

  /** The JDK that runs the tests, and the newest other one on this machine from 24 on: environment STEPTUNER_NEWER_JDK, or /usr/lib/jvm. */
  static List<Path> homes() throws IOException {
    final List<Path> homes = new ArrayList<>(List.of(current()));
    final String given = System.getenv("STEPTUNER_NEWER_JDK");
    if (given != null && !given.isEmpty()) homes.add(Path.of(given));
    else if (Files.isDirectory(Path.of("/usr/lib/jvm"))) {
      try (Stream<Path> found = Files.list(Path.of("/usr/lib/jvm"))) {
        found.filter(home -> Files.isExecutable(home.resolve("bin/java")) && Files.exists(home.resolve("release")))
            .filter(home -> version(home) > version(current()) && asksForPermission(home))
            .max(Comparator.comparingInt(Jvm::version)).ifPresent(homes::add);
      }
    }
    return homes;
  }

  /** Whether native code needs a permission there (JEP 472). */
  static boolean asksForPermission(Path home) {
    return version(home) >= 24;
  }

  static int version(Path home) {
    if (home.equals(current())) return Runtime.version().feature();
    try {
      // JAVA_VERSION="25.0.3"; 1.8.0_402 of the old form is a 1.
      final Matcher version = Pattern.compile("(?m)^JAVA_VERSION=\"(\\d+)").matcher(Files.readString(home.resolve("release")));
      return version.find() ? Integer.parseInt(version.group(1)) : 0;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  Jvm with(String... more) {
    options.addAll(List.of(more));
    return this;
  }

  Jvm classPath(List<Path> entries) {
    return with("-cp", join(entries));
  }

  Jvm modulePath(List<Path> entries) {
    main = List.of("-m", "program/program.Program");
    return with("-p", join(entries));
  }

  Jvm starting(String... what) {
    main = List.of(what);
    return this;
  }

  /** A command that starts the JVM, such as one that mounts something first. */
  Jvm within(String... command) {
    prefix.addAll(List.of(command));
    return this;
  }

  Run run(String... more) throws IOException, InterruptedException {
    final List<String> command = new ArrayList<>(prefix);
    command.add(home.resolve("bin/java").toString());
    command.addAll(options);
    command.addAll(main);
    command.addAll(List.of(more));
    return command(command);
  }

  static Run command(List<String> command) throws IOException, InterruptedException {
    final Path output = Files.createTempFile("steptuner", ".log");
    try {
      final ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output.toFile());
      for (String variable : List.of("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH", "STEPTUNER_THREADS", "STEPTUNER_ISA"))
        builder.environment().remove(variable);
      final Process process = builder.start();
      if (!process.waitFor(SECONDS, TimeUnit.SECONDS)) {
        process.destroyForcibly().waitFor();
        throw new AssertionError("no end after " + SECONDS + " s: " + command + "\n" + Files.readString(output));
      }
      return new Run(process.exitValue(), Files.readString(output));
    } finally {
      Files.delete(output);
    }
  }

  static String join(List<Path> entries) {
    return entries.stream().map(Path::toString).collect(Collectors.joining(File.pathSeparator));
  }
}
