// SPDX-License-Identifier: Apache-2.0
//
// A CUDA GPU as a device. Linked with the runtime statically, so that the library loads anywhere and can say why it cannot run there.
// Every launch goes to the caller's stream; the current device is left as it was found.
#include "../cpp/cpu/memory_map.h"
#include "../cpp/sweep/backend.h"
#include "harness.cuh"
#include <algorithm>
#include <memory>
#include <string.h>
#include <string>
#include <vector>

namespace steptuner {
namespace {

struct CudaDevice {
  int index;
  int processors;
  bool reachesHostMemory;  // all of it, not only what is pinned
  Explain explain;
  std::string name;
};

struct CudaPlan {
  Tensor* tensors = nullptr;
  Chunk* chunks = nullptr;
  Segment* segments = nullptr;
  int32_t* lists = nullptr;  // chunks of float32 tensors, then of float64 tensors; only where there are both
  int64_t listed[2] = {0, 0};
  int64_t version = -1;
  double* chunkSums = nullptr;
  size_t chunkSumsSize = 0;
  double* coefficients = nullptr;
  size_t coefficientsSize = 0;
  unsigned* ticket = nullptr;
  cudaEvent_t done = nullptr;  // after the last sweep
  cudaStream_t stream = nullptr;
  bool used = false;

  ~CudaPlan() {
    if (used) cudaEventSynchronize(done);
    for (void* memory : {static_cast<void*>(tensors), static_cast<void*>(chunks), static_cast<void*>(segments),
                         static_cast<void*>(lists), static_cast<void*>(chunkSums), static_cast<void*>(coefficients),
                         static_cast<void*>(ticket)})
      cudaFree(memory);
    if (done) cudaEventDestroy(done);
  }
};

CudaDevice& cuda(void* device) { return *static_cast<CudaDevice*>(device); }

// Makes a device current for the life of a scope.
class Current {
 public:
  explicit Current(int device) {
    cudaGetDevice(&before_);
    if (before_ != device) cudaSetDevice(device);
    device_ = device;
  }
  ~Current() {
    if (before_ != device_) cudaSetDevice(before_);
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  int before_ = 0;
  int device_;
};

st_status failed(Explain explain, const char* call, cudaError_t error) {
  cudaGetLastError();  // it is reported now and must not be met again
  explain("%s: %s (%d): %s", call, cudaGetErrorName(error), static_cast<int>(error), cudaGetErrorString(error));
  return error == cudaErrorMemoryAllocation ? ST_OUT_OF_MEMORY : ST_DEVICE_ERROR;
}

#define STEPTUNER_CUDA(explain, call)                                                  \
  do {                                                                                 \
    const cudaError_t error_ = (call);                                                 \
    if (error_ != cudaSuccess) return failed(explain, #call, error_);                  \
  } while (false)

st_status open(int32_t index, int32_t, const char*, Explain explain, void** device) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) {
    cudaGetLastError();
    int driver = 0;
    cudaDriverGetVersion(&driver);
    explain("no CUDA device: cudaGetDeviceCount: %s (%d): %s; %s", cudaGetErrorName(error), static_cast<int>(error),
            cudaGetErrorString(error), driver == 0 ? "there is no NVIDIA driver on this machine" : "the driver is too old or sees no GPU");
    return ST_NO_DEVICE;
  }
  if (index < 0 || index >= count) {
    explain("no CUDA device %d: there are %d, numbered from 0", index, count);
    return ST_NO_DEVICE;
  }
  cudaDeviceProp properties;
  STEPTUNER_CUDA(explain, cudaGetDeviceProperties(&properties, index));
  int pageable = 0;
  STEPTUNER_CUDA(explain, cudaDeviceGetAttribute(&pageable, cudaDevAttrPageableMemoryAccess, index));
  auto opened = std::make_unique<CudaDevice>();
  opened->index = index;
  opened->reachesHostMemory = pageable != 0;
  opened->processors = properties.multiProcessorCount;
  opened->explain = explain;
  opened->name = "CUDA device " + std::to_string(index) + ", " + properties.name + ", compute capability " +
                 std::to_string(properties.major) + "." + std::to_string(properties.minor);
  *device = opened.release();
  return ST_OK;
}

void close(void* device) { delete &cuda(device); }

const char* name(void* device) { return cuda(device).name.c_str(); }

int32_t threads(void*) { return 0; }

st_status allocate(void* device, int64_t bytes, char** memory) {
  const Current current(cuda(device).index);
  *memory = nullptr;
  if (bytes == 0) return ST_OK;
  STEPTUNER_CUDA(cuda(device).explain, cudaMalloc(reinterpret_cast<void**>(memory), static_cast<size_t>(bytes)));
  STEPTUNER_CUDA(cuda(device).explain, cudaMemset(*memory, 0, static_cast<size_t>(bytes)));
  STEPTUNER_CUDA(cuda(device).explain, cudaDeviceSynchronize());
  return ST_OK;
}

void release(void* device, char* memory) {
  const Current current(cuda(device).index);
  cudaFree(memory);
}

st_status allocateHost(void* device, int64_t bytes, char** memory) {
  const Current current(cuda(device).index);
  *memory = nullptr;
  if (bytes == 0) return ST_OK;
  STEPTUNER_CUDA(cuda(device).explain, cudaMallocHost(reinterpret_cast<void**>(memory), static_cast<size_t>(bytes)));
  memset(*memory, 0, static_cast<size_t>(bytes));
  return ST_OK;
}

void releaseHost(void* device, char* memory) {
  const Current current(cuda(device).index);
  if (memory) cudaFreeHost(memory);
}

st_status copy(void* device, void* to, const void* from, int64_t bytes, Copy direction, void* queue) {
  const Current current(cuda(device).index);
  const cudaStream_t stream = static_cast<cudaStream_t>(queue);
  const cudaMemcpyKind kind = direction == Copy::HOST_TO_DEVICE ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost;
  STEPTUNER_CUDA(cuda(device).explain, cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, stream));
  STEPTUNER_CUDA(cuda(device).explain, cudaStreamSynchronize(stream));
  return ST_OK;
}

const char* unusable(void* device, const void* address, int64_t bytes, bool written) {
  const CudaDevice& on = cuda(device);
  const Current current(on.index);
  cudaPointerAttributes attributes;
  const cudaError_t error = cudaPointerGetAttributes(&attributes, address);
  if (error != cudaSuccess) cudaGetLastError();
  if (error != cudaSuccess || attributes.type == cudaMemoryTypeUnregistered)
    return on.reachesHostMemory && isMapped(address, bytes, written) ? nullptr : "not memory that this GPU can use";
  if (attributes.type == cudaMemoryTypeDevice && attributes.device != on.index) return "memory of another GPU";
  return attributes.devicePointer ? nullptr : "not memory that this GPU can use";
}

template <class T>
__global__ void fillKernel(T* memory, int64_t count, T value) {
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += int64_t(gridDim.x) * blockDim.x) memory[i] = value;
}

template <class T>
cudaError_t fillArray(char* memory, int64_t count, double number) {
  T* to = reinterpret_cast<T*>(memory);
  T value = static_cast<T>(number);
  void* arguments[] = {&to, &count, &value};
  const unsigned blocks = static_cast<unsigned>(std::min<int64_t>((count + 255) / 256, 4096));
  return cudaLaunchKernel(fillKernel<T>, dim3(blocks), dim3(256), arguments, 0, nullptr);
}

st_status fill(void* device, Plan& plan, int32_t slot, double value) {
  const Current current(cuda(device).index);
  for (const Tensor& t : plan.tensors) {
    if (t.count == 0) continue;
    char* const memory = plan.slots[static_cast<size_t>(slot)] + t.stateOffset;
    STEPTUNER_CUDA(cuda(device).explain, t.stateType == FLOAT64 ? fillArray<double>(memory, t.count, value)
                                                                : fillArray<float>(memory, t.count, value));
  }
  STEPTUNER_CUDA(cuda(device).explain, cudaDeviceSynchronize());
  return ST_OK;
}

// The kernels of one row of the table.
struct Launch {
  cudaError_t (*run)(Arguments& arguments, unsigned blocks, cudaStream_t stream);
  cudaError_t (*residentBlocks)(int* blocks);
};

template <class K, class T>
Launch launchOf() {
  return {[](Arguments& arguments, unsigned blocks, cudaStream_t stream) {
            void* pointers[] = {&arguments};
            return cudaLaunchKernel(sweepChunks<K, T>, dim3(blocks), dim3(THREADS), pointers, 0, stream);
          },
          [](int* blocks) { return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, sweepChunks<K, T>, THREADS, 0); }};
}

struct Launches {
  Launch float32;
  Launch float64;
};

template <class... K>
const Launches* launchesOf(List<K...>) {
  static const Launches launches[] = {{launchOf<K, float>(), launchOf<K, double>()}...};
  return launches;
}

template <class T>
cudaError_t replace(T*& memory, const std::vector<T>& content) {
  cudaError_t error = cudaFree(memory);
  memory = nullptr;
  if (error != cudaSuccess || content.empty()) return error;
  error = cudaMalloc(reinterpret_cast<void**>(&memory), content.size() * sizeof(T));
  return error != cudaSuccess ? error : cudaMemcpy(memory, content.data(), content.size() * sizeof(T), cudaMemcpyHostToDevice);
}

// Brings the tables to the device, again when tensors have moved.
st_status upload(CudaDevice& on, const Plan& plan, CudaPlan& tables) {
  if (tables.version == plan.version) return ST_OK;
  if (tables.used) STEPTUNER_CUDA(on.explain, cudaEventSynchronize(tables.done));
  STEPTUNER_CUDA(on.explain, replace(tables.tensors, plan.tensors));
  if (tables.version < 0) {
    STEPTUNER_CUDA(on.explain, replace(tables.chunks, plan.chunks));
    STEPTUNER_CUDA(on.explain, replace(tables.segments, plan.segments));
    STEPTUNER_CUDA(on.explain, replace(tables.ticket, std::vector<unsigned>(1, 0u)));
    STEPTUNER_CUDA(on.explain, cudaEventCreateWithFlags(&tables.done, cudaEventDisableTiming));
    std::vector<int32_t> lists[2];
    for (size_t c = 0; c < plan.chunks.size(); ++c)
      lists[plan.tensors[static_cast<size_t>(plan.chunks[c].tensor)].stateType == FLOAT64].push_back(static_cast<int32_t>(c));
    for (int type = 0; type < 2; ++type) tables.listed[type] = static_cast<int64_t>(lists[type].size());
    if (tables.listed[0] > 0 && tables.listed[1] > 0) {
      lists[0].insert(lists[0].end(), lists[1].begin(), lists[1].end());
      STEPTUNER_CUDA(on.explain, replace(tables.lists, lists[0]));
    }
  }
  tables.version = plan.version;
  return ST_OK;
}

cudaError_t grow(double*& memory, size_t& size, size_t wanted, CudaPlan& tables) {
  if (wanted <= size) return cudaSuccess;
  cudaError_t error = tables.used ? cudaEventSynchronize(tables.done) : cudaSuccess;
  if (error == cudaSuccess) error = cudaFree(memory);
  memory = nullptr;
  size = 0;
  if (error == cudaSuccess) error = cudaMalloc(reinterpret_cast<void**>(&memory), wanted * sizeof(double));
  if (error == cudaSuccess) size = wanted;
  return error;
}

st_status sweep(void* device, Plan& plan, Binding& binding, void* queue) {
  CudaDevice& on = cuda(device);
  const Current current(on.index);
  const cudaStream_t stream = static_cast<cudaStream_t>(queue);
  if (!plan.device) plan.device = new CudaPlan;
  CudaPlan& tables = *static_cast<CudaPlan*>(plan.device);
  const st_status uploaded = upload(on, plan, tables);
  if (uploaded != ST_OK) return uploaded;
  const size_t segments = plan.segments.size();
  const size_t coefficients = segments * static_cast<size_t>(binding.coefficients);
  const bool inlined = coefficients <= INLINE_COEFFICIENTS;
  STEPTUNER_CUDA(on.explain, grow(tables.chunkSums, tables.chunkSumsSize, plan.chunks.size() * static_cast<size_t>(binding.sums), tables));
  if (!inlined) STEPTUNER_CUDA(on.explain, grow(tables.coefficients, tables.coefficientsSize, coefficients, tables));
  if (tables.used && tables.stream != stream) STEPTUNER_CUDA(on.explain, cudaStreamWaitEvent(stream, tables.done, 0));

  Arguments arguments = {};
  arguments.tensors = tables.tensors;
  arguments.chunks = tables.chunks;
  arguments.segments = tables.segments;
  arguments.segmentCount = static_cast<int32_t>(segments);
  arguments.operands = binding.operands;
  for (int o = 0; o < binding.operands; ++o) {
    arguments.place[o] = binding.operand[o].place;
    arguments.slot[o] = binding.slot[o] < 0 ? nullptr : plan.slots[static_cast<size_t>(binding.slot[o])];
  }
  arguments.chunkSums = tables.chunkSums;
  arguments.sumRows = binding.sumRows;
  arguments.ticket = tables.ticket;
  arguments.backwards = backwards(plan);
  if (inlined) {
    std::copy_n(binding.coefficientRows, coefficients, arguments.inlineRows);
  } else {
    // From pageable memory: the call returns when the rows have been taken, and the caller may fill in the next step's.
    STEPTUNER_CUDA(on.explain, cudaMemcpyAsync(tables.coefficients, binding.coefficientRows, coefficients * sizeof(double),
                                               cudaMemcpyHostToDevice, stream));
    arguments.coefficientRows = tables.coefficients;
  }

  const bool lastBlockAdds = binding.sums > 0 && segments <= LAST_BLOCK_SEGMENTS;
  const Launches& launches = launchesOf(Kernels{})[binding.kernel];
  const bool both = tables.lists != nullptr;
  for (int type = 0; type < 2; ++type) {
    if (tables.listed[type] == 0) continue;
    const Launch& launch = type == 0 ? launches.float32 : launches.float64;
    int resident = 0;
    STEPTUNER_CUDA(on.explain, launch.residentBlocks(&resident));
    arguments.list = both ? tables.lists + (type == 0 ? 0 : tables.listed[0]) : nullptr;
    arguments.count = tables.listed[type];
    arguments.finish = lastBlockAdds && (!both || type == 1);
    const int64_t blocks = std::min<int64_t>(arguments.count, int64_t(std::max(resident, 1)) * on.processors);
    STEPTUNER_CUDA(on.explain, launch.run(arguments, static_cast<unsigned>(blocks), stream));
  }
  if (plan.chunks.empty()) {
    for (size_t i = 0; i < segments * static_cast<size_t>(binding.sums); ++i) binding.sumRows[i] = 0;
  } else if (binding.sums > 0 && !lastBlockAdds) {
    int sums = binding.sums;
    void* pointers[] = {&arguments, &sums};
    const unsigned blocks = static_cast<unsigned>(std::min<size_t>(segments, 65535));
    STEPTUNER_CUDA(on.explain, cudaLaunchKernel(addSegments, dim3(blocks), dim3(COLUMNS), pointers, 0, stream));
  }
  STEPTUNER_CUDA(on.explain, cudaEventRecord(tables.done, stream));
  tables.stream = stream;
  tables.used = true;
  return ST_OK;
}

st_status wait(void* device, Plan& plan, void*) {
  CudaPlan* const tables = static_cast<CudaPlan*>(plan.device);
  if (!tables || !tables->used) return ST_OK;
  const Current current(cuda(device).index);
  STEPTUNER_CUDA(cuda(device).explain, cudaEventSynchronize(tables->done));
  return ST_OK;
}

void forget(void* device, Plan& plan) {
  const Current current(cuda(device).index);
  delete static_cast<CudaPlan*>(plan.device);
  plan.device = nullptr;
}

}  // namespace
}  // namespace steptuner

extern "C" __attribute__((visibility("default"))) const steptuner::Backend* steptuner_backend() {
  using namespace steptuner;
  static const Backend backend = {BACKEND_VERSION, open,        close, name,     threads, allocate, release, allocateHost,
                                  releaseHost,     copy,        unusable, fill,  sweep,   wait,     forget};
  return &backend;
}
