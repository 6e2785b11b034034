// SPDX-License-Identifier: Apache-2.0
package org.steptuner.property;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Assume;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.constraints.IntRange;
import org.steptuner.Device;
import org.steptuner.Scope;
import org.steptuner.StepReport;
import org.steptuner.SumReducer;
import org.steptuner.TestOptimizers;
import org.steptuner.property.Run.Piece;
import org.steptuner.property.Trial.Call;

/**
 * Processes that share a model out, whole tensors or parts of them, in any order: they are as one, up to rounding. Here threads are
 * processes.
 */
class ProcessesPropertyTest {
  // Not those that look for an element of their own to spoil: all processes must make the same calls.
  private static final Action[] TOGETHER = {
    Action.STEP, Action.MULTIPLIER, Action.FREEZE, Action.SAME_SETTINGS, Action.LOSS_NOT_FINITE, Action.REBIND, Action.ZERO_GRADIENTS,
    Action.RESUME, Action.EVALUATE, Action.SWAP_AVERAGES, Action.SCALARS, Action.REPORT
  };

  @Provide
  Arbitrary<Trial> trials() {
    return Trial.inFloat64(TOGETHER);
  }

  /** Adds the sums of threads, each of which must come with as many. */
  private static final class Adder {
    private final double[][] parts;
    private final CyclicBarrier barrier;

    Adder(int processes) {
      parts = new double[processes][];
      barrier = new CyclicBarrier(processes);
    }

    SumReducer of(int process) {
      return (sums, count) -> {
        parts[process] = Arrays.copyOf(sums, count);
        await();
        for (double[] part : parts) assertEquals(count, part.length, "processes with other numbers of sums");
        Arrays.fill(sums, 0, count, 0);
        for (double[] part : parts) for (int i = 0; i < count; ++i) sums[i] += part[i];
        await();
      };
    }

    private void await() {
      try {
        barrier.await(60, TimeUnit.SECONDS);
      } catch (Exception e) {
        throw new IllegalStateException("a process did not come", e);
      }
    }
  }

  /** The processes of a model. */
  private static final class Processes implements AutoCloseable {
    final List<Run> runs = new ArrayList<>();
    private final ExecutorService threads;

    Processes(Trial trial, List<List<Piece>> shares) {
      threads = Executors.newFixedThreadPool(shares.size());
      final Adder adder = new Adder(shares.size());
      for (List<Piece> share : shares) {
        final SumReducer reducer = adder.of(runs.size());
        runs.add(new Run(share, () -> trial.builder().sumReducer(reducer), trial.seed(), Device.cpu(1)));
      }
    }

    /** The same call in all of them at once. */
    void all(Consumer<Run> call) {
      final List<Future<?>> calls = new ArrayList<>();
      for (Run run : runs) calls.add(threads.submit(() -> call.accept(run)));
      for (Future<?> one : calls) {
        try {
          one.get();
        } catch (ExecutionException e) {
          throw new AssertionError(e.getCause());
        } catch (InterruptedException e) {
          throw new AssertionError(e);
        }
      }
    }

    @Override
    public void close() {
      threads.shutdown();
      runs.forEach(Run::close);
    }
  }

  /** Each tensor goes to one process or is cut for several; tensors, and so groups, come in another order in each of them. */
  private static List<List<Piece>> shares(Trial trial, int processes, Random random) {
    final List<List<Piece>> shares = new ArrayList<>();
    for (int p = 0; p < processes; ++p) shares.add(new ArrayList<>());
    for (Piece whole : Run.whole(trial)) {
      final List<Integer> owners = new ArrayList<>();
      for (int p = 0; p < processes; ++p) owners.add(p);
      Collections.shuffle(owners, random);
      int begin = 0;
      for (int o = 0; begin < whole.count() || o == 0; ++o) {
        final boolean last = o == processes - 1 || random.nextBoolean();
        final int count = last ? whole.count() - begin : random.nextInt(whole.count() - begin + 1);
        shares.get(owners.get(o)).add(whole.part(begin, count));
        begin += count;
      }
    }
    for (List<Piece> share : shares) {
      Collections.shuffle(share, random);
      // A process must have some tensor: here it has no element of it.
      if (share.isEmpty()) share.add(Run.whole(trial).get(0).part(0, 0));
    }
    return shares;
  }

  /** The learned scales by the names of their scopes. */
  private static Map<String, Double> scales(Run run, Scope scoped) {
    final Map<String, Double> scales = new HashMap<>();
    final StepReport report = run.optimizer().report();
    final List<String> groups = run.optimizer().parameters().groups();
    for (int s = 0; s < report.scopes(); ++s) {
      final String name = scoped == Scope.ALL ? "all tensors" : scoped == Scope.GROUP ? groups.get(s) : run.name(s);
      scales.put(name, report.learnedScale(s));
    }
    return scales;
  }

  @Property(seed = "7")
  void anyDistributionIsAsOneProcess(
      @ForAll("trials") Trial trial, @ForAll @IntRange(min = 1, max = 4) int processes, @ForAll long choices) {
    Assume.that(!trial.formName().contains("sliced")); // the first element of each part counts
    final List<List<Piece>> shares = shares(trial, processes, new Random(choices));
    try (Run one = new Run(trial, Device.cpu(1)); Processes several = new Processes(trial, shares)) {
      for (Call call : trial.calls()) {
        call.action().on(one, call.choice());
        several.all(run -> call.action().on(run, call.choice()));
      }
      one.step();
      several.all(Run::step);
      final double[] expected = one.byElement();
      final double[] actual = new double[expected.length];
      several.runs.forEach(run -> run.collect(actual));
      final double most = Arrays.stream(expected).map(Math::abs).max().orElse(0);
      assertArrayEquals(expected, actual, 1e-9 * Math.max(1, most), trial.formName());
      final Scope scoped = TestOptimizers.scope(trial.builder(), trial.scope()) == null ? Scope.ALL : trial.scope();
      final Map<String, Double> wanted = scales(one, scoped);
      final Map<String, Double> seen = new HashMap<>();
      for (Run run : several.runs)
        scales(run, scoped).forEach((name, scale) -> {
          assertEquals(wanted.get(name), scale, 1e-8 * Math.abs(scale), trial.formName() + ", " + name);
          assertEquals(seen.computeIfAbsent(name, first -> scale), scale, trial.formName() + ", " + name + " in two processes");
        });
    }
  }

  /** What is not finite in one process stops the step in all of them. */
  @Property(seed = "8")
  void allSkipTogether(@ForAll("trials") Trial trial, @ForAll @IntRange(min = 2, max = 4) int processes, @ForAll long choices) {
    final List<List<Piece>> shares = shares(trial, processes, new Random(choices));
    try (Processes some = new Processes(trial, shares); Processes undisturbed = new Processes(trial, shares)) {
      for (Call call : trial.calls()) {
        final Run spoilt = some.runs.get(call.choice() % processes);
        final int tensor = spoilt.tensorWithElements(call.choice());
        if (tensor >= 0) {
          some.all(Run::writeGradients);
          spoilt.gradients(tensor).set(call.choice() % spoilt.gradients(tensor).count(), Double.POSITIVE_INFINITY);
          some.all(run -> run.refusedStep(run.loss(), StepReport.Skip.NON_FINITE_GRADIENT));
        }
        some.all(run -> call.action().on(run, call.choice()));
        undisturbed.all(run -> call.action().on(run, call.choice()));
      }
      for (int p = 0; p < processes; ++p) some.runs.get(p).assertSame(undisturbed.runs.get(p), trial.formName() + ", process " + p);
    }
  }
}
