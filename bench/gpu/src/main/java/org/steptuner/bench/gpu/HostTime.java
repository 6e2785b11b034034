// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench.gpu;

import com.google.gson.Gson;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.bytedeco.javacpp.Pointer;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.profile.GCProfiler;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;
import org.steptuner.Optimizer;

/**
 * What a step over one tensor of 1,000 elements costs its caller: Java, launches, and for tuners that need their sums the way to the
 * device and back. Prints one JSON object a line.
 *
 * <p>After 100 steps the device is waited for, and that is not counted: were its queue full, a launch would wait for it, and this would
 * measure the device. What the device needs for a step in the long run is among the steps of {@link Steps}.
 *
 * <p>{@code HostTime LIBRARY SECONDS [dry]}
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
public class HostTime {
  private static final int LENGTH = 1_000;
  private static final int STEPS = 100;

  @Param({"AdamW", "AdamW, guarded", "Lion", "Mechanic over AdamW", "Mechanic over Lion", "MetaOptimize, AdamW and Adam"})
  public String tuner;

  @Param("")
  public String library;

  @Param("false")
  public boolean dry;

  private Gpu gpu;
  private Optimizer optimizer;

  @Setup
  public void build() {
    gpu = Gpu.of(Path.of(library), dry);
    final Pointer parameters = Tuners.random(gpu, LENGTH, 2);
    optimizer = Tuners.build(tuner, gpu, parameters, Tuners.random(gpu, LENGTH, 1), 1, LENGTH);
  }

  @Setup(Level.Invocation)
  public void await() {
    gpu.await();
  }

  @Benchmark
  @OperationsPerInvocation(STEPS)
  public void step() {
    for (int i = 0; i < STEPS; ++i) optimizer.step();
  }

  @TearDown
  public void close() {
    optimizer.close();
  }

  public static void main(String[] arguments) throws RunnerException {
    final TimeValue time = TimeValue.milliseconds(Math.max(1, (long) (Double.parseDouble(arguments[1]) * 1000)));
    final var options = new OptionsBuilder().include(HostTime.class.getName()).param("library", arguments[0])
        .param("dry", String.valueOf(arguments.length > 2)).forks(1).warmupIterations(2).warmupTime(time).measurementIterations(5)
        .measurementTime(time).addProfiler(GCProfiler.class).verbosity(VerboseMode.SILENT).shouldFailOnError(true).build();
    for (RunResult result : new Runner(options).run()) {
      final var bytes = result.getSecondaryResults().get("gc.alloc.rate.norm");
      System.out.println(
          new Gson().toJson(
              Map.of(
                  "benchmark", result.getParams().getParam("tuner"), "size", LENGTH, "hostNs", result.getPrimaryResult().getScore(),
                  "allocatedBytesPerOp", bytes == null ? -1 : bytes.getScore())));
    }
  }
}
