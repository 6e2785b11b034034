// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.List;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.ParameterSet;
import org.steptuner.StepReport;
import org.steptuner.internal.engine.Plan;
import org.steptuner.internal.engine.Sweep;

/** What a call costs before there is any work in it. JMH's domain: very short, and its profiler counts what is allocated. */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@State(Scope.Thread)
public class OverheadBenchmark {
  /**
   * A sweep over an empty tensor runs everything but a chunk: Java, the bridge, the core, the backend and back. It bounds from above
   * the time from Java to the first instruction of a sweep, which is about half of it.
   */
  @State(Scope.Thread)
  public static class Empty {
    private Memory memory;
    private Plan plan;
    Sweep sweep;

    @Setup
    public void bind() {
      memory = Memory.filled(DataType.FLOAT32, 16, 1, 1);
      plan =
          new Plan(
              ParameterSet.on(Device.cpu(1)).add("x", memory.address(), memory.address() + 32, 0, DataType.FLOAT32).build(), List.of(),
              org.steptuner.Scope.ALL);
      sweep = plan.bind("fixed_rate", "sgd");
      for (String name : sweep.coefficients()) sweep.put(name, 0.5);
      sweep.set(0);
    }

    @TearDown
    public void free() {
      plan.close();
      memory.close();
    }
  }

  /** A step over one tensor. */
  @State(Scope.Thread)
  public static class Small {
    @Param({"AdamW", "AdamW, guarded", "Mechanic over AdamW"})
    String tuner;

    @Param({"1", "10000"})
    long size;

    private Step step;

    @Setup
    public void build() {
      step =
          Step.of(tuner, Device.cpu(1), Model.of(Shapes.one(size)),
              switch (tuner) {
                case StepSuite.ADAMW -> StepSuite.adamW();
                case StepSuite.ADAMW_GUARDED -> StepSuite.adamWGuarded();
                default -> StepSuite.mechanic();
              });
    }

    @TearDown
    public void free() {
      step.close();
    }
  }

  @Benchmark
  public void emptySweep(Empty empty) {
    empty.sweep.run();
  }

  @Benchmark
  public StepReport step(Small small) {
    return small.step.optimizer().step();
  }
}
