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
import org.steptuner.CheckpointInfo;
import org.steptuner.Optimizer;
import org.steptuner.RestoreOptions;
import org.steptuner.SavedState;
import org.steptuner.TestOptimizers;
import org.steptuner.checkpoint.Bowl;
import org.steptuner.checkpoint.Recorded;
import org.steptuner.checkpoint.RecordedRun;

/**
 * Damages checkpoints and restores them into optimizers that have a state already. Each must be refused, with everything left as it was, or
 * be restored as it was saved. Where its content was edited and the checksums made to fit, it may be restored as what it says now. Each is
 * restored strictly and leniently. File {@code i} of a seed is always the same one.
 */
final class FuzzCheckpoints {
  /** A call of {@code step} whose gradients are finite. */
  private static final int SOUND_CALL = 4;
  private static final int EARLIER_CALLS = 2;
  private static final int LATER_CALLS = 9;

  /** Into what a file is restored, and how. */
  private enum Target {
    /** Into an optimizer of its run, in which nothing may differ. */
    STRICT(RestoreOptions.strict()),
    /** Likewise, but all may differ that may differ at all. */
    LENIENT(RestoreOptions.lenient()),
    /** Into an optimizer with other tensors, where the file's run can be made with them. */
    CHANGED(RestoreOptions.lenient()) {
      @Override
      RecordedRun run(RecordedRun run) {
        return run.tensors() == RecordedRun.Kind.ODD ? run.over(RecordedRun.Kind.CHANGED) : run;
      }
    };

    final RestoreOptions options;

    Target(RestoreOptions options) {
      this.options = options;
    }

    RecordedRun run(RecordedRun run) {
      return run;
    }
  }

  /** A valid file, and the run that it belongs to. */
  private record Source(RecordedRun run, byte[] content, Map<Target, SavedState> states) {}

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
  private final Map<Outcome, Integer> leniently = new EnumMap<>(Outcome.class);
  private final List<String> failures = new ArrayList<>();

  FuzzCheckpoints(long seed, Path folder) {
    this.seed = seed;
    this.folder = folder;
    recorded = Stream.of(1, 2).flatMap(version -> Recorded.files(version).stream()).toList();
    runs = new ArrayList<>(Recorded.runs());
    final RecordedRun.Kind[] kinds = RecordedRun.Kind.values();
    for (TestOptimizers.Configuration c : Stream.concat(TestOptimizers.all().stream(), TestOptimizers.others().stream()).toList()) {
      runs.add(new RecordedRun(c.name(), kinds[runs.size() % kinds.length], RecordedRun.Updates.DESCENT, bowl -> c.builder().get()));
      final TestOptimizers.Configuration narrow = c.narrow();
      if (runs.size() % 3 == 0)
        runs.add(
            new RecordedRun(
                narrow.name(), RecordedRun.Kind.NARROW, RecordedRun.Updates.DESCENT, bowl -> narrow.builder().get()));
    }
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
    final Path file = folder.resolve("file-" + i + ".checkpoint");
    Outcome strictly = Outcome.FAILED;
    Outcome otherwise = Outcome.FAILED;
    try {
      final Case damaged = damaged(i);
      Files.write(file, damaged.content);
      strictly = restored(damaged, file, Target.STRICT);
      otherwise = restored(damaged, file, i / Damage.values().length % 2 == 0 ? Target.LENIENT : Target.CHANGED);
      look(file);
      Files.delete(file);
    } catch (Exception | Error e) {
      failures.add(describe(i) + ": " + e + "; see " + file);
      System.out.println("fuzz-checkpoints: " + failures.get(failures.size() - 1));
      for (StackTraceElement frame : Arrays.copyOf(e.getStackTrace(), Math.min(8, e.getStackTrace().length)))
        System.out.println("    " + frame);
    }
    counts.computeIfAbsent(damage, d -> new EnumMap<>(Outcome.class)).merge(strictly, 1, Integer::sum);
    leniently.merge(otherwise, 1, Integer::sum);
  }

  /** Its description is read or refused. */
  private static void look(Path file) {
    try {
      CheckpointInfo.read(file);
    } catch (CheckpointException | UncheckedIOException e) {
      return; // as it should be
    }
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

  private Outcome restored(Case damaged, Path file, Target target) throws IOException {
    final RecordedRun run = target.run(damaged.source.run);
    try (Bowl bowl = run.begin(); Optimizer optimizer = run.optimizer(bowl)) {
      run.train(bowl, optimizer, 0, EARLIER_CALLS);
      final SavedState before = SavedState.of(optimizer);
      Outcome outcome = null;
      try {
        optimizer.restore(file, target.options);
      } catch (CheckpointException e) {
        outcome = Outcome.REFUSED;
      } catch (UncheckedIOException e) {
        outcome = Outcome.UNREADABLE;
      }
      if (outcome == null) {
        outcome = accepted(damaged, target, run, optimizer);
      } else {
        before.assertSame(SavedState.of(optimizer), target + ", after the refusal");
      }
      final long steps = optimizer.steps();
      run.train(bowl, optimizer, SOUND_CALL, SOUND_CALL + 1);
      if (outcome != Outcome.AS_EDITED && optimizer.steps() != steps + 1) throw new IllegalStateException("the next step was not made");
      bowl.tensors().assertFencesStand(target + ", after the next step");
      return outcome;
    }
  }

  private Outcome accepted(Case damaged, Target target, RecordedRun run, Optimizer optimizer) throws IOException {
    final SavedState now = SavedState.of(optimizer);
    final SavedState saved = state(damaged.source, target);
    if (now.isSame(saved) || isWhole(damaged.other, target, run, now)) return Outcome.AS_SAVED;
    if (!damaged.damage.mayChange) saved.assertSame(now, target + ", restored");
    if (optimizer.steps() < 0 || optimizer.report().skippedSteps() < 0) throw new IllegalStateException("a count is negative");
    // What it holds now is a state like any other: it can be saved, and comes back.
    final Path again = folder.resolve("again.checkpoint");
    optimizer.save(again);
    try (Bowl bowl = run.begin(); Optimizer second = run.optimizer(bowl)) {
      second.restore(again);
      now.assertSame(SavedState.of(second), target + ", saved and restored again");
    }
    Files.delete(again);
    return Outcome.AS_EDITED;
  }

  /** Whether the other file was restored, which a splice may have as a whole. */
  private boolean isWhole(Source other, Target target, RecordedRun run, SavedState now) throws IOException {
    try {
      return now.isSame(restored(other.content, target, run));
    } catch (CheckpointException e) {
      return false;
    }
  }

  private SavedState state(Source source, Target target) throws IOException {
    SavedState state = source.states.get(target);
    if (state == null) {
      state = restored(source.content, target, target.run(source.run));
      source.states.put(target, state);
    }
    return state;
  }

  /** What an optimizer of a run holds that has made some steps and then restored a whole file. */
  private SavedState restored(byte[] content, Target target, RecordedRun run) throws IOException {
    final Path file = Files.write(folder.resolve("whole.checkpoint"), content);
    try (Bowl bowl = run.begin(); Optimizer optimizer = run.optimizer(bowl)) {
      run.train(bowl, optimizer, 0, EARLIER_CALLS);
      optimizer.restore(file, target.options);
      return SavedState.of(optimizer);
    } finally {
      Files.delete(file);
    }
  }

  private Source source(int number) throws IOException {
    Source source = sources.get(number);
    if (source == null) {
      if (number < recorded.size()) {
        source = new Source(recorded.get(number).run(), recorded.get(number).content(), new EnumMap<>(Target.class));
      } else {
        final RecordedRun run = runs.get(number - recorded.size());
        source = saved(run, RecordedRun.SAVED);
      }
      sources.put(number, source);
    }
    return source;
  }

  /** Another file of the same run. */
  private Source later(RecordedRun run) throws IOException {
    Source source = later.get(run);
    if (source == null) {
      source = saved(run, LATER_CALLS);
      later.put(run, source);
    }
    return source;
  }

  private Source saved(RecordedRun run, int calls) throws IOException {
    final Path file = folder.resolve("whole.checkpoint");
    try (Bowl bowl = run.begin(); Optimizer optimizer = run.optimizer(bowl)) {
      run.train(bowl, optimizer, 0, calls);
      optimizer.save(file);
    }
    final byte[] content = ZipForge.timeless(Files.readAllBytes(file));
    Files.delete(file);
    return new Source(run, content, new EnumMap<>(Target.class));
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
    table.append(String.format("\n%-28s", "all, leniently"));
    for (Outcome outcome : Outcome.values()) table.append(String.format("%12d", leniently.getOrDefault(outcome, 0)));
    return table.append('\n').toString();
  }
}
