// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.cuda.cublas.cublasContext;
import org.bytedeco.cuda.cudart.CUgraphExec_st;
import org.bytedeco.cuda.cudart.CUgraph_st;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.global.cublas;
import org.bytedeco.cuda.global.cudart;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.steptuner.DataType;
import org.steptuner.Device;

/** A GPU through bytedeco's CUDA presets: device memory, one stream, matrix products by cuBLAS. */
final class GpuCompute implements Compute {
  private static final long WORKSPACE = 32 << 20; // what cuBLAS advises for the largest GPUs

  private final Device device;
  private final CUstream_st stream = new CUstream_st();
  private final cublasContext blas = new cublasContext();
  private final List<Pointer> memories = new ArrayList<>();

  /** @throws LinkageError if the presets are not on the class path, or a library that they need cannot be loaded */
  GpuCompute(Device device) {
    this.device = device;
    // Not ordered with the legacy stream, as streams of trainers are. The legacy stream cannot be captured.
    cuda("cudaStreamCreateWithFlags", cudart.cudaStreamCreateWithFlags(stream, cudart.cudaStreamNonBlocking));
    try {
      blas("cublasCreate", cublas.cublasCreate_v2(blas));
      // The stream first: setting it takes the workspace away. With a workspace of its own, cuBLAS allocates nothing while a stream is
      // captured. Factors stay in host memory, the default: cuBLAS reads them when it is called, and a graph holds their values.
      blas("cublasSetStream", cublas.cublasSetStream_v2(blas, stream));
      blas("cublasSetWorkspace", cublas.cublasSetWorkspace_v2(blas, allocate(WORKSPACE), WORKSPACE));
    } catch (RuntimeException | Error e) {
      close();
      throw e;
    }
  }

  @Override
  public Device device() {
    return device;
  }

  @Override
  public long stream() {
    return stream.address();
  }

  @Override
  public BytePointer allocate(long bytes) {
    final BytePointer memory = new BytePointer();
    cuda("cudaMalloc", cudart.cudaMalloc(memory, bytes));
    memories.add(memory);
    return memory;
  }

  @Override
  public void write(BytePointer to, ByteBuffer from) {
    // On the stream: cudaMemcpy may return while the bytes are on their way, and is in the order of another stream.
    transfer(to, new BytePointer(from), from.capacity(), cudart.cudaMemcpyHostToDevice);
    await();
    Reference.reachabilityFence(from);
  }

  @Override
  public ByteBuffer read(BytePointer from, int bytes) {
    final ByteBuffer buffer = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    transfer(new BytePointer(buffer), from, bytes, cudart.cudaMemcpyDeviceToHost);
    await();
    return buffer;
  }

  @Override
  public void copy(BytePointer to, BytePointer from, long bytes) {
    transfer(to, from, bytes, cudart.cudaMemcpyDeviceToDevice);
  }

  private void transfer(BytePointer to, BytePointer from, long bytes, int kind) {
    cuda("cudaMemcpyAsync", cudart.cudaMemcpyAsync(to, from, bytes, kind, stream));
  }

  @Override
  public void multiply(float factor, Matrix a, boolean transposed, Matrix x, float keep, Matrix y) {
    try (FloatPointer alpha = new FloatPointer(factor); FloatPointer beta = new FloatPointer(keep)) {
      blas(
          "cublasGemmEx",
          cublas.cublasGemmEx(
              blas, transposed ? cublas.CUBLAS_OP_T : cublas.CUBLAS_OP_N, cublas.CUBLAS_OP_N, y.rows(), 1, x.rows(), alpha, a.memory(),
              type(a), a.rows(), x.memory(), type(x), x.rows(), beta, y.memory(), type(y), y.rows(), cublas.CUBLAS_COMPUTE_32F,
              cublas.CUBLAS_GEMM_DEFAULT));
    }
  }

  private static int type(Matrix matrix) {
    return matrix.type() == DataType.FLOAT32 ? cudart.CUDA_R_32F : cudart.CUDA_R_16BF;
  }

  @Override
  public void await() {
    cuda("cudaStreamSynchronize", cudart.cudaStreamSynchronize(stream));
  }

  @Override
  public Graph capture(Runnable work) {
    final CUgraph_st graph = new CUgraph_st();
    // What other threads do meanwhile is not refused.
    captured("cudaStreamBeginCapture", cudart.cudaStreamBeginCapture(stream, cudart.cudaStreamCaptureModeThreadLocal));
    try {
      work.run();
    } catch (RuntimeException | Error e) {
      cudart.cudaStreamEndCapture(stream, graph); // the stream must not stay in capture
      if (!graph.isNull()) cudart.cudaGraphDestroy(graph);
      throw e;
    }
    captured("cudaStreamEndCapture", cudart.cudaStreamEndCapture(stream, graph));
    final CUgraphExec_st executable = new CUgraphExec_st();
    try {
      captured("cudaGraphInstantiate", cudart.cudaGraphInstantiate(executable, graph, 0));
    } finally {
      cudart.cudaGraphDestroy(graph); // the executable has what it needs
    }
    return new Graph() {
      @Override
      public void launch() {
        cuda("cudaGraphLaunch", cudart.cudaGraphLaunch(executable, stream));
      }

      @Override
      public void close() {
        cudart.cudaGraphExecDestroy(executable);
      }
    };
  }

  private static void captured(String call, int error) {
    if (error == cudart.cudaErrorNotSupported || error == cudart.cudaErrorStreamCaptureUnsupported
        || error == cudart.cudaErrorCallRequiresNewerDriver || error == cudart.cudaErrorInsufficientDriver) {
      cudart.cudaGetLastError(); // so that no later call reports it
      throw new UnsupportedOperationException("this driver cannot capture: " + message(call, error));
    }
    cuda(call, error);
  }

  @Override
  public void close() {
    cudart.cudaStreamSynchronize(stream);
    if (!blas.isNull()) cublas.cublasDestroy_v2(blas);
    memories.forEach(cudart::cudaFree);
    cudart.cudaStreamDestroy(stream);
  }

  private static void cuda(String call, int error) {
    if (error != cudart.cudaSuccess) throw new IllegalStateException(message(call, error));
  }

  private static String message(String call, int error) {
    return call + ": " + cudart.cudaGetErrorString(error).getString();
  }

  private static void blas(String call, int status) {
    if (status != cublas.CUBLAS_STATUS_SUCCESS)
      throw new IllegalStateException(call + ": " + cublas.cublasGetStatusString(status).getString());
  }
}
