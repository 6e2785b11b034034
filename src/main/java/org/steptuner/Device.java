// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import org.steptuner.internal.Natives;

/**
 * The CPU or a GPU, on which optimizers run. All devices give the same bits for the same inputs. A device is opened once per process and
 * never closed.
 */
public final class Device {
  private static final Map<String, Device> OPEN = new ConcurrentHashMap<>();
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
   * steptuner.threads} and {@code steptuner.isa} (or the environment variables STEPTUNER_THREADS and STEPTUNER_ISA) say otherwise. An
   * optimizer whose arrays take more than half of the last-level cache runs in a form for memory beyond the caches, with the same bits. The
   * environment variable STEPTUNER_CACHE_BYTES overrides the size of that cache, where the system reports a wrong one.
   *
   * @throws IllegalArgumentException if the setting of the threads is not a number, or is negative
   * @throws DeviceException if this processor lacks the instruction set
   */
  public static Device cpu() {
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
   * @param threads 1 or more, or 0 for one per processor
   */
  public static Device cpu(int threads) {
    final String isa = setting("isa");
    return open(null, 0, threads, isa == null ? "" : isa.trim().toLowerCase(Locale.ROOT));
  }

  /**
   * The CPU with a number of threads and an instruction set.
   *
   * @param threads 1 or more, the caller's among them, or 0 for one per processor
   * @param instructionSet one that this processor has
   * @throws DeviceException if this processor lacks the instruction set
   */
  public static Device cpu(int threads, InstructionSet instructionSet) {
    Objects.requireNonNull(instructionSet, "instructionSet");
    return open(null, 0, threads, instructionSet.name().toLowerCase(Locale.ROOT));
  }

  /**
   * A GPU. Needs the library of the {@code -gpu} flavour (the jar with classifier {@code linux-x86_64-gpu}) and a driver.
   *
   * @param index the CUDA device, from 0
   * @throws DeviceException if there is no such library, driver or device; the message says which
   */
  public static Device cuda(int index) {
    return open(Natives.cudaLibrary(), index, 0, "");
  }

  /** The first GPU if there is one, else the CPU. The reason for taking the CPU is logged once ({@link System.Logger}, INFO). */
  public static Device best() {
    try {
      return cuda(0);
    } catch (DeviceException noGpu) {
      if (!NO_GPU_LOGGED.getAndSet(true))
        System.getLogger(Device.class.getName()).log(System.Logger.Level.INFO, "no GPU, using the CPU: {0}", noGpu.getMessage());
      return cpu();
    }
  }

  /**
   * A device of a backend library built by the caller, such as the CUDA library compiled for a single GPU.
   *
   * @param library a shared library with the entry {@code steptuner_backend}
   * @param index the device, from 0
   * @throws DeviceException if it is not such a library, or has no such device
   */
  public static Device fromLibrary(Path library, int index) {
    Objects.requireNonNull(library, "library");
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
    return OPEN.computeIfAbsent(
        library + "|" + index + "|" + threads + "|" + isa,
        key -> new Device(Natives.openDevice(library, index, threads, isa), library == null));
  }

  private static String setting(String name) {
    final String property = System.getProperty("steptuner." + name);
    return property != null ? property : System.getenv("STEPTUNER_" + name.toUpperCase(Locale.ROOT));
  }
}
