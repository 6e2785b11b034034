// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bytedeco.javacpp.BytePointer;
import org.junit.jupiter.api.Test;
import org.steptuner.Device;

/** The ways of {@link GpuTraining} on the CPU, and on one that keeps work for graphs as a GPU does. */
class GpuTrainingTest {
  private record Ended(int status, String output) {}

  private static Ended ended(Supplier<Compute> computes, String... ways) {
    final ByteArrayOutputStream output = new ByteArrayOutputStream();
    final int status = GpuTraining.run(computes, new PrintStream(output, true), ways);
    return new Ended(status, output.toString());
  }

  private static String trained(Supplier<Compute> computes, String... ways) {
    final Ended ended = ended(computes, ways);
    assertEquals(0, ended.status(), ended.output());
    return ended.output();
  }

  @Test
  void allWaysWithoutArguments() {
    final String output = trained(HostCompute::new);
    for (String way : List.of("ordinary", "captured", "bfloat16", "sharded")) assertTrue(output.contains("== " + way), output);
    assertTrue(output.contains("not captured, launched one by one: the CPU has no graphs"), output);
    assertTrue(output.contains("the weights have the bits that ordinary steps leave"), output);
  }

  /** On the GPU of this machine, or on its CPU with a word about what is missing for a GPU. */
  @Test
  void theBestThatIsThere() {
    final ByteArrayOutputStream output = new ByteArrayOutputStream();
    final PrintStream out = new PrintStream(output, true);
    assertEquals(0, GpuTraining.run(GpuTraining.best(out), out, "ordinary"), output.toString());
    final String text = output.toString();
    final boolean fallsBack = text.contains("This goes on with the CPU.");
    assertEquals(fallsBack, text.startsWith("No GPU: ") || text.startsWith("The GPU is there, but "), text);
    assertEquals(!fallsBack, text.contains("== ordinary, on CUDA device"), text);
  }

  @Test
  void onlyTheWaysThatAreNamed() {
    final String output = trained(HostCompute::new, "sharded");
    assertTrue(output.contains("the scales of both processes were equal after every step, and so are their weights"), output);
    assertFalse(output.contains("== ordinary"), output);
  }

  @Test
  void anUnknownWay() {
    final Ended ended = ended(HostCompute::new, "ordinary", "shraded");
    assertEquals(2, ended.status());
    assertTrue(ended.output().startsWith("'shraded' is none of the ways"), ended.output());
  }

  /** In float32 every weight moves. In bfloat16 most steps of a fixed rate are lost by rounding to nearest, and none stochastically. */
  @Test
  void whatStandsStill() {
    final Matcher line = Pattern.compile("weights in (\\w+), (\\w+): loss ([0-9.]+) after .* one (\\d+) of (\\d+)").matcher(
        trained(HostCompute::new, "bfloat16"));
    assertTrue(line.find());
    assertEquals("FLOAT32", line.group(1));
    final double loss = Double.parseDouble(line.group(3));
    assertTrue(Integer.parseInt(line.group(4)) < 10);
    assertTrue(line.find());
    assertEquals("BFLOAT16 NEAREST", line.group(1) + " " + line.group(2));
    final double nearest = Double.parseDouble(line.group(3));
    assertTrue(nearest > 2 * loss);
    assertTrue(Integer.parseInt(line.group(4)) > Integer.parseInt(line.group(5)) / 2);
    assertTrue(line.find());
    assertEquals("BFLOAT16 STOCHASTIC", line.group(1) + " " + line.group(2));
    assertTrue(Double.parseDouble(line.group(3)) < nearest);
  }

  @Test
  void aGraphIsLaunchedForEveryStep() {
    final int[] launches = {0};
    final String output = trained(() -> new Delegate() {
      @Override
      public Graph capture(Runnable work) {
        return () -> {
          ++launches[0];
          work.run();
        };
      }
    }, "captured");
    assertTrue(output.contains("captured into a CUDA graph"), output);
    assertEquals(300, launches[0]);
  }

  /** A pass that gives other gradients in a graph than outside of it: the comparison notices. */
  @Test
  void otherBitsAreAFailure() {
    final Ended ended = ended(() -> new Delegate() {
      private boolean captured;

      @Override
      public Graph capture(Runnable work) {
        captured = true;
        return work::run;
      }

      @Override
      public void multiply(float factor, Matrix a, boolean transposed, Matrix x, float keep, Matrix y) {
        super.multiply(captured ? Math.nextUp(factor) : factor, a, transposed, x, keep, y);
      }
    }, "captured", "ordinary");
    assertEquals(1, ended.status());
    assertTrue(ended.output().contains("captured failed: "), ended.output());
    assertTrue(ended.output().contains("the weights differ from those of ordinary steps"), ended.output());
    assertTrue(ended.output().contains("== ordinary"), ended.output()); // the others are run all the same
  }

  /** One process fails: the other one ends too, and the failure is told. */
  @Test
  void aFailureOfOneProcess() {
    final List<Delegate> all = new ArrayList<>();
    final Ended ended = ended(() -> {
      final int number = all.size();
      final Delegate compute = new Delegate() {
        @Override
        public void await() {
          if (number == 2) throw new IllegalStateException("the device is lost");
        }
      };
      all.add(compute);
      return compute;
    }, "sharded");
    assertEquals(1, ended.status());
    assertTrue(ended.output().contains("sharded failed: java.lang.IllegalStateException: the device is lost"), ended.output());
    for (Delegate compute : all) assertTrue(compute.closed);
  }

  @Test
  void bfloat16RoundsToTheNearest() {
    final float step = 1f / 128; // the neighbours of 1
    assertEquals(1, Matrix.bfloat16(1 + step / 2)); // halfway: the even one
    assertEquals(1 + step, Matrix.bfloat16(Math.nextUp(1 + step / 2)));
    assertEquals(1 + 2 * step, Matrix.bfloat16(1 + 3 * step / 2));
    assertEquals(-1 - step, Matrix.bfloat16(-1 - step));
    assertEquals(0, Matrix.bfloat16(0));
  }

  /** The CPU, of which a test changes something. */
  private static class Delegate implements Compute {
    private final HostCompute host = new HostCompute();
    boolean closed;

    @Override
    public Device device() {
      return host.device();
    }

    @Override
    public long stream() {
      return host.stream();
    }

    @Override
    public BytePointer allocate(long bytes) {
      return host.allocate(bytes);
    }

    @Override
    public void write(BytePointer to, ByteBuffer from) {
      host.write(to, from);
    }

    @Override
    public ByteBuffer read(BytePointer from, int bytes) {
      return host.read(from, bytes);
    }

    @Override
    public void copy(BytePointer to, BytePointer from, long bytes) {
      host.copy(to, from, bytes);
    }

    @Override
    public void multiply(float factor, Matrix a, boolean transposed, Matrix x, float keep, Matrix y) {
      host.multiply(factor, a, transposed, x, keep, y);
    }

    @Override
    public void await() {}

    @Override
    public Graph capture(Runnable work) {
      return host.capture(work);
    }

    @Override
    public void close() {
      closed = true;
      host.close();
    }
  }
}
