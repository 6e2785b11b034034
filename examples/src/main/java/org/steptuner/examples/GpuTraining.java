// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.util.Random;
import org.bytedeco.cuda.cublas.cublasContext;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.global.cublas;
import org.bytedeco.cuda.global.cudart;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.DeviceException;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.rule.AdamW;
import org.steptuner.tuner.Mechanic;

/**
 * Least squares on a GPU, {@code |A w - b|^2 / (2 n)}: memory, a stream and matrix products through bytedeco's CUDA presets, steps by
 * Mechanic over AdamW on the same stream. Needs a GPU and the jar of the library with classifier {@code linux-x86_64-gpu}.
 */
public final class GpuTraining implements AutoCloseable {
  private static final int ROWS = 4096;
  private static final int COLUMNS = 256;
  private static final int STEPS = 300;

  private final CUstream_st stream = new CUstream_st();
  private final cublasContext blas = new cublasContext();
  private final FloatPointer one = new FloatPointer(1f);
  private final FloatPointer minusOne = new FloatPointer(-1f);
  private final FloatPointer zero = new FloatPointer(0f);
  private final FloatPointer share = new FloatPointer(1f / ROWS);
  private final FloatPointer norm = new FloatPointer(1L);
  private final FloatPointer matrix = device(ROWS * COLUMNS);
  private final FloatPointer wanted = device(ROWS);
  private final FloatPointer residual = device(ROWS);
  private final FloatPointer weights = device(COLUMNS);
  private final FloatPointer gradients = device(COLUMNS);

  public static void main(String[] args) {
    final Device device;
    try {
      device = Device.cuda(0);
    } catch (DeviceException e) {
      System.out.println("This example needs a GPU: " + e.getMessage());
      return;
    }
    try (GpuTraining training = new GpuTraining()) {
      training.train(device);
    }
  }

  private GpuTraining() {
    cuda(cudart.cudaStreamCreate(stream));
    blas(cublas.cublasCreate_v2(blas));
    blas(cublas.cublasSetStream_v2(blas, stream));
    final Random random = new Random(1);
    final float[] truth = values(random, COLUMNS);
    final float[] a = values(random, ROWS * COLUMNS); // by columns
    final float[] b = new float[ROWS];
    for (int j = 0; j < COLUMNS; ++j) for (int i = 0; i < ROWS; ++i) b[i] += a[j * ROWS + i] * truth[j];
    upload(matrix, a);
    upload(wanted, b);
    upload(weights, new float[COLUMNS]);
  }

  /** Trains, and prints the loss and the effective rate. */
  private void train(Device device) {
    final ParameterSet parameters =
        ParameterSet.on(device).add("weights", weights, gradients, COLUMNS, DataType.FLOAT32).build();
    try (Optimizer optimizer = Mechanic.tuning(AdamW.defaults().weightDecay(0)).stream(stream).build(parameters)) {
      for (int step = 1; step <= STEPS; ++step) {
        computeGradients();
        final double rate = optimizer.step().effectiveRate(); // on the stream, after what computes the gradients
        if (step % 50 == 0) System.out.printf("step %d  loss %.6f  rate %.2e%n", step, loss(), rate);
      }
    }
  }

  private void computeGradients() {
    cuda(cudart.cudaMemcpyAsync(residual, wanted, ROWS * (long) Float.BYTES, cudart.cudaMemcpyDeviceToDevice, stream));
    blas(cublas.cublasSgemv_v2(blas, cublas.CUBLAS_OP_N, ROWS, COLUMNS, one, matrix, ROWS, weights, 1, minusOne, residual, 1));
    blas(cublas.cublasSgemv_v2(blas, cublas.CUBLAS_OP_T, ROWS, COLUMNS, share, matrix, ROWS, residual, 1, zero, gradients, 1));
  }

  /** Of the weights before the last step. */
  private double loss() {
    blas(cublas.cublasSnrm2_v2(blas, ROWS, residual, 1, norm));
    return (double) norm.get() * norm.get() / (2 * ROWS);
  }

  private static float[] values(Random random, int count) {
    final float[] values = new float[count];
    for (int i = 0; i < count; ++i) values[i] = (float) random.nextGaussian();
    return values;
  }

  private static FloatPointer device(int count) {
    final FloatPointer memory = new FloatPointer();
    cuda(cudart.cudaMalloc(memory, count * (long) Float.BYTES));
    return memory;
  }

  private static void upload(FloatPointer to, float[] values) {
    try (FloatPointer from = new FloatPointer(values)) {
      cuda(cudart.cudaMemcpy(to, from, values.length * (long) Float.BYTES, cudart.cudaMemcpyHostToDevice));
    }
  }

  private static void cuda(int error) {
    if (error != cudart.cudaSuccess) throw new IllegalStateException(cudart.cudaGetErrorString(error).getString());
  }

  private static void blas(int status) {
    if (status != cublas.CUBLAS_STATUS_SUCCESS) throw new IllegalStateException(cublas.cublasGetStatusString(status).getString());
  }

  @Override
  public void close() {
    for (Pointer memory : new Pointer[] {matrix, wanted, residual, weights, gradients}) cudart.cudaFree(memory);
    cublas.cublasDestroy_v2(blas);
    cudart.cudaStreamDestroy(stream);
  }
}
