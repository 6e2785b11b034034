// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.TestOptimizers.Configuration;

/**
 * Many threads call an optimizer at once, everything that there is: each call works or is refused, and the calls that worked are all that
 * has happened.
 */
@Timeout(120)
class ConcurrentUseTest {
  private static final Device CPU = Device.cpu(2);
  private static final int THREADS = 5;

  /** What a thread does to an optimizer that is not its own. */
  private interface Use {
    void on(Shared shared, Random random);
  }

  private static final List<Use> USES = List.of(
      (shared, random) -> shared.step(),
      (shared, random) -> shared.step(),
      (shared, random) -> shared.skip(),
      (shared, random) -> shared.optimizer.setGradientMultiplier(1),
      (shared, random) -> shared.optimizer.setStream(0),
      (shared, random) -> shared.moveGradients(random.nextInt(2)),
      (shared, random) -> shared.optimizer.scalars(),
      (shared, random) -> shared.moveAllGradients(random.nextInt(2)),
      (shared, random) -> shared.optimizer.state(shared.optimizer.slots().get(0), "a"),
      (shared, random) -> shared.optimizer.evaluating(),
      (shared, random) -> shared.optimizer.training(),
      (shared, random) -> shared.optimizer.training(),
      (shared, random) -> shared.look(),
      (shared, random) -> shared.optimizer.save(shared.file(random)),
      (shared, random) -> shared.optimizer.saveInBackground(shared.file(random)),
      (shared, random) -> shared.optimizer.awaitSaved());

  /** An optimizer whose steps are always the same, with the calls that worked. */
  private static final class Shared implements AutoCloseable {
    final TestTensors tensors = tensors();
    final TestTensors elsewhere = tensors();
    final Optimizer optimizer;
    final AtomicInteger steps = new AtomicInteger();
    final AtomicInteger skipped = new AtomicInteger();
    final Path folder;

    Shared(Configuration configuration, Path folder) {
      this.folder = folder;
      optimizer = configuration.build(tensors.on(CPU));
    }

    static TestTensors tensors() {
      return new TestTensors().add("a", FLOAT32, 5000).group("second").add("b", FLOAT64, 300).parameters(i -> i % 3).gradients(
          i -> 1 + i % 5 * 0.25);
    }

    void step() {
      optimizer.step(1.5);
      steps.incrementAndGet();
    }

    void skip() {
      optimizer.step(Double.NaN);
      skipped.incrementAndGet();
    }

    /** To equal gradients. */
    void moveGradients(int place) {
      final TestTensors to = place == 0 ? tensors : elsewhere;
      optimizer.rebind("b", tensors.parameters(1).address(), to.gradients(1).address());
    }

    void moveAllGradients(int place) {
      final TestTensors to = place == 0 ? tensors : elsewhere;
      optimizer.rebind(
          new long[] {tensors.parameters(0).address(), tensors.parameters(1).address()},
          new long[] {to.gradients(0).address(), to.gradients(1).address()});
    }

    /** What always answers. */
    void look() {
      final StepReport report = optimizer.report();
      assertTrue(report.copy().learnedScale() >= 0 && report.step() >= 0 && optimizer.steps() >= 0);
      assertEquals(5300, optimizer.parameters().elements());
      assertTrue(optimizer.wordsPerElement() > 0 && !report.toString().isEmpty());
      optimizer.isEvaluating();
    }

    Path file(Random random) {
      return folder.resolve("file " + random.nextInt(3));
    }

    /** Makes a call that may be refused. False: the optimizer is closed. */
    boolean use(Use use, Random random) {
      try {
        use.on(this, random);
      } catch (IllegalStateException refused) {
        final String why = refused.getMessage();
        if (why.contains("is closed")) return false;
        assertTrue(why.contains("in use") || why.contains("evaluat"), why);
      }
      return true;
    }

    /** Fails unless all is as after so many steps of an optimizer with one thread. */
    void assertAsIfAlone(Configuration configuration, boolean closed) {
      assertEquals(steps.get(), optimizer.steps());
      assertEquals(skipped.get(), optimizer.report().skippedSteps());
      try (TestTensors alone = tensors(); Optimizer other = configuration.build(alone.on(CPU))) {
        for (int step = 0; step < steps.get(); ++step) other.step(1.5);
        tensors.assertSameParameters(alone, configuration + " after " + steps + " steps");
        assertEquals(other.report().learnedScale(), optimizer.report().learnedScale(), configuration.name());
        if (!closed) SavedState.of(other).assertUnchanged(SavedState.of(optimizer), configuration.name());
        tensors.assertFencesStand(configuration.name());
      }
    }

    @Override
    public void close() {
      optimizer.close();
      tensors.close();
      elsewhere.close();
    }
  }

  static Stream<Configuration> configurations() {
    return Stream.of("AdamW", "Mechanic OPTAX DISCOUNTED over AdamW", "Prodigy", "D-Adaptation Adam", "MetaOptimize", "Resetting",
        "Schedule-Free AdamW")
        .map(ConcurrentUseTest::named);
  }

  private static Configuration named(String name) {
    return Stream.concat(TestOptimizers.some().stream(), TestOptimizers.others().stream())
        .filter(configuration -> configuration.name().equals(name))
        .findFirst()
        .orElseThrow();
  }

  /** Runs a task in so many threads, and throws what one of them threw. */
  private static void inThreads(int threads, Task task) throws Exception {
    final ExecutorService pool = Executors.newFixedThreadPool(threads);
    final CountDownLatch begin = new CountDownLatch(1);
    try {
      final List<Future<?>> all = new ArrayList<>();
      for (int thread = 0; thread < threads; ++thread) {
        final int number = thread;
        all.add(pool.submit(() -> {
          begin.await();
          task.run(number);
          return null;
        }));
      }
      begin.countDown();
      for (Future<?> one : all) one.get();
    } catch (ExecutionException e) {
      throw new AssertionError(e.getCause());
    } finally {
      pool.shutdownNow();
    }
  }

  private interface Task {
    void run(int number) throws Exception;
  }

  @ParameterizedTest
  @MethodSource("configurations")
  void everythingAtOnce(Configuration configuration, @TempDir(factory = MemoryFolder.class) Path folder) throws Exception {
    try (Shared shared = new Shared(configuration, folder)) {
      inThreads(THREADS, number -> {
        final Random random = new Random(number);
        for (int call = 0; call < 400; ++call) assertTrue(shared.use(USES.get(random.nextInt(USES.size())), random));
      });
      shared.optimizer.training();
      for (int step = 0; step < 2; ++step) shared.step();
      shared.optimizer.awaitSaved();
      shared.assertAsIfAlone(configuration, false);
    }
  }

  /** Closing waits for nobody and breaks nobody's call: it is refused while there is one, and all later ones are. */
  @ParameterizedTest
  @MethodSource("configurations")
  void closedByOneOfThem(Configuration configuration, @TempDir(factory = MemoryFolder.class) Path folder) throws Exception {
    for (int round = 0; round < 10; ++round)
      try (Shared shared = new Shared(configuration, folder)) {
        final int closing = 20 + 10 * round;
        inThreads(THREADS, number -> {
          final Random random = new Random(number);
          for (int call = 0;; ++call) {
            if (!shared.use(USES.get(random.nextInt(6)), random)) break;
            shared.look();
            if (number == 0 && call >= closing) shared.use((some, any) -> some.optimizer.close(), random);
          }
        });
        shared.look();
        shared.assertAsIfAlone(configuration, true);
      }
  }

  /** A monitor reads the report of a training that knows nothing of it: it sees numbers of that training, and changes nothing. */
  @ParameterizedTest
  @MethodSource("configurations")
  void aMonitorChangesNothing(Configuration configuration, @TempDir(factory = MemoryFolder.class) Path folder) throws Exception {
    final int steps = 6000;
    final Set<Double> scales = new HashSet<>();
    try (TestTensors alone = Shared.tensors(); Optimizer other = configuration.build(alone.on(CPU))) {
      scales.add(other.report().learnedScale());
      for (int step = 0; step < steps; ++step) scales.add(other.step(1.5).copy().learnedScale());
    }
    try (Shared shared = new Shared(configuration, folder)) {
      final AtomicBoolean done = new AtomicBoolean();
      inThreads(2, number -> {
        if (number == 0) {
          for (int step = 0; step < steps; ++step) shared.step();
          done.set(true);
        }
        while (!done.get()) {
          final double scale = shared.optimizer.report().learnedScale();
          assertTrue(scales.contains(scale), () -> scale + " is no scale of this training");
          shared.look();
        }
      });
      shared.assertAsIfAlone(configuration, false);
    }
  }

  /** Two trainings share the threads of a device. */
  @Test
  void twoTrainingsOnOneDevice(@TempDir(factory = MemoryFolder.class) Path folder) throws Exception {
    final List<Configuration> all = configurations().toList();
    final List<Shared> shared = new ArrayList<>();
    try {
      for (Configuration configuration : all) shared.add(new Shared(configuration, folder));
      inThreads(all.size(), number -> {
        for (int step = 0; step < 200; ++step) shared.get(number).step();
      });
      for (int i = 0; i < all.size(); ++i) shared.get(i).assertAsIfAlone(all.get(i), false);
    } finally {
      shared.forEach(Shared::close);
    }
  }

  /** Files written while others wrote are whole: they restore to some step of the training. */
  @Test
  void filesAreWhole(@TempDir(factory = MemoryFolder.class) Path folder) throws Exception {
    final Configuration configuration = named("Mechanic OPTAX DISCOUNTED over AdamW");
    try (Shared shared = new Shared(configuration, folder)) {
      inThreads(THREADS, number -> {
        final Random random = new Random(number);
        for (int call = 0; call < 60; ++call) {
          shared.use((some, any) -> some.step(), random);
          shared.use((some, any) -> some.optimizer.saveInBackground(folder.resolve("file " + number)), random);
          if (call % 3 == 0) shared.use((some, any) -> some.optimizer.save(folder.resolve("file " + number)), random);
        }
      });
      shared.optimizer.awaitSaved();
      int files = 0;
      for (int number = 0; number < THREADS; ++number) {
        final Path file = folder.resolve("file " + number);
        if (!Files.exists(file)) continue;
        ++files;
        try (TestTensors restored = Shared.tensors();
            Optimizer resumed = configuration.build(restored.on(CPU));
            TestTensors alone = Shared.tensors();
            Optimizer other = configuration.build(alone.on(CPU))) {
          resumed.restore(file);
          for (long step = 0; step < resumed.steps(); ++step) other.step(1.5);
          restored.assertSameParameters(alone, "step " + resumed.steps());
          final Map<String, double[]> scalars = resumed.scalars();
          other.scalars().forEach((name, values) -> assertArrayEquals(values, scalars.get(name), name));
        }
      }
      assertTrue(files > 0);
    }
  }
}
