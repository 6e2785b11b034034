// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT32;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/**
 * A thread that another library has set to flush subnormal numbers to zero trains to the same bits as one that has not, with any number of
 * threads, and keeps its setting. {@code environment_test} has other environments and every kernel.
 */
class FloatingPointTest {
  private static final int DEFAULT = 0x1f80;
  private static final int FLUSH = 0x8000;
  private static final int SUBNORMAL_IS_ZERO = 0x40;

  /** Sets the environment of this thread (MXCSR) and returns the one before. */
  private static native int exchange(int environment);

  @BeforeAll
  static void load() {
    final Path library = Path.of(System.getProperty("steptuner.test.native", ""), "libfloating_point_environment.so");
    assumeTrue(Files.exists(library), "the native tests are not built");
    System.load(library.toAbsolutePath().toString());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 4})
  void subnormalNumbersStay(int threads) {
    final List<TunerBuilder<?>> builders =
        List.of(
            FixedRate.of(0.5, SGD.defaults().momentum(0.5)), FixedRate.of(1e-3, AdamW.defaults()), Mechanic.tuning(Adam.defaults()),
            Prodigy.tuning(AdamW.defaults()));
    for (TunerBuilder<?> builder : builders)
      for (int environment : new int[] {DEFAULT | FLUSH, DEFAULT | SUBNORMAL_IS_ZERO, DEFAULT | FLUSH | SUBNORMAL_IS_ZERO})
        try (TestTensors plain = tensors();
            TestTensors flushed = tensors();
            Optimizer one = builder.build(plain.on(Device.cpu(1)));
            Optimizer other = builder.build(flushed.on(Device.cpu(threads)))) {
              for (int step = 0; step < 5; ++step) one.step(1);
              final int before = exchange(environment);
              final int after;
              try {
                assumeTrue(exchange(environment) == environment, "this JVM resets the environment");
                for (int step = 0; step < 5; ++step) other.step(1);
              } finally {
                after = exchange(before);
              }
              assertEquals(environment, after & ~0x3f, "the environment of the thread was not given back");
              flushed.assertSameParameters(plain,
                  builder.getClass().getSimpleName() + " in environment " + Integer.toHexString(environment));
              if (builder == builders.get(0)) assertTrue(Math.abs(plain.parameters(0).get(1)) < 1e-38 && plain.parameters(0).get(1) != 0);
            }
  }

  private static TestTensors tensors() {
    return new TestTensors().add("a", FLOAT32, 90_000).add("b", BFLOAT16, BFLOAT16, 40_000, 1)
        .parameters(i -> (i % 7 - 3) * 1e-39).gradients(i -> (i % 5 - 2) * (i % 2 == 0 ? 3e-40 : 1e-22 * (i % 3 == 0 ? 1 : 1e-17)));
  }
}
