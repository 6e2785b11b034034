// SPDX-License-Identifier: Apache-2.0
package org.steptuner.torture;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.steptuner.CheckpointException;
import org.steptuner.Optimizer;
import org.steptuner.SavedState;
import org.steptuner.TestOptimizers;
import org.steptuner.checkpoint.Bowl;
import org.steptuner.checkpoint.Recorded;
import org.steptuner.checkpoint.RecordedRun;

/**
 * Damages checkpoints and restores them into optimizers that have a state already. Each must be refused, with everything left as it was, or
 * be restored as it was saved. Where its content was edited and the checksums made to fit, it may be restored as what it says now. File
 * {@code i} of a seed is always the same one.
 */
final class FuzzCheckpoints {
  /** A call of {@code step} whose gradients are finite. */
  private static final int SOUND_CALL = 4;
  private static final int LATER_CALL = 9;

  /** A valid file, the run that it belongs to, and what an optimizer holds that restored it. */
  private record Source(RecordedRun run, byte[] content, SavedState state) {}

  /** A file that was made of a valid one, and may have parts of another one. */
  private record Case(Source source, Source other, Damage damage, byte[] content) {}

  /** What became of a file. */
  enum Outcome {
    /** By a {@link CheckpointException}. */
    REFUSED,
    /** By an {@link UncheckedIOException}. */
    UNREADABLE,
    /** The damage changed nothing that counts. */
    AS_SAVED,
    /** The edited content. */
    AS_EDITED,
    /** Anything else. */
    FAILED
  }

  private final long seed;
  private final Path folder;
  private final List<Recorded.File> recorded;
  private final List<RecordedRun> runs;
  private final Map<Integer, Source> sources = new HashMap<>();
  private final Map<RecordedRun, Source> later = new HashMap<>();
  private final Map<Damage, Map<Outcome, Integer>> counts = new EnumMap<>(Damage.class);
  private final List<String> failures = new ArrayList<>();

  FuzzCheckpoints(long seed, Path folder) {
    this.seed = seed;
    this.folder = folder;
    recorded = Stream.of(1, 2).flatMap(version -> Recorded.files(version).stream()).toList();
    runs = new ArrayList<>(Recorded.runs());
    final RecordedRun.Kind[] kinds = RecordedRun.Kind.values();
    for (TestOptimizers.Configuration c : Stream.concat(TestOptimizers.all().stream(), TestOptimizers.others().stream()).toList())
      runs.add(new RecordedRun(c.name(), kinds[runs.size() % kinds.length], RecordedRun.Updates.DESCENT, bowl -> c.builder().get()));
  }

  /** @param arguments {@code --files N --seed N --only I --folder FOLDER}, each optional */
  public static void main(String[] arguments) throws IOException {
    final Arguments options = Arguments.parse(arguments, "files", "seed", "only", "folder");
    final int files = options.count("files", 10_000);
    final long seed = options.seed();
    final Path parent = Path.of(options.text("folder", System.getProperty("java.io.tmpdir")));
    final Path folder = Files.createTempDirectory(parent, "fuzz-checkpoints");
    System.out.println("fuzz-checkpoints: seed " + seed + "; a file lies in " + folder + " while it is restored, and stays if that fails");
    final FuzzCheckpoints fuzz = new FuzzCheckpoints(seed, folder);
    if (options.has("only")) {
      System.out.println("fuzz-checkpoints: " + fuzz.describe((int) options.number("only", 0)));
      fuzz.run((int) options.number("only", 0), (int) options.number("only", 0) + 1, 120);
    } else {
      fuzz.run(0, files, 120);
      System.out.print(fuzz.table());
    }
    System.out.println("fuzz-checkpoints: " + fuzz.failures.size() + " failures, seed " + seed);
    if (!fuzz.failures.isEmpty()) System.exit(1);
    Files.delete(folder);
  }

  List<String> failures() {
    return failures;
  }

  int count(Outcome outcome) {
    return counts.values().stream().mapToInt(of -> of.getOrDefault(outcome, 0)).sum();
  }

  /** Restores the files of these numbers. The process ends if one of them takes longer than so many seconds. */
  void run(int from, int to, int patience) throws IOException {
    for (int i = from; i < to; ++i) {
      final CountDownLatch done = new CountDownLatch(1);
      final Thread watchdog = new Thread(new Watchdog(i, patience, done, Thread.currentThread()), "watchdog");
      watchdog.setDaemon(true);
      watchdog.start();
      try {
        one(i);
      } finally {
        done.countDown();
      }
      if ((i + 1) % 1000 == 0 && i + 1 < to)
        System.out.println("fuzz-checkpoints: " + (i + 1) + " files, " + failures.size() + " failures");
    }
  }

  private record Watchdog(int file, int patience, CountDownLatch done, Thread watched) implements Runnable {
    @Override
    public void run() {
      try {
        if (done.await(patience, TimeUnit.SECONDS)) return;
        System.out.println("fuzz-checkpoints: file " + file + " hangs");
        for (StackTraceElement frame : watched.getStackTrace()) System.out.println("    " + frame);
        Runtime.getRuntime().halt(3);
      } catch (InterruptedException e) {
        // nobody interrupts it, and there is nothing to clean up
      }
    }
  }

  private static SplittableRandom randomOf(long seed, int i) {
    return new SplittableRandom(seed * 0x9e3779b97f4a7c15L + i);
  }

  private static Damage damageOf(int i) {
    return Damage.values()[i % Damage.values().length];
  }

  private String describe(int i) {
    final int number = randomOf(seed, i).nextInt(recorded.size() + runs.size());
    return "file " + i + ": " + damageOf(i) + " of "
        + (number < recorded.size() ? recorded.get(number) : "the present version, " + runs.get(number - recorded.size()));
  }

  private void one(int i) throws IOException {
    final Damage damage = damageOf(i);
    Outcome outcome = Outcome.FAILED;
    final Path file = folder.resolve("file-" + i + ".checkpoint");
    try {
      final Case damaged = damaged(i);
      Files.write(file, damaged.content);
      outcome = restored(damaged, file);
      Files.delete(file);
    } catch (Exception | Error e) {
      failures.add(describe(i) + ": " + e + "; see " + file);
      System.out.println("fuzz-checkpoints: " + failures.get(failures.size() - 1));
      for (StackTraceElement frame : Arrays.copyOf(e.getStackTrace(), Math.min(8, e.getStackTrace().length)))
        System.out.println("    " + frame);
    }
    counts.computeIfAbsent(damage, d -> new EnumMap<>(Outcome.class)).merge(outcome, 1, Integer::sum);
  }

  /** The file of a number. */
  byte[] content(int i) throws IOException {
    return damaged(i).content;
  }

  private Case damaged(int i) throws IOException {
    final SplittableRandom random = randomOf(seed, i);
    final int all = recorded.size() + runs.size();
    final Source source = source(random.nextInt(all));
    final Source other = random.nextBoolean() ? later(source.run) : source(random.nextInt(all));
    return new Case(source, other, damageOf(i), damageOf(i).of(random, source.content, other.content));
  }

  private Outcome restored(Case damaged, Path file) throws IOException {
    final RecordedRun run = damaged.source.run;
    try (Bowl bowl = run.begin(); Optimizer optimizer = run.optimizer(bowl)) {
      run.train(bowl, optimizer, 0, 2);
      final SavedState before = SavedState.of(optimizer);
      Outcome outcome;
      try {
        optimizer.restore(file);
        outcome = accepted(damaged, optimizer);
      } catch (CheckpointException e) {
        outcome = Outcome.REFUSED;
      } catch (UncheckedIOException e) {
        outcome = Outcome.UNREADABLE;
      }
      if (outcome == Outcome.REFUSED || outcome == Outcome.UNREADABLE)
        before.assertSame(SavedState.of(optimizer), "after the refusal");
      final long steps = optimizer.steps();
      run.train(bowl, optimizer, SOUND_CALL, SOUND_CALL + 1);
      if (outcome != Outcome.AS_EDITED && optimizer.steps() != steps + 1) throw new IllegalStateException("the next step was not made");
      bowl.tensors().assertFencesStand("after the next step");
      return outcome;
    }
  }

  private Outcome accepted(Case damaged, Optimizer optimizer) throws IOException {
    final Source source = damaged.source;
    final Source other = damaged.other;
    final SavedState now = SavedState.of(optimizer);
    if (now.isSame(source.state) || other.run == source.run && now.isSame(other.state)) return Outcome.AS_SAVED;
    if (!damaged.damage.mayChange) source.state.assertSame(now, "restored");
    if (optimizer.steps() < 0 || optimizer.report().skippedSteps() < 0) throw new IllegalStateException("a count is negative");
    // What it holds now is a state like any other: it can be saved, and comes back.
    final Path again = folder.resolve("again.checkpoint");
    optimizer.save(again);
    restore(source.run, again).assertSame(now, "saved and restored again");
    Files.delete(again);
    return Outcome.AS_EDITED;
  }

  /** What a new optimizer of a run holds after it has restored a file. */
  private static SavedState restore(RecordedRun run, Path file) {
    try (Bowl bowl = run.begin(); Optimizer optimizer = run.optimizer(bowl)) {
      optimizer.restore(file);
      return SavedState.of(optimizer);
    }
  }

  private Source source(int number) throws IOException {
    Source source = sources.get(number);
    if (source == null) {
      if (number < recorded.size()) {
        source = whole(recorded.get(number).run(), recorded.get(number).content());
      } else {
        final RecordedRun run = runs.get(number - recorded.size());
        source = whole(run, saved(run, RecordedRun.SAVED));
      }
      sources.put(number, source);
    }
    return source;
  }

  /** Another file of the same run. */
  private Source later(RecordedRun run) throws IOException {
    Source source = later.get(run);
    if (source == null) {
      source = whole(run, saved(run, LATER_CALL));
      later.put(run, source);
    }
    return source;
  }

  private byte[] saved(RecordedRun run, int calls) throws IOException {
    final Path file = folder.resolve("whole.checkpoint");
    try (Bowl bowl = run.begin(); Optimizer optimizer = run.optimizer(bowl)) {
      run.train(bowl, optimizer, 0, calls);
      optimizer.save(file);
    }
    final byte[] content = ZipForge.timeless(Files.readAllBytes(file));
    Files.delete(file);
    return content;
  }

  private Source whole(RecordedRun run, byte[] content) throws IOException {
    final Path file = Files.write(folder.resolve("whole.checkpoint"), content);
    final SavedState state = restore(run, file);
    Files.delete(file);
    return new Source(run, content, state);
  }

  /** How many files of each kind had which outcome. */
  String table() {
    final StringBuilder table = new StringBuilder(String.format("%-28s", "damage"));
    for (Outcome outcome : Outcome.values()) table.append(String.format("%12s", outcome.toString().toLowerCase().replace('_', ' ')));
    table.append('\n');
    counts.forEach(
        (damage, of) -> {
          table.append(String.format("%-28s", damage.toString().toLowerCase().replace('_', ' ')));
          for (Outcome outcome : Outcome.values()) table.append(String.format("%12d", of.getOrDefault(outcome, 0)));
          table.append('\n');
        });
    table.append(String.format("%-28s", "all"));
    for (Outcome outcome : Outcome.values()) table.append(String.format("%12d", count(outcome)));
    return table.append('\n').toString();
  }
}
