// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/**
 * Fetches files of a Debian package, without installing it and without root: {@code apt-get download} (which checks the archive's
 * signature and the package's hash) and {@code dpkg-deb -x}.
 *
 * @param name of the package
 * @param content the folder within it that is wanted
 * @param otherwise what a person can do where this does not work
 * @param commands runs the programs
 */
record DebianPackage(String name, String content, String otherwise, Commands commands) implements DataFolder.Fetcher {
  /** Runs programs. */
  interface Commands {
    /**
     * Runs one to its end.
     *
     * @param folder to run it in
     * @throws IOException if it cannot be run or fails, with what it printed
     */
    void run(Path folder, List<String> command) throws IOException;
  }

  DebianPackage(String name, String content, String otherwise) {
    this(name, content, otherwise, DebianPackage::execute);
  }

  @Override
  public void fetch(Path folder) {
    Path work = null;
    try {
      Files.createDirectories(folder.toAbsolutePath().getParent());
      work = Files.createTempDirectory(folder.toAbsolutePath().getParent(), ".fetch");
      final Path files = work.resolve("files");
      commands.run(work, List.of("dpkg-deb", "-x", download(work).toString(), files.toString()));
      final Path wanted = files.resolve(content);
      if (!Files.isDirectory(wanted)) throw new DataException("the package " + name + " has no " + content + ". " + otherwise);
      delete(folder); // an incomplete one
      Files.move(wanted, folder, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException | UncheckedIOException e) {
      throw new DataException("cannot fetch the package " + name + ": " + e.getMessage() + "\n" + otherwise, e);
    } finally {
      if (work != null) discard(work);
    }
  }

  private Path download(Path work) throws IOException {
    final List<String> download = List.of("download", name);
    try {
      commands.run(work, aptGet(List.of(), download));
    } catch (IOException stale) {
      // The machine's package lists are missing or too old, and only root may renew them: renew lists of our own.
      final Path lists = Files.createDirectories(work.resolve("lists/partial")).getParent();
      final List<String> options = List.of("-o", "Dir::State::Lists=" + lists, "-o", "Dir::Cache=" + work);
      commands.run(work, aptGet(options, List.of("update")));
      commands.run(work, aptGet(options, download));
    }
    try (Stream<Path> found = Files.list(work)) {
      return found
          .filter(file -> file.toString().endsWith(".deb"))
          .findFirst()
          .orElseThrow(() -> new IOException("apt-get download left no package"));
    }
  }

  private static List<String> aptGet(List<String> options, List<String> command) {
    // As root, apt would drop to a user who cannot write here.
    final List<String> all = new ArrayList<>(List.of("apt-get", "-q", "-o", "APT::Sandbox::User=root"));
    all.addAll(options);
    all.addAll(command);
    return all;
  }

  private static void execute(Path folder, List<String> command) throws IOException {
    final Process process =
        new ProcessBuilder(command)
            .directory(folder.toFile())
            .redirectErrorStream(true)
            .redirectInput(ProcessBuilder.Redirect.from(new File("/dev/null")))
            .start();
    final String output;
    try (InputStream in = process.getInputStream()) {
      output = new String(in.readAllBytes(), StandardCharsets.UTF_8).strip();
    }
    try {
      if (process.waitFor() != 0) throw new IOException(String.join(" ", command) + " failed:\n" + output.indent(2).stripTrailing());
    } catch (InterruptedException e) {
      process.destroy();
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    }
  }

  private static void discard(Path folder) {
    try {
      delete(folder);
    } catch (UncheckedIOException ignored) {
      // What is left behind is hidden, and must not turn a success into a failure.
    }
  }

  private static void delete(Path folder) {
    if (!Files.exists(folder)) return;
    try (Stream<Path> all = Files.walk(folder)) {
      for (Path path : all.sorted(Comparator.reverseOrder()).toList()) Files.delete(path);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
