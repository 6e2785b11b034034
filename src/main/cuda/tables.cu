// SPDX-License-Identifier: Apache-2.0
//
// The plan's tables on the device. They are made once. When tensors move, their entries travel there as arguments of launches, and so do
// coefficients that a sweep has no room for: nothing is allocated or waited for, and what they are taken from may change at once.
#include "plan.cuh"
#include <algorithm>
#include <string.h>

namespace steptuner {
namespace {

constexpr int MOVED = (4096 - 16) / (int(sizeof(Tensor)) + 4);

// Entries of the table of tensors, as many as every GPU takes with a launch.
struct Moved {
  Tensor* table;
  int32_t count;
  int32_t number[MOVED];
  Tensor tensor[MOVED];
};
static_assert(sizeof(Moved) <= 4096, "more than every GPU takes with a launch");

__global__ void __launch_bounds__(MOVED) moveTensors(const __grid_constant__ Moved moved) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < moved.count) moved.table[moved.number[i]] = moved.tensor[i];
}

cudaError_t send(Moved& moved, cudaStream_t stream) {
  if (moved.count == 0) return cudaSuccess;
  void* arguments[] = {&moved};
  const cudaError_t error = cudaLaunchKernel(moveTensors, dim3(1), dim3(MOVED), arguments, 0, stream);
  moved.count = 0;
  return error;
}

cudaError_t sendMoved(const Plan& plan, CudaPlan& tables, cudaStream_t stream) {
  Moved moved = {};
  moved.table = tables.tensors;
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    if (memcmp(&plan.tensors[t], &tables.sent[t], sizeof(Tensor)) == 0) continue;
    moved.number[moved.count] = static_cast<int32_t>(t);
    moved.tensor[moved.count++] = tables.sent[t] = plan.tensors[t];
    if (moved.count < MOVED) continue;
    const cudaError_t error = send(moved, stream);
    if (error != cudaSuccess) return error;
  }
  return send(moved, stream);
}

template <class T>
cudaError_t make(T*& memory, const std::vector<T>& content, cudaStream_t stream) {
  if (content.empty()) return cudaSuccess;
  const size_t bytes = content.size() * sizeof(T);
  const cudaError_t error = cudaMalloc(reinterpret_cast<void**>(&memory), bytes);
  return error != cudaSuccess ? error : cudaMemcpyAsync(memory, content.data(), bytes, cudaMemcpyHostToDevice, stream);
}

st_status makeAll(const CudaDevice& on, const Plan& plan, CudaPlan& tables) {
  const Relaxed relaxed;
  tables.freeTables();  // what an attempt that failed has left
  const std::vector<unsigned> ticket(1, 0u);
  tables.sent = plan.tensors;
  std::vector<int32_t> lists[2];
  for (size_t c = 0; c < plan.chunks.size(); ++c)
    lists[plan.tensors[static_cast<size_t>(plan.chunks[c].tensor)].stateType == FLOAT64].push_back(static_cast<int32_t>(c));
  for (int type = 0; type < 2; ++type) tables.listed[type] = static_cast<int64_t>(lists[type].size());
  for (const Tensor& tensor : plan.tensors) {
    if (tensor.stateType == FLOAT64) continue;
    if (tensor.parameterType != FLOAT32) tables.narrowParameters = true;
    if (tensor.gradientType != FLOAT32) tables.otherGradients = true;
  }
  if (tables.listed[0] > 0 && tables.listed[1] > 0) {
    lists[0].insert(lists[0].end(), lists[1].begin(), lists[1].end());
  }
  const bool both = tables.listed[0] > 0 && tables.listed[1] > 0;
  cudaError_t error = make(tables.tensors, plan.tensors, on.own);
  if (error == cudaSuccess) error = make(tables.chunks, plan.chunks, on.own);
  if (error == cudaSuccess) error = make(tables.segments, plan.segments, on.own);
  if (error == cudaSuccess) error = make(tables.ticket, ticket, on.own);
  if (error == cudaSuccess && both) error = make(tables.lists, lists[0], on.own);
  // The copies read memory that goes with this call, whether or not all of them could be made.
  const cudaError_t landed = cudaStreamSynchronize(on.own);
  if (error == cudaSuccess) error = landed;
  tables.made = error == cudaSuccess;
  return tables.made ? ST_OK : failed(on.explain, "the plan's tables", error);
}

cudaError_t grow(Scratch& scratch, size_t size, CudaPlan& tables) {
  const Relaxed relaxed;
  tables.outgrown.reserve(tables.outgrown.size() + 1);
  double* memory = nullptr;
  const cudaError_t error = cudaMalloc(reinterpret_cast<void**>(&memory), size * sizeof(double));
  if (error != cudaSuccess) return error;
  if (scratch.memory) tables.outgrown.push_back(scratch.memory);
  scratch = {memory, size};
  return cudaSuccess;
}

// Coefficients on their way. All GPUs of this library take 32,764 bytes with a launch; all of an argument travels, whatever is in it.
template <int N>
struct Rows {
  double* to;
  int32_t count;
  double row[N];
};
constexpr int FEW = 510, MANY = 4093;
static_assert(sizeof(Rows<FEW>) <= 4096 && sizeof(Rows<MANY>) <= 32764, "more than a launch takes");
constexpr unsigned ROW_THREADS = 128;

template <int N>
__global__ void __launch_bounds__(ROW_THREADS) writeRows(const __grid_constant__ Rows<N> rows) {
  const int i = static_cast<int>(blockIdx.x * ROW_THREADS + threadIdx.x);
  if (i < rows.count) rows.to[i] = rows.row[i];
}

template <int N>
cudaError_t sendSome(const double* from, double* to, size_t count, cudaStream_t stream) {
  Rows<N> rows;
  rows.to = to;
  rows.count = static_cast<int32_t>(count);
  std::copy_n(from, count, rows.row);
  void* arguments[] = {&rows};
  const unsigned blocks = (static_cast<unsigned>(count) + ROW_THREADS - 1) / ROW_THREADS;
  return cudaLaunchKernel(writeRows<N>, dim3(blocks), dim3(ROW_THREADS), arguments, 0, stream);
}

}  // namespace

st_status upload(const CudaDevice& on, const Plan& plan, CudaPlan& tables, const Work& work) {
  if (tables.version == plan.version) return ST_OK;
  if (work.capture) return refuseCaptured(on.explain, tables.made ? "tensors have moved since the last sweep" : Order::NOT_READY);
  if (!tables.made) {
    const st_status status = makeAll(on, plan, tables);
    if (status != ST_OK) return status;
  } else {
    const cudaError_t error = sendMoved(plan, tables, work.stream);
    if (error != cudaSuccess) {
      for (Tensor& tensor : tables.sent) tensor.count = -1;  // what of it has been sent is not known: the next call sends all
      return failed(on.explain, "moving tensors", error);
    }
  }
  tables.version = plan.version;
  return ST_OK;
}

st_status reserve(const CudaDevice& on, const Plan& plan, CudaPlan& tables, const Work& work, const Binding& binding) {
  const auto sumsOf = [&](const Binding& b) { return plan.chunks.size() * static_cast<size_t>(b.sums); };
  if (sumsOf(binding) <= tables.chunkSums.size && coefficientsInMemory(plan, binding) <= tables.coefficients.size) return ST_OK;
  if (work.capture) return refuseCaptured(on.explain, Order::NOT_READY);
  size_t sums = tables.chunkSums.size, coefficients = tables.coefficients.size;
  for (const auto& bound : plan.bindings) {
    if (!bound) continue;
    sums = std::max(sums, sumsOf(*bound));
    coefficients = std::max(coefficients, coefficientsInMemory(plan, *bound));
  }
  if (sums > tables.chunkSums.size) STEPTUNER_CUDA(on.explain, grow(tables.chunkSums, sums, tables));
  if (coefficients > tables.coefficients.size) STEPTUNER_CUDA(on.explain, grow(tables.coefficients, coefficients, tables));
  return ST_OK;
}

cudaError_t sendRows(const double* rows, size_t count, CudaPlan& tables, cudaStream_t stream) {
  for (size_t begin = 0; begin < count;) {
    const size_t some = std::min<size_t>(count - begin, MANY);
    double* const to = tables.coefficients.memory + begin;
    const cudaError_t error = some <= FEW ? sendSome<FEW>(rows + begin, to, some, stream) : sendSome<MANY>(rows + begin, to, some, stream);
    if (error != cudaSuccess) return error;
    begin += some;
  }
  return cudaSuccess;
}

}  // namespace steptuner
