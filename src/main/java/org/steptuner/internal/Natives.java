// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal;

import java.util.function.UnaryOperator;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.annotation.Cast;
import org.bytedeco.javacpp.annotation.Name;
import org.bytedeco.javacpp.annotation.NoException;
import org.bytedeco.javacpp.annotation.Platform;
import org.steptuner.DataType;
import org.steptuner.DeviceException;

/** Calls the C functions of {@code steptuner.h} and turns their errors into exceptions. {@link NativeLibrary#load} comes first. */
@Platform(include = "steptuner.h", link = "steptuner", library = "jnisteptuner")
@NoException
public final class Natives {
  private static final int ABI = 6;
  private static final int OK = 0;
  private static final int BAD_ARGUMENT = 1;
  private static final int BAD_STATE = 5;

  private Natives() {}

  @Name("st_abi_version")
  private static native int abiVersion();

  @Name("st_last_error")
  private static native @Cast("const char*") BytePointer lastErrorPointer();

  @Name("st_type_name")
  private static native @Cast("const char*") BytePointer typeNamePointer(int type);

  @Name("st_device_open")
  private static native int deviceOpen(
      String library, int index, int threads, String isa, @Cast("int64_t*") long[] device);

  @Name("st_device_name")
  private static native @Cast("const char*") BytePointer deviceNamePointer(long device);

  @Name("st_device_threads")
  public static native int deviceThreads(long device);

  @Name("st_kernel_find")
  public static native int kernelFind(String sweep, String rule);

  @Name("st_kernel_count")
  public static native int kernelCount();

  @Name("st_kernel_describe")
  private static native @Cast("const char*") BytePointer kernelDescription(int kernel);

  @Name("st_plan_create")
  public static native int planCreate(
      long device,
      int tensors,
      @Cast("const int64_t*") long[] parameters,
      @Cast("const int32_t*") int[] parameterTypes,
      @Cast("const int64_t*") long[] gradients,
      @Cast("const int32_t*") int[] gradientTypes,
      @Cast("const int64_t*") long[] updates,
      @Cast("const int64_t*") long[] counts,
      @Cast("const int32_t*") int[] segments,
      int slots,
      @Cast("const int32_t*") int[] storage,
      int verify,
      @Cast("int64_t*") long[] plan);

  @Name("st_plan_destroy")
  public static native void planDestroy(long plan);

  @Name("st_plan_rebind")
  public static native int planRebind(
      long plan,
      int count,
      @Cast("const int32_t*") int[] tensors,
      @Cast("const int64_t*") long[] parameters,
      @Cast("const int64_t*") long[] gradients,
      @Cast("const int64_t*") long[] updates,
      int verify);

  @Name("st_plan_zero_gradients")
  public static native int planZeroGradients(long plan, long stream, int verify);

  @Name("st_plan_set_present")
  public static native int planSetPresent(long plan, @Cast("const int32_t*") int[] present);

  @Name("st_plan_add_slot")
  public static native int planAddSlot(long plan, int storage, @Cast("int32_t*") int[] slot);

  @Name("st_plan_set_rounding")
  public static native int planSetRounding(
      long plan, int rounding, int rest, long seed, @Cast("const int64_t*") long[] keys, @Cast("const int64_t*") long[] begins);

  @Name("st_plan_set_step")
  public static native void planSetStep(long plan, long step);

  @Name("st_plan_release_slot")
  public static native int planReleaseSlot(long plan, int slot);

  @Name("st_plan_fill")
  public static native int planFill(long plan, int slot, double value, long stream);

  @Name("st_plan_bytes")
  public static native long planBytes(long plan, int slot, int tensor);

  @Name("st_plan_type")
  public static native int planType(long plan, int slot, int tensor);

  @Name("st_plan_address")
  public static native long planAddress(long plan, int slot, int tensor);

  @Name("st_plan_read")
  public static native int planRead(
      long plan, int slot, int tensor, long offset, @Cast("void*") long host, long bytes, long stream);

  /** The same into an array on the Java heap. */
  @Name("st_plan_read")
  public static native int planRead(
      long plan, int slot, int tensor, long offset, @Cast("void*") byte[] host, long bytes, long stream);

  @Name("st_plan_write")
  public static native int planWrite(
      long plan, int slot, int tensor, long offset, @Cast("const void*") byte[] host, long bytes, long stream);

  @Name("st_host_allocate")
  public static native int hostAllocate(long bytes, @Cast("int64_t*") long[] address);

  @Name("st_host_free")
  public static native void hostFree(long address);

  @Name("st_plan_bind")
  public static native int planBind(
      long plan, int kernel, @Cast("const int32_t*") int[] slots, int operands, @Cast("int32_t*") int[] binding);

  @Name("st_binding_release")
  public static native int bindingRelease(long plan, int binding);

  @Name("st_binding_coefficients")
  public static native long bindingCoefficients(long plan, int binding);

  @Name("st_binding_sums")
  public static native long bindingSums(long plan, int binding);

  @Name("st_binding_bytes")
  public static native long bindingBytes(long plan, int binding);

  @Name("st_sweep")
  public static native int sweep(long plan, int binding, long stream);

  @Name("st_sweep_followed")
  public static native int sweepFollowed(long plan, int binding, int follower, long stream);

  @Name("st_wait")
  public static native int await(long plan, long stream);

  @Name("st_scalars_find")
  public static native int scalarsFind(String tuner);

  @Name("st_scalars_describe")
  private static native @Cast("const char*") BytePointer scalarsDescription(int scalars);

  @Name("st_capture_create")
  public static native int captureCreate(
      long plan,
      int scalars,
      int first,
      int second,
      int scopes,
      @Cast("const int32_t*") int[] scopeOfSegment,
      int groups,
      @Cast("const int32_t*") int[] groupOfSegment,
      int length,
      int capacity);

  @Name("st_capture_address")
  public static native long captureAddress(long plan, int part);

  @Name("st_capture_width")
  public static native int captureWidth(long plan, int part);

  @Name("st_capture_begin")
  public static native int captureBegin(
      long plan, double multiplier, double clipNorm, int checks, long made, long skipped, long loss, int lossType, long stream);

  @Name("st_capture_send")
  public static native int captureSend(long plan, int row, int rows, long stream);

  @Name("st_capture_step")
  public static native int captureStep(long plan, long stream);

  @Name("st_capture_capturing")
  public static native int captureCapturing(long plan, long stream);

  @Name("st_capture_report")
  public static native int captureReport(long plan, double[] report);

  @Name("st_capture_end")
  public static native int captureEnd(long plan, long stream);

  @Name("st_capture_destroy")
  public static native void captureDestroy(long plan);

  /** Opens a device; {@code library} is null for the CPU. */
  public static long openDevice(String library, int index, int threads, String isa) {
    final long[] device = new long[1];
    check(deviceOpen(library, index, threads, isa, device));
    return device[0];
  }

  /** The name that a device gives itself. */
  public static String deviceName(long device) {
    return deviceNamePointer(device).getString();
  }

  /** The description of a kernel: "sweep|rule|name:place:access,...|coefficient,...|sum,...". */
  public static String describeKernel(int kernel) {
    return kernelDescription(kernel).getString();
  }

  /**
   * The description of what computes a tuner's scalars on devices:
   * "tuner|setting,...|list|state,...|lists,...|input,...|late,...|row,...|first,...|second,...".
   */
  public static String describeScalars(int scalars) {
    return scalarsDescription(scalars).getString();
  }

  /** Whether the library that was loaded is the one that these classes were made for. */
  static void checkVersion() throws LoadingException {
    if (abiVersion() != ABI) throw unlike("it has ABI version " + abiVersion() + ", and its classes need version " + ABI);
    for (DataType type : DataType.values()) {
      final BytePointer name = typeNamePointer(type.ordinal());
      if (name == null || !name.getString().equals(type.name())) throw unlike("it does not know type " + type.ordinal() + " as " + type);
    }
  }

  private static LoadingException unlike(String reason) {
    return new LoadingException(
        reason, "keep the classes and the native library of one version: of one jar, and nothing of another on java.library.path");
  }

  /** Turns a status into the exception that it stands for. */
  public static void check(int status) {
    if (status != OK) throw failure(status, UnaryOperator.identity());
  }

  /** Whether a call did what it was to do. */
  public static boolean succeeded(int status) {
    return status == OK;
  }

  /** The exception that the status of a call that failed stands for, with its message in the words of those who called. */
  public static RuntimeException failure(int status, UnaryOperator<String> words) {
    final String message = words.apply(lastErrorPointer().getString());
    return switch (status) {
      case BAD_ARGUMENT -> new IllegalArgumentException(message);
      case BAD_STATE -> new IllegalStateException(message);
      default -> new DeviceException(message);
    };
  }
}
