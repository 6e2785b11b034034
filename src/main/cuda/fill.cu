// SPDX-License-Identifier: Apache-2.0
//
// Setting a slot to a number, and gradients to zero, as one piece of work on the caller's stream however many tensors it is for.
#include "device.cuh"
#include "plan.cuh"
#include <algorithm>

namespace steptuner {
namespace {

constexpr unsigned FILL_THREADS = 256;
constexpr int64_t MOST_BLOCKS = 4096;

template <class T>
__global__ void fillKernel(T* memory, int64_t count, T value) {
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += int64_t(gridDim.x) * blockDim.x) memory[i] = value;
}

template <class T>
cudaError_t fillArray(char* memory, int64_t bytes, T value, cudaStream_t stream) {
  T* to = reinterpret_cast<T*>(memory);
  int64_t count = bytes / int64_t(sizeof(T));
  void* arguments[] = {&to, &count, &value};
  const int64_t blocks = std::min((count + FILL_THREADS - 1) / FILL_THREADS, MOST_BLOCKS);
  return cudaLaunchKernel(fillKernel<T>, dim3(static_cast<unsigned>(blocks)), dim3(FILL_THREADS), arguments, 0, stream);
}

// A block takes a chunk's gradients at a time, in units of 16 bytes from the first multiple of 16 on. Elements have 2, 4 or 8 bytes, and
// lie at multiples of that.
__global__ void __launch_bounds__(FILL_THREADS) zeroKernel(const Tensor* tensors, const Chunk* chunks, int64_t count) {
  for (int64_t c = blockIdx.x; c < count; c += gridDim.x) {
    const Chunk chunk = chunks[c];
    const Tensor& tensor = tensors[chunk.tensor];
    if (!tensor.gradient) continue;
    char* const begin = tensor.gradient + chunk.begin * bytesOf(tensor.gradientType);
    const int bytes = chunk.count * bytesOf(tensor.gradientType);
    const int toAligned = static_cast<int>(-reinterpret_cast<uintptr_t>(begin) & 15);
    const int head = toAligned < bytes ? toAligned : bytes;
    const int units = (bytes - head) / 16;
    const int thread = static_cast<int>(threadIdx.x);
    for (int i = thread; i < units; i += FILL_THREADS) reinterpret_cast<uint4*>(begin + head)[i] = make_uint4(0, 0, 0, 0);
    const int tail = bytes - head - 16 * units;
    if (2 * thread < head) reinterpret_cast<uint16_t*>(begin)[thread] = 0;
    if (2 * thread < tail) reinterpret_cast<uint16_t*>(begin + head + 16 * units)[thread] = 0;
  }
}

// The tensors of a slot follow each other, those in float64 before the others, with gaps that nobody reads: a run of tensors of one type is
// filled gaps and all.
st_status fillSlot(Explain explain, const Plan& plan, int32_t number, double value, cudaStream_t stream) {
  const Slot& slot = plan.slots[static_cast<size_t>(number)];
  int64_t begin = 0, end = 0;
  int32_t type = FLOAT64;
  const auto fillRun = [&]() -> st_status {
    if (begin == end) return ST_OK;
    char* const memory = slot.memory + begin;
    const float single = static_cast<float>(value);
    STEPTUNER_CUDA(explain, type == FLOAT64   ? fillArray(memory, end - begin, value, stream)
                            : type == FLOAT32 ? fillArray(memory, end - begin, single, stream)
                                              : fillArray(memory, end - begin, toBfloat16(single), stream));
    begin = end;
    return ST_OK;
  };
  for (const bool wide : {true, false})
    for (const Tensor& tensor : plan.tensors) {
      if ((tensor.stateType == FLOAT64) != wide || storedBytes(tensor, slot.storage) == 0) continue;
      end = tensor.stateOffset[slot.storage];
      if (storedType(tensor, slot.storage) == type) continue;
      const st_status status = fillRun();
      if (status != ST_OK) return status;
      type = storedType(tensor, slot.storage);
    }
  end = plan.stateBytes[slot.storage];
  return fillRun();
}

st_status zeroAll(const CudaDevice& on, const Plan& plan, CudaPlan& tables, const Work& work) {
  const st_status uploaded = upload(on, plan, tables, work);
  if (uploaded != ST_OK || plan.chunks.empty()) return uploaded;
  int64_t count = static_cast<int64_t>(plan.chunks.size());
  void* arguments[] = {&tables.tensors, &tables.chunks, &count};
  const unsigned blocks = static_cast<unsigned>(std::min(count, MOST_BLOCKS));
  STEPTUNER_CUDA(on.explain, cudaLaunchKernel(zeroKernel, dim3(blocks), dim3(FILL_THREADS), arguments, 0, work.stream));
  return ST_OK;
}

}  // namespace

st_status fill(void* device, Plan& plan, int32_t slot, double value, void* queue) {
  const Current current(cuda(device).index);
  const cudaStream_t stream = static_cast<cudaStream_t>(queue);
  Order& order = tablesOf(plan).order;
  Work work;
  const st_status begun = order.begin(cuda(device).explain, stream, work);
  return begun == ST_OK ? order.end(cuda(device).explain, work, fillSlot(cuda(device).explain, plan, slot, value, stream)) : begun;
}

st_status zeroGradients(void* device, Plan& plan, void* queue) {
  CudaDevice& on = cuda(device);
  const Current current(on.index);
  CudaPlan& tables = tablesOf(plan);
  Work work;
  const st_status begun = tables.order.begin(on.explain, static_cast<cudaStream_t>(queue), work);
  return begun == ST_OK ? tables.order.end(on.explain, work, zeroAll(on, plan, tables, work)) : begun;
}

}  // namespace steptuner
