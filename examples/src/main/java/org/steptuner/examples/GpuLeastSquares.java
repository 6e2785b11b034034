// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.util.Random;
import org.bytedeco.cuda.cublas.cublasContext;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.global.cublas;
import org.bytedeco.cuda.global.cudart;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.ShortPointer;
import org.steptuner.DataType;

/**
 * Least squares on a GPU, {@code |A w - b|^2 / (2 n)}, in float32 or bfloat16: memory, a stream and matrix products through bytedeco's CUDA
 * presets, as a trainer has them.
 */
final class GpuLeastSquares implements AutoCloseable {
  static final int COLUMNS = 256;
  private static final int ROWS = 4096;

  private final DataType type;
  private final CUstream_st stream = new CUstream_st();
  private final cublasContext blas = new cublasContext();
  private final FloatPointer one = new FloatPointer(1f);
  private final FloatPointer minusOne = new FloatPointer(-1f);
  private final FloatPointer zero = new FloatPointer(0f);
  private final FloatPointer share = new FloatPointer(1f / ROWS);
  private final Pointer matrix;
  private final Pointer wanted;
  private final Pointer residual;
  private final Pointer weights;
  private final Pointer gradients;
  private final float[] truth;

  /** @param type of everything on the GPU: FLOAT32 or BFLOAT16 */
  GpuLeastSquares(DataType type) {
    this.type = type;
    check(cudart.cudaStreamCreateWithFlags(stream, cudart.cudaStreamNonBlocking));
    checkBlas(cublas.cublasCreate_v2(blas));
    checkBlas(cublas.cublasSetStream_v2(blas, stream));
    final Random random = new Random(1);
    truth = values(random, COLUMNS);
    final float[] a = values(random, ROWS * COLUMNS); // by columns
    final float[] b = new float[ROWS];
    for (int j = 0; j < COLUMNS; ++j) for (int i = 0; i < ROWS; ++i) b[i] += a[j * ROWS + i] * truth[j];
    matrix = upload(a);
    wanted = upload(b);
    residual = upload(b);
    weights = upload(new float[COLUMNS]);
    gradients = upload(new float[COLUMNS]);
    computeGradients(); // cuBLAS makes ready what it needs, which it must not do while the stream is being captured
    synchronize();
  }

  CUstream_st stream() {
    return stream;
  }

  long weights() {
    return weights.address();
  }

  long gradients() {
    return gradients.address();
  }

  int bytes() {
    return type == DataType.FLOAT32 ? Float.BYTES : Short.BYTES;
  }

  /** Enqueues the forward and the backward pass. */
  void computeGradients() {
    check(cudart.cudaMemcpyAsync(residual, wanted, (long) ROWS * bytes(), cudart.cudaMemcpyDeviceToDevice, stream));
    multiply(cublas.CUBLAS_OP_N, ROWS, COLUMNS, one, weights, minusOne, residual);
    multiply(cublas.CUBLAS_OP_T, COLUMNS, ROWS, share, residual, zero, gradients);
  }

  /** Waits for the stream. */
  void synchronize() {
    check(cudart.cudaStreamSynchronize(stream));
  }

  /** The weights now. */
  float[] read() {
    final float[] read = new float[COLUMNS];
    synchronize();
    if (type == DataType.FLOAT32) {
      try (FloatPointer to = new FloatPointer(COLUMNS)) {
        check(cudart.cudaMemcpy(to, weights, (long) COLUMNS * Float.BYTES, cudart.cudaMemcpyDeviceToHost));
        to.get(read);
      }
    } else {
      try (ShortPointer to = new ShortPointer(COLUMNS)) {
        check(cudart.cudaMemcpy(to, weights, (long) COLUMNS * Short.BYTES, cudart.cudaMemcpyDeviceToHost));
        for (int i = 0; i < COLUMNS; ++i) read[i] = Float.intBitsToFloat(to.get(i) << 16);
      }
    }
    return read;
  }

  /** {@code |w - truth| / |truth|}. */
  double error() {
    final float[] now = read();
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < COLUMNS; ++i) {
      difference += (now[i] - truth[i]) * (double) (now[i] - truth[i]);
      norm += truth[i] * (double) truth[i];
    }
    return Math.sqrt(difference / norm);
  }

  // A vector: to = factor op(A) from + keep to.
  private void multiply(int operation, int rows, int depth, FloatPointer factor, Pointer from, FloatPointer keep, Pointer to) {
    final int number = type == DataType.FLOAT32 ? cudart.CUDA_R_32F : cudart.CUDA_R_16BF;
    checkBlas(
        cublas.cublasGemmEx(
            blas, operation, cublas.CUBLAS_OP_N, rows, 1, depth, factor, matrix, number, ROWS, from, number, depth, keep, to, number, rows,
            cublas.CUBLAS_COMPUTE_32F, cublas.CUBLAS_GEMM_DEFAULT));
  }

  private static float[] values(Random random, int count) {
    final float[] values = new float[count];
    for (int i = 0; i < count; ++i) values[i] = (float) random.nextGaussian();
    return values;
  }

  private Pointer upload(float[] values) {
    final Pointer memory = new Pointer();
    final long size = (long) values.length * bytes();
    check(cudart.cudaMalloc(memory, size));
    try (Pointer from = type == DataType.FLOAT32 ? new FloatPointer(values) : new ShortPointer(toBfloat16(values))) {
      check(cudart.cudaMemcpy(memory, from, size, cudart.cudaMemcpyHostToDevice));
    }
    return memory;
  }

  // To nearest, ties to even; the values are finite.
  private static short[] toBfloat16(float[] values) {
    final short[] halves = new short[values.length];
    for (int i = 0; i < values.length; ++i) {
      final int bits = Float.floatToRawIntBits(values[i]);
      halves[i] = (short) (bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
    }
    return halves;
  }

  /** @throws IllegalStateException with CUDA's message */
  static void check(int error) {
    if (error != cudart.cudaSuccess) throw new IllegalStateException(cudart.cudaGetErrorString(error).getString());
  }

  private static void checkBlas(int status) {
    if (status != cublas.CUBLAS_STATUS_SUCCESS) throw new IllegalStateException(cublas.cublasGetStatusString(status).getString());
  }

  @Override
  public void close() {
    for (Pointer memory : new Pointer[] {matrix, wanted, residual, weights, gradients}) cudart.cudaFree(memory);
    cublas.cublasDestroy_v2(blas);
    cudart.cudaStreamDestroy(stream);
  }
}
