// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench.gpu;

import com.google.gson.Gson;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.cuda.cudart.CUgraphExec_st;
import org.bytedeco.cuda.cudart.CUgraph_st;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.global.cudart;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.steptuner.CapturableSteps;
import org.steptuner.CaptureOptions;
import org.steptuner.Optimizer;

/**
 * Steps that the device makes alone, one by one and from a CUDA graph, beside ordinary ones: their times, and whether they leave the same
 * bits. Prints one JSON object a line, and ends with status 1 where bits differ.
 *
 * <p>{@code Captured LIBRARY LARGEST [dry]}
 */
public final class Captured {
  private static final long[] SIZES = {100_000, 1_000_000, 10_000_000, 100_000_000};
  private static final List<String> TUNERS = List.of("AdamW", "AdamW, guarded", "Mechanic over AdamW");
  private static final int CHECKED_STEPS = 30;
  private static final int ROUNDS = 11;
  private static final int MOST = 1000; // steps of a sample
  private static final double SAMPLE_NANOS = 20e6;

  private final Gpu gpu;
  private final long size;
  private final String tuner;
  private final Pointer gradients;
  private Pointer parameters; // of the present contender
  private float[] seen; // of them, after the first steps

  private Captured(Gpu gpu, long size, String tuner, Pointer gradients) {
    this.gpu = gpu;
    this.size = size;
    this.tuner = tuner;
    this.gradients = gradients;
  }

  public static void main(String[] arguments) {
    final boolean dry = arguments.length > 2;
    final Gpu gpu = Gpu.of(Path.of(arguments[0]), dry);
    boolean same = true;
    for (long size : SIZES) {
      if (size > Double.parseDouble(arguments[1])) continue;
      final Pointer gradients = Tuners.random(gpu, size, 1);
      for (String tuner : TUNERS) same &= new Captured(gpu, size, tuner, gradients).measure(dry);
      gpu.free(gradients);
    }
    System.exit(same ? 0 : 1);
  }

  private boolean measure(boolean dry) {
    final float[] ordinary = run("", (optimizer, times) -> sample(times, optimizer::step, () -> {}, CHECKED_STEPS), null);
    final float[] captured = run(", captured", (optimizer, times) -> {
      try (CapturableSteps steps = optimizer.capturable()) {
        sample(times, steps::step, () -> {}, CHECKED_STEPS);
      }
    }, ordinary);
    if (dry) return Arrays.equals(ordinary, captured);
    final float[] replayed = run(", graph", this::replay, ordinary);
    return Arrays.equals(ordinary, captured) && Arrays.equals(ordinary, replayed);
  }

  private void replay(Optimizer optimizer, double[] times) {
    final CUstream_st stream = new CUstream_st(gpu.stream());
    final CUgraph_st graph = new CUgraph_st();
    final CUgraphExec_st executable = new CUgraphExec_st();
    try (CapturableSteps steps = optimizer.capturable(CaptureOptions.defaults().capacity(2 * MOST))) {
      check(cudart.cudaStreamBeginCapture(stream, cudart.cudaStreamCaptureModeThreadLocal));
      steps.step();
      check(cudart.cudaStreamEndCapture(stream, graph));
      check(cudart.cudaGraphInstantiate(executable, graph, 0));
      sample(times, () -> check(cudart.cudaGraphLaunch(executable, stream)), () -> {
        steps.await();
        steps.prepare(MOST + 1);
      }, CHECKED_STEPS);
    }
    check(cudart.cudaGraphExecDestroy(executable));
    check(cudart.cudaGraphDestroy(graph));
  }

  private interface Contender {
    /** Makes steps; times[0] is to be that of one. Parameters are looked at after {@code CHECKED_STEPS}. */
    void run(Optimizer optimizer, double[] times);
  }

  // The parameters after the first steps.
  private float[] run(String form, Contender contender, float[] expected) {
    parameters = Tuners.random(gpu, size, 2);
    seen = null;
    final double[] times = new double[1];
    final double words;
    try (Optimizer optimizer = Tuners.build(tuner, gpu, parameters, gradients, 1, size)) {
      words = optimizer.wordsPerElement();
      contender.run(optimizer, times);
    }
    gpu.free(parameters);
    final Map<String, Object> row = new LinkedHashMap<>();
    row.put("benchmark", tuner + form);
    row.put("tensors", 1);
    row.put("size", size);
    row.put("dtype", "float32");
    row.put("device", gpu.device().name());
    row.put("timeNs", times[0]);
    row.put("wordsPerElement", words);
    row.put("gbPerSecond", words * Float.BYTES * size / times[0]);
    if (expected != null) row.put("sameBits", Arrays.equals(expected, seen));
    System.out.println(new Gson().toJson(row));
    return seen;
  }

  private void sample(double[] times, Runnable step, Runnable before, int checked) {
    before.run();
    for (int i = 0; i < checked; ++i) step.run();
    look();
    before.run();
    final int repetitions = (int) Math.max(1, Math.min(MOST, SAMPLE_NANOS / gpu.time(step)));
    final double[] samples = new double[ROUNDS];
    for (int round = 0; round < ROUNDS; ++round) {
      before.run();
      samples[round] = gpu.time(() -> {
        for (int i = 0; i < repetitions; ++i) step.run();
      }) / repetitions;
    }
    Arrays.sort(samples);
    times[0] = samples[ROUNDS / 2];
  }

  // Waits for the steps, and copies some of the parameters.
  private void look() {
    gpu.time(() -> {});
    seen = new float[(int) Math.min(size, 1 << 20)];
    final long bytes = (long) seen.length * Float.BYTES;
    try (FloatPointer copy = new FloatPointer(seen.length)) {
      if (gpu instanceof Gpu.Host) Pointer.memcpy(copy, parameters, bytes);
      else check(cudart.cudaMemcpy(copy, parameters, bytes, cudart.cudaMemcpyDeviceToHost));
      copy.get(seen);
    }
  }

  private static void check(int error) {
    if (error != cudart.cudaSuccess) throw new IllegalStateException(cudart.cudaGetErrorString(error).getString());
  }
}
