// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import org.steptuner.internal.NativeLibrary;
import org.steptuner.internal.Natives;

/**
 * The CPU or a GPU, on which optimizers run. All devices give the same bits for the same inputs. A device is opened once per process and
 * never closed.
 *
 * <p>The native library is loaded when a device is first asked for. If that fails, every method here that opens a device throws a {@link
 * DeviceException} with the first reason and what to do about it, each time.
 */
public final class Device {
  private static final Map<String, Device> OPEN = new ConcurrentHashMap<>();
  private static final String NO_CUDA_LIBRARY =
      "no CUDA library: add the jar of org.steptuner:steptuner with classifier linux-x86_64-gpu, or build where nvcc is on the path";
  private static final AtomicBoolean NO_GPU_LOGGED = new AtomicBoolean();

  private final long handle;
  private final String name;
  private final boolean cpu;

  private Device(long handle, boolean cpu) {
    this.handle = handle;
    this.name = Natives.deviceName(handle);
    this.cpu = cpu;
  }

  /**
   * The CPU with the best instruction set of this processor and one thread per processor, unless the system properties {@code
   * steptuner.threads} and {@code steptuner.isa} (or the environment variables STEPTUNER_THREADS and STEPTUNER_ISA) say otherwise. How many
   * processors there are is what {@link Runtime#availableProcessors()} says: {@code -XX:ActiveProcessorCount}, the processors that the
   * process may use, and a container's quota of processor time count.
   *
   * <p>An optimizer whose arrays take more than half of the last-level cache runs in a form for memory beyond the caches, with the same
   * bits. Of a larger cache 32 MiB count. The environment variable STEPTUNER_CACHE_BYTES overrides what counts.
   *
   * @throws IllegalArgumentException if the setting of the threads is not a number, or is negative
   * @throws DeviceException if the native library cannot be loaded, or this processor lacks the instruction set
   */
  public static Device cpu() {
    NativeLibrary.load(); // before settings are read: what may not be read is a reason, too
    final String threads = setting("threads");
    int count = 0;
    if (threads != null) {
      try {
        count = Integer.parseInt(threads.trim());
      } catch (NumberFormatException e) {
        throw new IllegalArgumentException("steptuner.threads must be a number, not '" + threads + "'", e);
      }
    }
    return cpu(count);
  }

  /**
   * The CPU with a number of threads, the caller's among them.
   *
   * @param threads 1 or more, or 0 for one per processor, as {@link #cpu()} counts them
   * @throws DeviceException if the native library cannot be loaded, or this processor lacks the instruction set of the setting
   */
  public static Device cpu(int threads) {
    NativeLibrary.load();
    final String isa = setting("isa");
    return open(null, 0, threads, isa == null ? "" : isa.trim().toLowerCase(Locale.ROOT));
  }

  /**
   * The CPU with a number of threads and an instruction set.
   *
   * @param threads 1 or more, the caller's among them, or 0 for one per processor, as {@link #cpu()} counts them
   * @param instructionSet one that this processor has
   * @throws DeviceException if the native library cannot be loaded, or this processor lacks the instruction set
   */
  public static Device cpu(int threads, InstructionSet instructionSet) {
    Objects.requireNonNull(instructionSet, "instructionSet");
    return open(null, 0, threads, instructionSet.name().toLowerCase(Locale.ROOT));
  }

  /**
   * A GPU. Needs the library of the {@code -gpu} flavour (the jar with classifier {@code linux-x86_64-gpu}) and a driver.
   *
   * @param index the CUDA device, from 0
   * @throws DeviceException if there is no such library, driver or device, or a library cannot be loaded; the message says which
   */
  public static Device cuda(int index) {
    final String library = NativeLibrary.cuda();
    if (library == null) throw new DeviceException(NO_CUDA_LIBRARY);
    return open(library, index, 0, "");
  }

  /**
   * The first GPU if there is one, else the CPU. The reason for taking the CPU is logged once ({@link System.Logger}, INFO). It is that
   * there is no CUDA library, no driver or no GPU.
   *
   * @throws DeviceException if a library is there but cannot be loaded, that of the CPU or that of the GPU
   */
  public static Device best() {
    final String library = NativeLibrary.cuda();
    String noGpu = NO_CUDA_LIBRARY;
    if (library != null) {
      try {
        return open(library, 0, 0, "");
      } catch (DeviceException e) {
        noGpu = e.getMessage();
      }
    }
    if (!NO_GPU_LOGGED.getAndSet(true))
      System.getLogger(Device.class.getName()).log(System.Logger.Level.INFO, "no GPU, using the CPU: {0}", noGpu);
    return cpu();
  }

  /**
   * A device of a backend library built by the caller, such as the CUDA library compiled for a single GPU.
   *
   * @param library a shared library with the entry {@code steptuner_backend}
   * @param index the device, from 0
   * @throws DeviceException if it is not such a library, or has no such device, or the library of the CPU cannot be loaded
   */
  public static Device fromLibrary(Path library, int index) {
    Objects.requireNonNull(library, "library");
    NativeLibrary.load();
    if (!Files.isRegularFile(library)) throw new DeviceException("no device library at " + library);
    return open(library.toAbsolutePath().toString(), index, 0, "");
  }

  /** A description of the device, for messages and logs. */
  public String name() {
    return name;
  }

  /** Whether this is the CPU, so that addresses are those of this process. */
  public boolean isCpu() {
    return cpu;
  }

  /** The host threads that a step uses; 0 for a GPU. */
  public int threads() {
    return Natives.deviceThreads(handle);
  }

  /** The native handle, for the library's own use. */
  public long handle() {
    return handle;
  }

  @Override
  public String toString() {
    return name;
  }

  private static Device open(String library, int index, int threads, String isa) {
    if (index < 0) throw new IllegalArgumentException("index must be 0 or more, not " + index);
    if (threads < 0) throw new IllegalArgumentException("threads must be 0 or more, not " + threads);
    NativeLibrary.load();
    // The JVM knows the quota of a container, which the system's number of processors does not show.
    final int count = library == null && threads == 0 ? Runtime.getRuntime().availableProcessors() : threads;
    return OPEN.computeIfAbsent(
        library + "|" + index + "|" + count + "|" + isa,
        key -> new Device(Natives.openDevice(library, index, count, isa), library == null));
  }

  private static String setting(String name) {
    final String property = System.getProperty("steptuner." + name);
    return property != null ? property : System.getenv("STEPTUNER_" + name.toUpperCase(Locale.ROOT));
  }
}
