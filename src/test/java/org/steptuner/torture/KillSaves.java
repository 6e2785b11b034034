// SPDX-License-Identifier: Apache-2.0
package org.steptuner.torture;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * Kills processes with SIGKILL while they save, and looks at what they leave: a checkpoint that loads and is of one step, the last one that
 * was saved completely or one that was being saved, and few partial files. All ways to save take turns. Moments and sizes come from a
 * seed; where a kill hits depends on the machine too.
 */
final class KillSaves {
  private static final int MOST_KILLS_OF_A_ROUND = 20;
  /** That of the dead writer before the last one, which the last one had no time to remove, and its own. */
  private static final int MOST_PARTIAL_FILES = 2;
  private static final long PATIENCE = TimeUnit.SECONDS.toNanos(60);

  /**
   * What happened.
   *
   * @param kills the processes killed
   * @param duringSaves those of them that were saving
   * @param newFiles those of these that had their new file in place
   * @param mostPartialFiles the most partial files that lay there after a kill
   * @param failures a line each; the files are kept
   */
  record Outcome(int kills, int duringSaves, int newFiles, int mostPartialFiles, List<String> failures) {
    @Override
    public String toString() {
      return kills + " kills: " + duringSaves + " during a save, of which " + newFiles + " had the new file in place; at most "
          + mostPartialFiles + " partial files were left; " + failures.size() + " failures";
    }
  }

  private final long seed;
  private final Path work;
  private final SplittableRandom random;
  private final List<String> failures = new ArrayList<>();
  private int duringSaves;
  private int newFiles;
  private int mostPartialFiles;

  private KillSaves(long seed, Path work) {
    this.seed = seed;
    this.work = work;
    random = new SplittableRandom(seed);
  }

  /** @param arguments {@code --times N --seed N --folder FOLDER}, each optional */
  public static void main(String[] arguments) throws IOException, InterruptedException {
    final Arguments options = Arguments.parse(arguments, "times", "seed", "folder");
    final int times = options.count("times", 1000);
    final long seed = options.seed();
    final Path folder = Path.of(options.text("folder", System.getProperty("java.io.tmpdir")));
    System.out.println("kill-saves: " + times + " kills, seed " + seed + ", in " + folder);
    final Outcome outcome = run(times, seed, folder);
    System.out.println("kill-saves: " + outcome);
    if (!outcome.failures.isEmpty()) {
      System.out.println("kill-saves: again with --times " + times + " --seed " + seed);
      System.exit(1);
    }
  }

  /** Kills so many processes, with files in a new folder within this one, which goes if nothing failed. */
  static Outcome run(int times, long seed, Path folder) throws IOException, InterruptedException {
    final Path work = Files.createTempDirectory(folder, "kill-saves");
    final KillSaves killer = new KillSaves(seed, work);
    killer.run(times);
    if (killer.failures.isEmpty()) delete(work);
    return new Outcome(times, killer.duringSaves, killer.newFiles, killer.mostPartialFiles, List.copyOf(killer.failures));
  }

  private void run(int times) throws IOException, InterruptedException {
    Process next = start();
    final int ofARound = Math.max(1, Math.min(MOST_KILLS_OF_A_ROUND, times / SaveMode.values().length));
    try (Reference reference = new Reference()) {
      for (int begin = 0, round = 0; begin < times; ++round) {
        final SaveMode mode = SaveMode.values()[round % SaveMode.values().length];
        final int count = 1 << 17 + random.nextInt(3); // 2 to 9 MB of arrays
        final Path files = Files.createDirectories(work.resolve("round-" + round));
        final int end = Math.min(times, begin + ofARound);
        try (Uniform loaded = new Uniform(count)) {
          for (; begin < end; ++begin) {
            final Process victim = next;
            next = start(); // the next one comes up while this one is killed and its file is looked at
            final String problem = kill(victim, mode, count, files, loaded, reference);
            if (problem != null) {
              failures.add("kill " + begin + " (seed " + seed + ", " + mode + "): " + problem + "; see " + files);
              System.out.println("kill-saves: " + failures.get(failures.size() - 1));
              ++begin;
              break;
            }
          }
        }
        if (failures.isEmpty()) delete(files);
      }
    } finally {
      next.destroyForcibly().waitFor();
    }
  }

  private Process start() throws IOException {
    final List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xmx256m", "-Xshare:auto", "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1", "-cp", System.getProperty("java.class.path")));
    if (Runtime.version().feature() >= 22) command.add("--enable-native-access=ALL-UNNAMED");
    final String cache = System.getProperty("org.bytedeco.javacpp.cachedir");
    if (cache != null) command.add("-Dorg.bytedeco.javacpp.cachedir=" + cache);
    command.add(KilledSaver.class.getName());
    return new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.appendTo(output().toFile()))
        .start();
  }

  private Path output() {
    return work.resolve("output");
  }

  /** Returns what is wrong, or null. */
  private String kill(Process victim, SaveMode mode, int count, Path files, Uniform loaded, Reference reference)
      throws IOException, InterruptedException {
    final Path markerFile = work.resolve("marker");
    Files.deleteIfExists(markerFile);
    final SaveMarker marker = SaveMarker.map(markerFile);
    marker.start(-1);
    try {
      final boolean anyFiles = !mode.files(files).isEmpty();
      victim.getOutputStream().write((mode + "\t" + count + "\t" + markerFile + "\t" + files + "\n").getBytes(StandardCharsets.UTF_8));
      victim.getOutputStream().flush();
      if (!await(victim, marker)) return "the process ended by itself or did not save; it said: " + Files.readString(output());
      victim.destroyForcibly().waitFor();
      return problem(mode, files, marker, anyFiles, loaded, reference);
    } finally {
      victim.destroyForcibly().waitFor();
    }
  }

  /** Until a moment of the save that is to be hit, or one in ten times any moment at all. */
  private boolean await(Process victim, SaveMarker marker) throws InterruptedException {
    final boolean anyMoment = random.nextInt(10) == 0;
    final long saves = 1 + random.nextInt(3);
    final double share = random.nextDouble(1.1);
    if (anyMoment) {
      TimeUnit.NANOSECONDS.sleep((long) (share * 3e8));
      return victim.isAlive();
    }
    for (final long begin = System.nanoTime(); marker.saves() < saves;) {
      if (!victim.isAlive() || System.nanoTime() - begin > PATIENCE) return false;
      Thread.onSpinWait();
    }
    final long begin = System.nanoTime();
    final long wait = (long) (share * (marker.nanoseconds() == 0 ? 2e7 : marker.nanoseconds()));
    while (System.nanoTime() - begin < wait) Thread.onSpinWait();
    return victim.isAlive();
  }

  private String problem(SaveMode mode, Path folder, SaveMarker marker, boolean anyFiles, Uniform loaded, Reference reference)
      throws IOException {
    final List<Path> files = mode.files(folder);
    final boolean during = marker.begun() != marker.completed();
    if (during) ++duringSaves;
    final int partial = count(folder) - files.size();
    mostPartialFiles = Math.max(mostPartialFiles, partial);
    if (files.size() > mode.mostFiles) return files.size() + " files were kept";
    if (files.isEmpty()) return anyFiles || marker.completed() >= 0 ? "there was a file, and there is none" : null;
    for (Path file : files) {
      try {
        loaded.optimizer().restore(file);
      } catch (RuntimeException e) {
        return "cannot be restored: " + e;
      }
      final String difference = loaded.difference(reference.at(loaded.optimizer().steps()));
      if (difference != null) return file.getFileName() + " is not step " + loaded.optimizer().steps() + ": " + difference;
    }
    final long step = loaded.optimizer().steps();
    if (marker.saves() > 0 && (step < marker.completed() || step > marker.begun()))
      return "the newest file is of step " + step + ", not of " + marker.completed() + " to " + marker.begun();
    if (during && step == marker.begun()) ++newFiles;
    return partial > MOST_PARTIAL_FILES ? partial + " partial files were left" : null;
  }

  private static int count(Path folder) throws IOException {
    try (Stream<Path> paths = Files.list(folder)) {
      return (int) paths.count();
    }
  }

  private static void delete(Path folder) throws IOException {
    Files.walkFileTree(
        folder,
        new SimpleFileVisitor<>() {
          @Override
          public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
            Files.delete(file);
            return FileVisitResult.CONTINUE;
          }

          @Override
          public FileVisitResult postVisitDirectory(Path directory, IOException failure) throws IOException {
            Files.delete(directory);
            return FileVisitResult.CONTINUE;
          }
        });
  }

  /** The run of one element, at any step. */
  private static final class Reference implements AutoCloseable {
    private Uniform run = new Uniform(1);

    Uniform at(long step) {
      if (run.optimizer().steps() > step) {
        run.close();
        run = new Uniform(1);
      }
      while (run.optimizer().steps() < step) run.optimizer().step();
      return run;
    }

    @Override
    public void close() {
      run.close();
    }
  }
}
