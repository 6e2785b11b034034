// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import org.bytedeco.cuda.cudart.CUgraphExec_st;
import org.bytedeco.cuda.cudart.CUgraph_st;
import org.bytedeco.cuda.global.cudart;
import org.steptuner.CapturableSteps;
import org.steptuner.CaptureOptions;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.DeviceException;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.StepReport;
import org.steptuner.SumReducer;
import org.steptuner.rule.AdamW;
import org.steptuner.tuner.Mechanic;

/**
 * Trains by Mechanic over AdamW on a GPU, in four ways: {@code GpuTraining [ordinary|captured|bfloat16|sharded]...}, all of them without
 * arguments. Needs a GPU, the jar of the library with classifier {@code linux-x86_64-gpu}, and for the matrix products cuBLAS 13. Says what
 * is missing.
 *
 * <ul>
 *   <li>ordinary: the trainer's work and the steps are enqueued on one stream.
 *   <li>captured: both are captured into a CUDA graph once, which is then launched for every step. The weights get the same bits.
 *   <li>bfloat16: weights and gradients have 16 bits, the state 32. Changes that are less than a weight's last bit are lost.
 *   <li>sharded: two optimizers have half of the weights each, as two processes would, and agree on one scale.
 * </ul>
 */
public final class GpuTraining {
  private static final int STEPS = 300;
  private static final int SHOWN = 100;
  private static final int SHARDS = 2;

  private static final Map<String, Consumer<Device>> WAYS = new LinkedHashMap<>();

  static {
    WAYS.put("ordinary", GpuTraining::ordinary);
    WAYS.put("captured", GpuTraining::captured);
    WAYS.put("bfloat16", GpuTraining::bfloat16);
    WAYS.put("sharded", GpuTraining::sharded);
  }

  private GpuTraining() {}

  public static void main(String[] arguments) {
    final List<String> chosen = arguments.length == 0 ? List.copyOf(WAYS.keySet()) : List.of(arguments);
    for (String way : chosen)
      if (!WAYS.containsKey(way)) throw new IllegalArgumentException("no way of training '" + way + "' among " + WAYS.keySet());
    final Device device;
    try {
      device = Device.cuda(0);
    } catch (DeviceException e) {
      System.out.println("This example needs a GPU: " + e.getMessage());
      return;
    }
    for (String way : chosen) {
      System.out.println(way);
      try {
        WAYS.get(way).accept(device);
      } catch (LinkageError e) {
        System.out.println("  left out: a native library of CUDA or cuBLAS 13 is missing (" + e.getMessage() + ")");
      }
    }
  }

  private static void ordinary(Device device) {
    trainOrdinarily(device, DataType.FLOAT32);
  }

  private static void bfloat16(Device device) {
    trainOrdinarily(device, DataType.BFLOAT16);
  }

  private static float[] trainOrdinarily(Device device, DataType type) {
    try (GpuLeastSquares problem = new GpuLeastSquares(type); Optimizer optimizer = optimizer(device, problem, type)) {
      for (int step = 1; step <= STEPS; ++step) {
        problem.computeGradients();
        final StepReport report = optimizer.step(); // on the stream, after what computes the gradients
        if (step % SHOWN == 0) show(report, problem);
      }
      return problem.read();
    }
  }

  private static void captured(Device device) {
    final CUgraph_st graph = new CUgraph_st();
    final CUgraphExec_st executable = new CUgraphExec_st();
    final float[] weights;
    try (GpuLeastSquares problem = new GpuLeastSquares(DataType.FLOAT32);
        Optimizer optimizer = optimizer(device, problem, DataType.FLOAT32)) {
      try (CapturableSteps steps = optimizer.capturable(CaptureOptions.defaults().capacity(2 * SHOWN))) {
        GpuLeastSquares.check(cudart.cudaStreamBeginCapture(problem.stream(), cudart.cudaStreamCaptureModeThreadLocal));
        problem.computeGradients();
        steps.step(); // into the graph: nothing is done yet
        GpuLeastSquares.check(cudart.cudaStreamEndCapture(problem.stream(), graph));
        GpuLeastSquares.check(cudart.cudaGraphInstantiate(executable, graph, 0));
        for (int step = 1; step <= STEPS; ++step) {
          if (step % SHOWN == 1) steps.prepare(2 * SHOWN);
          GpuLeastSquares.check(cudart.cudaGraphLaunch(executable, problem.stream()));
          if (step % SHOWN == 0) show(steps.await(), problem);
        }
      } // waits, and hands the optimizer back
      weights = problem.read();
    }
    GpuLeastSquares.check(cudart.cudaGraphExecDestroy(executable));
    GpuLeastSquares.check(cudart.cudaGraphDestroy(graph));
    System.out.println("  the same without a graph:");
    if (!Arrays.equals(weights, trainOrdinarily(device, DataType.FLOAT32)))
      throw new IllegalStateException("the graph has left other weights than ordinary steps");
    System.out.println("  the weights have the same bits");
  }

  private static void sharded(Device device) {
    final ExecutorService threads = Executors.newFixedThreadPool(SHARDS);
    final List<Optimizer> optimizers = new ArrayList<>();
    try (GpuLeastSquares problem = new GpuLeastSquares(DataType.FLOAT32)) {
      final SumOfThreads sums = new SumOfThreads();
      final int length = GpuLeastSquares.COLUMNS / SHARDS;
      for (int shard = 0; shard < SHARDS; ++shard) {
        final long offset = (long) shard * length * problem.bytes();
        final ParameterSet part = ParameterSet.on(device)
            .add("weights", problem.weights() + offset, problem.gradients() + offset, length, DataType.FLOAT32).build();
        optimizers.add(Mechanic.tuning(AdamW.defaults().weightDecay(0)).stream(problem.stream()).sumReducer(sums.of(shard)).build(part));
      }
      for (int step = 1; step <= STEPS; ++step) {
        problem.computeGradients();
        final List<Future<StepReport>> reports = new ArrayList<>();
        for (Optimizer optimizer : optimizers) reports.add(threads.submit(() -> optimizer.step().copy()));
        final StepReport first = get(reports.get(0));
        if (first.effectiveRate() != get(reports.get(1)).effectiveRate()) throw new IllegalStateException("two rates");
        if (step % SHOWN == 0) show(first, problem);
      }
      System.out.println("  both halves had the same rate in every step");
    } finally {
      optimizers.forEach(Optimizer::close);
      threads.shutdown();
    }
  }

  private static Optimizer optimizer(Device device, GpuLeastSquares problem, DataType type) {
    final ParameterSet parameters =
        ParameterSet.on(device).add("weights", problem.weights(), problem.gradients(), GpuLeastSquares.COLUMNS, type).build();
    return Mechanic.tuning(AdamW.defaults().weightDecay(0)).stream(problem.stream()).build(parameters);
  }

  private static void show(StepReport report, GpuLeastSquares problem) {
    System.out.printf("  step %d  |w - truth| / |truth| %.2e  rate %.2e%n", report.step(), problem.error(), report.effectiveRate());
  }

  private static StepReport get(Future<StepReport> report) {
    try {
      return report.get(1, TimeUnit.MINUTES);
    } catch (ExecutionException | TimeoutException e) {
      throw new IllegalStateException("a shard failed", e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(e);
    }
  }

  /** Adds over threads of one JVM what a communicator adds over processes. */
  private static final class SumOfThreads {
    private final CyclicBarrier barrier = new CyclicBarrier(SHARDS);
    private final double[][] given = new double[SHARDS][];

    SumReducer of(int shard) {
      return (sums, count) -> {
        given[shard] = Arrays.copyOf(sums, count);
        meet(); // all have given theirs
        for (int i = 0; i < count; ++i) {
          double sum = 0;
          for (double[] one : given) sum += one[i];
          sums[i] = sum;
        }
        meet(); // all have read them
      };
    }

    private void meet() {
      try {
        barrier.await(1, TimeUnit.MINUTES);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new IllegalStateException(e);
      } catch (BrokenBarrierException | TimeoutException e) {
        throw new IllegalStateException("the other shard did not come", e);
      }
    }
  }
}
