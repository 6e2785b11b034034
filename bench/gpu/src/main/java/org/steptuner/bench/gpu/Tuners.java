// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench.gpu;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import java.util.function.Supplier;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.steptuner.DataType;
import org.steptuner.NonFinite;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.MetaOptimize;
import org.steptuner.tuner.TunerBuilder;

/** What is measured, with the settings that the peers have too: rate 1e-3, betas 0.9 and 0.999, epsilon 1e-8, decay 0.01. */
final class Tuners {
  private static final double RATE = 1e-3;
  // Hashing is dearer than copying: large arrays repeat these values.
  private static final int VALUES = 1 << 20;

  private static final Map<String, Supplier<TunerBuilder<?>>> ALL = new LinkedHashMap<>();

  static {
    ALL.put("AdamW", () -> FixedRate.of(RATE, AdamW.defaults()).nonFinite(NonFinite.UNCHECKED));
    ALL.put("AdamW, guarded", () -> FixedRate.of(RATE, AdamW.defaults()));
    ALL.put("Lion", () -> FixedRate.of(RATE, Lion.defaults().weightDecay(0.01)).nonFinite(NonFinite.UNCHECKED));
    ALL.put("Mechanic over AdamW", () -> Mechanic.tuning(AdamW.defaults()));
    ALL.put("Mechanic over Lion", () -> Mechanic.tuning(Lion.defaults()));
    ALL.put("MetaOptimize, AdamW and Adam", () -> MetaOptimize.tuning(AdamW.defaults()));
  }

  private Tuners() {}

  static Iterable<String> names() {
    return ALL.keySet();
  }

  /** An optimizer over tensors of one length that lie in one block of parameters and one of gradients. */
  static Optimizer build(String name, Gpu gpu, Pointer parameters, Pointer gradients, int tensors, long length) {
    final ParameterSet.Builder set = ParameterSet.on(gpu.device());
    final long bytes = length * Float.BYTES;
    for (int t = 0; t < tensors; ++t)
      set.add("t" + t, parameters.address() + t * bytes, gradients.address() + t * bytes, length, DataType.FLOAT32);
    return ALL.get(name).get().stream(gpu.stream()).build(set.build());
  }

  static Pointer random(Gpu gpu, long count, long seed) {
    final Random random = new Random(seed);
    final float[] some = new float[(int) Math.min(count, VALUES)];
    for (int i = 0; i < some.length; ++i) some[i] = (float) (random.nextGaussian() * 0.01);
    try (FloatPointer values = new FloatPointer(some)) {
      return gpu.allocate(values, count);
    }
  }
}
