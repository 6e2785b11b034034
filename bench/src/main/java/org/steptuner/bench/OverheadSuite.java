// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.Collection;
import org.openjdk.jmh.profile.GCProfiler;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;

/** {@link OverheadBenchmark} under JMH, in a JVM of its own, with the profiler of the heap. */
final class OverheadSuite {
  static final String EMPTY = "overhead: sweep of nothing";

  private OverheadSuite() {}

  static void run(Settings settings, Results results) {
    if (!settings.wants("overhead")) return;
    results.header("Overheads, by JMH");
    final Collection<RunResult> runs;
    try {
      runs =
          new Runner(
              new OptionsBuilder().include(OverheadBenchmark.class.getName()).forks(1).warmupIterations(3)
                  .warmupTime(TimeValue.milliseconds(300)).measurementIterations(settings.quick() ? 3 : 10)
                  .measurementTime(TimeValue.milliseconds(settings.quick() ? 300 : 1000)).addProfiler(GCProfiler.class)
                  .shouldFailOnError(true).verbosity(VerboseMode.SILENT).build())
              .run();
    } catch (RunnerException e) {
      throw new IllegalStateException("JMH failed", e);
    }
    for (RunResult run : runs) {
      final String size = run.getParams().getParam("size");
      final String tuner = run.getParams().getParam("tuner");
      final Result<?> allocated = run.getSecondaryResults().get("gc.alloc.rate.norm");
      results.add(
          new Row(size == null ? EMPTY : "overhead: step, " + tuner, size == null ? 0 : Long.parseLong(size), "float32", 1, Machine.cpu(),
              run.getPrimaryResult().getScore(), null, null, null, null, null, allocated == null ? null : allocated.getScore()));
    }
  }
}
