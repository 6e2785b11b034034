// SPDX-License-Identifier: Apache-2.0
package program;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.rule.AdamW;
import org.steptuner.tuner.Mechanic;

/**
 * A small trainer. Opens devices in every way and prints a line for each, {@code way|ok|name} or {@code way|class|message}; then makes one
 * step on the CPU, if there is one, and prints the parameters.
 */
public final class Program {
  private static final int THREADS = 4;

  private Program() {}

  public static void main(String[] arguments) throws Exception {
    final boolean interrupted = Arrays.asList(arguments).contains("interrupted");
    if (interrupted) Thread.currentThread().interrupt();
    open("best", Device::best);
    open("cpu", Device::cpu);
    open("cpu(2)", () -> Device.cpu(2));
    open("cuda", () -> Device.cuda(0));
    open("library", () -> Device.fromLibrary(Path.of("/none.so"), 0));
    if (interrupted) System.out.println("interrupted|" + Thread.interrupted());
    final ExecutorService pool = Executors.newFixedThreadPool(THREADS, Program::daemon);
    final List<Future<Device>> devices = new ArrayList<>();
    for (int i = 0; i < THREADS; ++i) devices.add(pool.submit((Callable<Device>) Device::cpu));
    for (Future<Device> device : devices) {
      open("thread", () -> {
        try {
          return device.get();
        } catch (java.util.concurrent.ExecutionException e) {
          throw (Exception) e.getCause();
        }
      });
    }
    if (open("cpu", Device::cpu)) System.out.println("parameters|" + step());
  }

  private static Thread daemon(Runnable task) {
    final Thread thread = new Thread(task);
    thread.setDaemon(true); // nobody has to end it
    return thread;
  }

  private static boolean open(String way, Callable<Device> opener) throws Exception {
    try {
      System.out.println(way + "|ok|" + opener.call().name());
      return true;
    } catch (Throwable e) {
      System.out.println(way + "|" + e.getClass().getName() + "|" + e.getMessage() + (e.getCause() == null ? "" : "|cause"));
      return false;
    }
  }

  /** The parameters after a step of Mechanic over AdamW. */
  public static String step() {
    final FloatBuffer parameters = buffer(1, 2, 3, 4);
    final FloatBuffer gradients = buffer(0.5f, -1, 2, 0.25f);
    final ParameterSet set = ParameterSet.on(Device.cpu()).add("weights", parameters, gradients).build();
    try (Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).build(set)) {
      for (int i = 0; i < 3; ++i) optimizer.step();
    }
    final float[] result = new float[4];
    parameters.duplicate().get(result);
    return Arrays.toString(result);
  }

  private static FloatBuffer buffer(float... values) {
    final FloatBuffer buffer = ByteBuffer.allocateDirect(values.length * Float.BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer();
    buffer.put(0, values);
    return buffer;
  }
}
