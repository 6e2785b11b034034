// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench.gpu;

import java.nio.file.Path;
import org.bytedeco.cuda.cudart.CUevent_st;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.global.cudart;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.steptuner.Device;

/** Memory of a device, and its clock. */
interface Gpu {
  Device device();

  /** A block of so many numbers: the values given, again and again. */
  Pointer allocate(FloatPointer values, long count);

  void free(Pointer memory);

  /** Returns when all work of {@link #stream} is done. */
  void await();

  /** Nanoseconds from the beginning of the work, which is enqueued, to its end on the device. */
  double time(Runnable work);

  /**
   * The GPU of a CUDA library, or, for a dry run, a device whose memory is the process's.
   *
   * @param library a device library
   * @param dry whether its device is not a GPU
   */
  static Gpu of(Path library, boolean dry) {
    final Device device = Device.fromLibrary(library, 0);
    return dry ? new Host(device) : new Cuda(device, new CUevent_st(), new CUevent_st(), new CUstream_st()).create();
  }

  /** Through bytedeco's CUDA presets, on a stream of its own. */
  record Cuda(Device device, CUevent_st begin, CUevent_st end, CUstream_st stream) implements Gpu {
    private Cuda create() {
      check(cudart.cudaEventCreate(begin));
      check(cudart.cudaEventCreate(end));
      check(cudart.cudaStreamCreate(stream));
      return this;
    }

    @Override
    public Pointer allocate(FloatPointer values, long count) {
      final Pointer memory = new Pointer();
      check(cudart.cudaMalloc(memory, count * Float.BYTES));
      for (long at = 0; at < count; at += values.limit()) {
        final long bytes = Math.min(values.limit(), count - at) * Float.BYTES;
        check(cudart.cudaMemcpy(new Pointer(memory).position(at * Float.BYTES), values, bytes, cudart.cudaMemcpyHostToDevice));
      }
      return memory;
    }

    @Override
    public void free(Pointer memory) {
      check(cudart.cudaFree(memory));
    }

    @Override
    public void await() {
      check(cudart.cudaStreamSynchronize(stream));
    }

    @Override
    public double time(Runnable work) {
      await();
      check(cudart.cudaEventRecord(begin, stream));
      work.run();
      check(cudart.cudaEventRecord(end, stream));
      check(cudart.cudaEventSynchronize(end));
      final float[] milliseconds = new float[1];
      check(cudart.cudaEventElapsedTime(milliseconds, begin, end));
      return milliseconds[0] * 1e6;
    }

    private static void check(int error) {
      if (error != cudart.cudaSuccess) throw new IllegalStateException(cudart.cudaGetErrorString(error).getString());
    }
  }

  /** Host memory and the host's clock. */
  record Host(Device device) implements Gpu {
    @Override
    public Pointer allocate(FloatPointer values, long count) {
      final FloatPointer memory = new FloatPointer(count);
      for (long at = 0; at < count; at += values.limit())
        Pointer.memcpy(memory.getPointer(at), values, Math.min(values.limit(), count - at) * Float.BYTES);
      return memory;
    }

    @Override
    public void free(Pointer memory) {
      memory.close();
    }

    @Override
    public void await() {}

    @Override
    public double time(Runnable work) {
      final long begin = System.nanoTime();
      work.run();
      return System.nanoTime() - begin;
    }
  }

  /** The stream that optimizers get; null where there is none. */
  default Pointer stream() {
    return null;
  }
}
