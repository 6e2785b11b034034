// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.Supplier;
import org.steptuner.CapturableSteps;
import org.steptuner.CaptureOptions;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.DeviceException;
import org.steptuner.Optimizer;
import org.steptuner.ParameterRounding;
import org.steptuner.StepReport;
import org.steptuner.rule.AdamW;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.TunerBuilder;

/**
 * Least squares on a GPU in four ways: {@code GpuTraining [ordinary|captured|bfloat16|sharded]...}, all of them without arguments. Memory,
 * stream and matrix products come from bytedeco's CUDA presets ({@link GpuCompute}). It needs a GPU, the jar of the library with classifier
 * {@code linux-x86_64-gpu}, and cuBLAS. Where one of these is missing it says so, and runs on the CPU.
 *
 * <p>Ends with status 1 if one of the ways fails, and with 2 for an argument that it does not know.
 */
public final class GpuTraining {
  private static final int STEPS = 300;
  private static final int EVERY = 50; // steps from one printed line to the next
  private static final double GOAL = 0.05; // every way must bring the loss below this part of what it was
  private static final int RANKS = 2;
  private static final double SMALL_RATE = 2e-3;
  private static final int SMALL_STEPS = 1500;

  private enum Way {
    ORDINARY, CAPTURED, BFLOAT16, SHARDED
  }

  private final Supplier<Compute> computes;
  private final PrintStream out;

  private GpuTraining(Supplier<Compute> computes, PrintStream out) {
    this.computes = computes;
    this.out = out;
  }

  public static void main(String[] args) {
    final int status = run(best(System.out), System.out, args);
    if (status != 0) System.exit(status);
  }

  /** Runs the ways that are named, or all. Returns the exit status. */
  static int run(Supplier<Compute> computes, PrintStream out, String... names) {
    final List<Way> ways = new ArrayList<>();
    for (String name : names) {
      try {
        ways.add(Way.valueOf(name.toUpperCase(Locale.ROOT)));
      } catch (IllegalArgumentException e) {
        out.println("'" + name + "' is none of the ways: GpuTraining [ordinary|captured|bfloat16|sharded]...");
        return 2;
      }
    }
    return new GpuTraining(computes, out).run(ways.isEmpty() ? List.of(Way.values()) : ways);
  }

  /** The GPU; where something is missing for it, the CPU, and a word about what. */
  static Supplier<Compute> best(PrintStream out) {
    try {
      final Device device = Device.cuda(0);
      new GpuCompute(device).close(); // whether the presets and cuBLAS are there
      return () -> new GpuCompute(device);
    } catch (DeviceException e) {
      out.println("No GPU: " + e.getMessage());
    } catch (LinkageError e) {
      out.println("The GPU is there, but bytedeco's CUDA presets cannot be loaded: " + reason(e));
      out.println("They need their jars, and libcudart.so.13, libcublas.so.13 and libcublasLt.so.13 on the library path.");
    } catch (IllegalStateException e) {
      out.println("The GPU is there, but CUDA or cuBLAS cannot use it: " + e.getMessage());
    }
    out.println("This goes on with the CPU.");
    return HostCompute::new;
  }

  // The linker's reason may be in a cause.
  private static String reason(Throwable e) {
    return e.getCause() == null ? e.toString() : e + ", because of " + reason(e.getCause());
  }

  private int run(List<Way> ways) {
    int status = 0;
    for (Way way : ways) {
      final String name = way.name().toLowerCase(Locale.ROOT);
      try (Compute compute = computes.get()) {
        out.println();
        out.println("== " + name + ", on " + compute.device().name());
        switch (way) {
          case ORDINARY -> ordinary(compute);
          case CAPTURED -> captured(compute);
          case BFLOAT16 -> bfloat16(compute);
          case SHARDED -> sharded();
        }
      } catch (RuntimeException | LinkageError e) {
        out.println(name + " failed: " + e);
        status = 1;
      }
    }
    return status;
  }

  private static Mechanic mechanic() {
    return Mechanic.tuning(AdamW.defaults().weightDecay(0));
  }

  private void ordinary(Compute compute) {
    final LeastSquares problem = new LeastSquares(compute, DataType.FLOAT32);
    train(compute, problem, mechanic(), STEPS, EVERY);
  }

  /** Ordinary steps: each is decided by Java, which waits for a few sums. Prints a line now and then. */
  private void train(Compute compute, LeastSquares problem, TunerBuilder<?> tuner, int steps, int every) {
    final double first = lossNow(problem);
    try (Optimizer optimizer = tuner.stream(compute.stream()).build(problem.parameters(0, LeastSquares.COLUMNS))) {
      for (int step = 1; step <= steps; ++step) {
        problem.computeGradients(0, LeastSquares.COLUMNS);
        final StepReport report = optimizer.step(); // on the stream, after what computes the gradients
        if (step % every == 0) print("step %d  loss %.6f  rate %.2e", step, problem.loss(), report.effectiveRate());
      }
    }
    checkLearned(problem, first);
  }

  /** The same, in a CUDA graph: forward pass, backward pass and step, replayed without a word from the host. */
  private void captured(Compute compute) {
    final LeastSquares problem = new LeastSquares(compute, DataType.FLOAT32);
    final double first = lossNow(problem); // and cuBLAS loads its kernels, which it may not do in a capture
    final CaptureOptions options = CaptureOptions.defaults().loss(problem.lossAddress(), DataType.FLOAT32);
    try (
        Optimizer optimizer = mechanic().stream(compute.stream()).build(problem.parameters(0, LeastSquares.COLUMNS));
        CapturableSteps steps = optimizer.capturable(options);
        Compute.Graph graph = graph(compute, () -> {
          problem.computeGradients(0, LeastSquares.COLUMNS);
          steps.step();
        })) {
      for (int launched = 0; launched < STEPS; ++launched) {
        if (launched % EVERY == 0) {
          // Steps are prepared from the last one that has reported. So the host must not be further ahead of the reports than prepared for.
          if (launched - attempts(steps.report()) > EVERY) steps.await();
          steps.prepare(2 * EVERY);
        }
        graph.launch();
        if ((launched + 1) % EVERY == 0) print("%d launched, last report: %s", launched + 1, line(steps.report()));
      }
      print("all done, last report: %s", line(steps.await()));
      check(steps.report().step() == STEPS, steps.report().skippedSteps() + " steps were skipped");
    }
    checkLearned(problem, first);
    try (Compute other = computes.get()) {
      out.println("ordinary steps for comparison:");
      final LeastSquares ordinary = new LeastSquares(other, DataType.FLOAT32);
      train(other, ordinary, mechanic(), STEPS, STEPS);
      check(ordinary.weights().equals(problem.weights()), "the weights differ from those of ordinary steps");
    }
    out.println("the weights have the bits that ordinary steps leave");
  }

  /** A graph of the work; where there are none, the work itself. */
  private Compute.Graph graph(Compute compute, Runnable work) {
    try {
      final Compute.Graph graph = compute.capture(work);
      out.println("captured into a CUDA graph");
      return graph;
    } catch (UnsupportedOperationException e) {
      out.println("not captured, launched one by one: " + e.getMessage());
      return work::run;
    }
  }

  private static long attempts(StepReport report) {
    return report.step() + report.skippedSteps();
  }

  private static String line(StepReport report) {
    if (attempts(report) == 0) return "none yet";
    return String.format(Locale.ROOT, "step %d  loss %.6f  rate %.2e", report.step(), report.loss(), report.effectiveRate());
  }

  /**
   * Weights and gradients in bfloat16; the state under Mechanic in bfloat16 too. A weight has 8 significant bits: its neighbours are 1/256 to
   * 1/128 of it away. A rule at a fixed rate adds each step to the weight that is there. Rounded to nearest, a step of less than half that
   * distance is lost, and the weight stands still for good. Rounded stochastically, as it is by default, the weight moves to a neighbour now
   * and then, and gets where the steps lead.
   */
  private void bfloat16(Compute compute) {
    out.println("Mechanic over AdamW:");
    train(compute, new LeastSquares(compute, DataType.BFLOAT16), mechanic().stateStorage(DataType.BFLOAT16), STEPS, EVERY);
    small(compute, DataType.FLOAT32, ParameterRounding.NEAREST);
    small(compute, DataType.BFLOAT16, ParameterRounding.NEAREST);
    small(compute, DataType.BFLOAT16, ParameterRounding.STOCHASTIC);
  }

  private void small(Compute compute, DataType type, ParameterRounding rounding) {
    final LeastSquares problem = new LeastSquares(compute, type);
    final TunerBuilder<?> tuner = FixedRate.of(SMALL_RATE, AdamW.defaults().weightDecay(0)).parameterRounding(rounding);
    int still = 0;
    try (Optimizer optimizer = tuner.stream(compute.stream()).build(problem.parameters(0, LeastSquares.COLUMNS))) {
      for (int step = 1; step <= SMALL_STEPS; ++step) {
        problem.computeGradients(0, LeastSquares.COLUMNS);
        final ByteBuffer before = step == SMALL_STEPS ? problem.weights() : null;
        optimizer.step();
        if (before != null) still = equalElements(type, before, problem.weights());
      }
    }
    print("AdamW at the rate %.0e, weights in %s, %s: loss %.4f after %d steps; in the last one %d of %d weights stood still", SMALL_RATE,
        type, rounding, problem.loss(), SMALL_STEPS, still, LeastSquares.COLUMNS);
  }

  private static int equalElements(DataType type, ByteBuffer one, ByteBuffer other) {
    int equal = 0;
    for (int i = 0; i < LeastSquares.COLUMNS; ++i) if (Matrix.get(type, one, i) == Matrix.get(type, other, i)) ++equal;
    return equal;
  }

  /** What a process of its own would have. */
  private record Process(Compute compute, LeastSquares problem, Optimizer optimizer, int begin, int count) implements AutoCloseable {
    @Override
    public void close() {
      optimizer.close();
      compute.close();
    }
  }

  /**
   * The weights as two slices. Each has an optimizer of its own, with state for this slice alone, in a thread of its own with its own
   * stream and its own copy of all weights. After each step it takes the other slice, as an all-gather does.
   */
  private void sharded() {
    final ThreadSums sums = new ThreadSums(RANKS);
    final List<Process> processes = new ArrayList<>();
    final double[] scales = new double[RANKS];
    try {
      for (int rank = 0; rank < RANKS; ++rank) processes.add(process(rank, sums));
      final double first = lossNow(processes.get(0).problem());
      sums.run(rank -> {
        final Process own = processes.get(rank);
        for (int step = 1; step <= STEPS; ++step) {
          own.problem().computeGradients(own.begin(), own.count());
          scales[rank] = own.optimizer().step().learnedScale();
          own.compute().await();
          sums.meet(); // all slices are as after this step
          for (double scale : scales) check(scale == scales[rank], "the scales differ: " + Arrays.toString(scales));
          for (Process other : processes)
            if (other != own) own.problem().takeWeights(other.problem(), other.begin(), other.count());
          own.compute().await();
          if (rank == 0 && step % EVERY == 0)
            print("step %d  loss %.6f  scales %s", step, own.problem().loss(), Arrays.toString(scales));
          sums.meet(); // all have taken them
        }
      });
      checkLearned(processes.get(0).problem(), first);
      for (Process process : processes)
        check(process.problem().weights().equals(processes.get(0).problem().weights()), "the copies of the weights differ");
    } finally {
      processes.forEach(Process::close);
    }
    out.println("the scales of both processes were equal after every step, and so are their weights");
  }

  private Process process(int rank, ThreadSums sums) {
    final int begin = LeastSquares.COLUMNS * rank / RANKS;
    final int count = LeastSquares.COLUMNS * (rank + 1) / RANKS - begin;
    final Compute compute = computes.get();
    try {
      final LeastSquares problem = new LeastSquares(compute, DataType.FLOAT32);
      final Optimizer optimizer =
          mechanic().sumReducer(sums.reducer(rank)).stream(compute.stream()).build(problem.parameters(begin, count));
      return new Process(compute, problem, optimizer, begin, count);
    } catch (RuntimeException | Error e) {
      compute.close();
      throw e;
    }
  }

  private static double lossNow(LeastSquares problem) {
    problem.computeGradients(0, LeastSquares.COLUMNS);
    return problem.loss();
  }

  private static void checkLearned(LeastSquares problem, double first) {
    final double last = lossNow(problem);
    check(last < GOAL * first, "the loss is " + last + " after the last step, and was " + first + " at first");
  }

  private static void check(boolean good, String otherwise) {
    if (!good) throw new IllegalStateException(otherwise);
  }

  private void print(String format, Object... values) {
    out.printf(Locale.ROOT, format + "%n", values);
  }
}
