// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Runs a class of the tests in a JVM of its own, with this JVM's class path. */
public final class OtherJvm {
  private final List<String> command = new ArrayList<>();

  private OtherJvm() {}

  /** A JVM with options. */
  public static OtherJvm with(String... options) {
    final OtherJvm jvm = new OtherJvm();
    jvm.command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    jvm.command.addAll(List.of("-cp", System.getProperty("java.class.path")));
    final String unpacked = System.getProperty("org.bytedeco.javacpp.cachedir");
    if (unpacked != null) jvm.command.add("-Dorg.bytedeco.javacpp.cachedir=" + unpacked);
    if (Runtime.version().feature() >= 22) jvm.command.add("--enable-native-access=ALL-UNNAMED");
    jvm.command.addAll(List.of(options));
    return jvm;
  }

  /** The same, started by a line of bash, in which {@code "$@"} is the JVM's own command. */
  public OtherJvm by(String line) {
    command.addAll(0, List.of("bash", "-c", line, "bash"));
    return this;
  }

  /** Starts a class; what it prints on both streams is the process's output. */
  public Process start(Class<?> main, Object... arguments) throws IOException {
    final List<String> all = new ArrayList<>(command);
    all.add(main.getName());
    for (Object argument : arguments) all.add(argument.toString());
    return new ProcessBuilder(all).redirectErrorStream(true).start();
  }

  /** Runs a class to its end, which must be a good one; gives what it printed. */
  public String run(Class<?> main, Object... arguments) throws IOException, InterruptedException {
    final Process process = start(main, arguments);
    process.getOutputStream().close();
    final String printed = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), printed);
    return printed;
  }

  /** Reads what a process prints, until it prints a line. */
  public static void await(Process process, String line) throws IOException {
    final StringBuilder before = new StringBuilder();
    final BufferedReader reader = process.inputReader(StandardCharsets.UTF_8);
    for (String read = reader.readLine(); !line.equals(read); read = reader.readLine()) {
      if (read == null) throw new AssertionError("it ended without '" + line + "': " + before);
      before.append(read).append('\n');
    }
  }
}
