// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench.gpu;

import com.google.gson.Gson;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.Pointer;
import org.steptuner.Optimizer;

/**
 * Whole steps: one tensor of several sizes, and 10,000 tensors of 1,000. Prints one JSON object a line.
 *
 * <p>{@code Steps LIBRARY LARGEST [dry]}
 */
public final class Steps {
  private static final long[] SIZES = {100_000, 1_000_000, 10_000_000, 100_000_000};
  private static final int MANY = 10_000;
  private static final int MANY_LENGTH = 1_000;
  private static final int ROUNDS = 11;
  private static final double SAMPLE_NANOS = 20e6;
  // Where a single step takes longer than a sample, fewer rounds are made.
  private static final int LEAST_ROUNDS = 3;
  private static final double MOST_NANOS = 250e6;

  private Steps() {}

  public static void main(String[] arguments) {
    final Gpu gpu = Gpu.of(Path.of(arguments[0]), arguments.length > 2);
    final long most = (long) Double.parseDouble(arguments[1]);
    for (long size : SIZES) if (size <= most) measure(gpu, 1, size);
    if ((long) MANY * MANY_LENGTH <= most) measure(gpu, MANY, MANY_LENGTH);
  }

  private static void measure(Gpu gpu, int tensors, long length) {
    final long elements = tensors * length;
    final Pointer gradients = Tuners.random(gpu, elements, 1);
    final List<Pointer> memory = new ArrayList<>(List.of(gradients));
    final Map<String, Optimizer> contenders = new LinkedHashMap<>();
    for (String name : Tuners.names()) {
      final Pointer parameters = Tuners.random(gpu, elements, 2);
      memory.add(parameters);
      contenders.put(name, Tuners.build(name, gpu, parameters, gradients, tensors, length));
    }
    final Map<String, List<Double>> times = new LinkedHashMap<>();
    contenders.forEach((name, optimizer) -> {
      optimizer.step();
      times.put(name, new ArrayList<>());
    });
    for (int round = 0; round < ROUNDS; ++round) {
      final int made = round;
      contenders.forEach((name, optimizer) -> {
        if (made >= LEAST_ROUNDS && made * Math.max(SAMPLE_NANOS, times.get(name).get(0)) > MOST_NANOS) return;
        final double once = gpu.time(optimizer::step);
        final int repetitions = (int) Math.max(1, Math.min(1000, SAMPLE_NANOS / once));
        times.get(name).add(gpu.time(() -> {
          for (int i = 0; i < repetitions; ++i) optimizer.step();
        }) / repetitions);
      });
    }
    contenders.forEach((name, optimizer) -> {
      final double[] sorted = times.get(name).stream().mapToDouble(Double::doubleValue).sorted().toArray();
      final double time = sorted[sorted.length / 2];
      final double words = optimizer.wordsPerElement();
      final Map<String, Object> row = new LinkedHashMap<>();
      row.put("benchmark", name);
      row.put("tensors", tensors);
      row.put("size", elements);
      row.put("dtype", "float32");
      row.put("device", gpu.device().name());
      row.put("timeNs", time);
      row.put("wordsPerElement", words);
      row.put("gbPerSecond", words * Float.BYTES * elements / time);
      System.out.println(new Gson().toJson(row));
      optimizer.close();
    });
    memory.forEach(gpu::free);
  }
}
