// SPDX-License-Identifier: Apache-2.0
//
// Memory: shared memory and its poison, atomics, loads and stores, small arithmetic.
#include "check.h"

#include <math.h>

#include <thread>
#include <vector>

namespace {

template <class T, int N>
__device__ T sumOfBlock(T value) {
  __shared__ T values[N];
  __shared__ T total;
  values[threadIdx.x] = value;
  __syncthreads();
  if (threadIdx.x == 0) {
    total = 0;
    for (int i = 0; i < N; ++i) total += values[i];
  }
  __syncthreads();
  return total;
}

// Two uses of one function's variables, and another instance of the template beside it.
template <int N>
__global__ void sums(double* out) {
  const double first = sumOfBlock<double, N>(threadIdx.x);
  __syncthreads();
  const double second = sumOfBlock<double, N>(1.0);
  const int third = sumOfBlock<int, N>(blockIdx.x);
  if (threadIdx.x == 0) out[blockIdx.x] = first + 1000 * second + 1000000.0 * third;
}

void sharedVariablesBelongToTheBlock() {
  constexpr int N = 64;
  constexpr int BLOCKS = 5;
  Buffer<double> out(BLOCKS);
  CHECK_EQUAL(launch(sums<N>, {BLOCKS, N}, out.get()), cudaSuccess);
  for (int block = 0; block < BLOCKS; ++block) CHECK_EQUAL(out[block], N * (N - 1) / 2 + 1000.0 * N + 1000000.0 * N * block);
}

__global__ void reverse(const int* in, int* out) {
  DYNAMIC_SHARED(int, values);
  const int i = threadIdx.x;
  const int n = blockDim.x;
  values[i] = in[blockIdx.x * n + i];
  __syncthreads();
  out[blockIdx.x * n + i] = values[n - 1 - i];
}

void dynamicSharedMemory() {
  constexpr int N = 50;
  constexpr int BLOCKS = 4;
  std::vector<int> values(N * BLOCKS);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int>(i);
  Buffer<int> in(values.size());
  Buffer<int> out(values.size());
  CHECK_EQUAL(cudaMemcpy(in.get(), values.data(), values.size() * sizeof(int), cudaMemcpyHostToDevice), cudaSuccess);
  CHECK_EQUAL(launch(reverse, {BLOCKS, N, N * sizeof(int)}, in.get(), out.get()), cudaSuccess);
  for (int i = 0; i < N * BLOCKS; ++i) CHECK_EQUAL(out[i], i / N * N + N - 1 - i % N);
}

#if defined(__CUDA_EMULATION__)
// Each block leaves something behind in its shared memory, and none must find it. A thread looks at the words that it alone writes.
__global__ void findLeftovers(unsigned* poisoned) {
  __shared__ unsigned values[33];
  DYNAMIC_SHARED(unsigned, more);
  const unsigned i = threadIdx.x;
  const bool clean = values[i] == 0xCBCBCBCBu && more[i] == 0xCBCBCBCBu;
  values[i] = more[i] = i;
  if (clean) atomicAdd(poisoned, 1);
}

void uninitialisedMemoryIsPoisoned() {
  Buffer<unsigned> poisoned(1);
  CHECK_EQUAL(launch(findLeftovers, {6, 33, 33 * sizeof(unsigned)}, poisoned.get()), cudaSuccess);
  CHECK_EQUAL(poisoned[0], 6u * 33u);

  unsigned* memory;
  CHECK_EQUAL(cudaMalloc(&memory, 8), cudaSuccess);
  CHECK_EQUAL(memory[1], 0xCBCBCBCBu);
  cudaFree(memory);
  CHECK_EQUAL(cudaMallocHost(&memory, 8), cudaSuccess);
  CHECK_EQUAL(memory[1], 0xCBCBCBCBu);
  cudaFreeHost(memory);
}
#endif

struct Counters {
  unsigned added;
  int signedSum;
  unsigned long long wide;
  unsigned wrapped;
  unsigned largest;
  int largestSigned;
  unsigned claimed;
  unsigned exchanged;
};

__global__ void count(Counters* c) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(&c->added, 2);
  atomicAdd(&c->signedSum, -static_cast<int>(i));
  atomicAdd(&c->wide, 1ull << 40);
  atomicInc(&c->wrapped, 9);
  atomicMax(&c->largest, i);
  atomicMax(&c->largestSigned, -static_cast<int>(i) - 5);
  atomicCAS(&c->claimed, 0, i + 1);
  atomicExch(&c->exchanged, i + 1);
}

void atomicsLoseNothing() {
  constexpr unsigned BLOCKS = 4;
  constexpr unsigned THREADS = 40;
  constexpr unsigned N = BLOCKS * THREADS;
  Buffer<Counters> counters(1);
  Counters start{};
  start.largestSigned = -1000;
  CHECK_EQUAL(cudaMemcpy(counters.get(), &start, sizeof(start), cudaMemcpyHostToDevice), cudaSuccess);
  CHECK_EQUAL(launch(count, {BLOCKS, THREADS}, counters.get()), cudaSuccess);
  const Counters c = counters[0];
  CHECK_EQUAL(c.added, 2 * N);
  CHECK_EQUAL(c.signedSum, -static_cast<int>(N * (N - 1) / 2));
  CHECK_EQUAL(c.wide, static_cast<unsigned long long>(N) << 40);
  CHECK_EQUAL(c.wrapped, N % 10);
  CHECK_EQUAL(c.largest, N - 1);
  CHECK_EQUAL(c.largestSigned, -5);
  CHECK(c.claimed >= 1 && c.claimed <= N);
  CHECK(c.exchanged >= 1 && c.exchanged <= N);
}

// Every block reduces its part; the one that comes last adds the parts up in order.
__global__ void sumAndFinish(const float* in, int n, double* parts, unsigned* ticket, double* out) {
  __shared__ double values[32];
  __shared__ bool last;
  double sum = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) sum += in[i];
  values[threadIdx.x] = sum;
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) values[threadIdx.x] += values[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    parts[blockIdx.x] = values[0];
    __threadfence();
    last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    double total = 0;
    for (unsigned i = 0; i < gridDim.x; ++i) total += __ldcg(parts + i);
    *out = total;
  }
}

void lastBlockSeesTheOthers() {
  constexpr int N = 10000;
  constexpr unsigned BLOCKS = 8;
  std::vector<float> values(N);
  double expected = 0;
  for (int i = 0; i < N; ++i) expected += values[i] = static_cast<float>(i % 17);
  Buffer<float> in(N);
  Buffer<double> parts(BLOCKS);
  Buffer<double> out(1);
  Buffer<unsigned> ticket(1);
  CHECK_EQUAL(cudaMemcpy(in.get(), values.data(), N * sizeof(float), cudaMemcpyHostToDevice), cudaSuccess);
  for (int repetition = 0; repetition < 3; ++repetition) {
    CHECK_EQUAL(launch(sumAndFinish, {BLOCKS, 32}, in.get(), N, parts.get(), ticket.get(), out.get()), cudaSuccess);
    CHECK_EQUAL(out[0], expected);
    CHECK_EQUAL(ticket[0], 0u);
  }
}

struct Small {
  float minimum, maximum, nan, root, quotient;
  int integer;
  unsigned bits;
  long long wideBits;
};

__global__ void vectorsAndNumbers(const float4* in, float4* out, double2* pair, Small* small) {
  const float4 v = __ldg(in);
  __stcs(out, make_float4(v.w, v.z, v.y, v.x));
  __stcg(pair, make_double2(v.x, v.y));
  small->minimum = min(v.x, v.y);
  small->maximum = max(v.x, v.y);
  small->nan = max(__uint_as_float(0x7fc00000u), v.w);
  small->root = __fsqrt_rn(v.w);
  small->quotient = __fdiv_rn(v.x, 3.0f);
  small->integer = min(3, max(-1, -2));
  small->bits = __float_as_uint(v.x);
  small->wideBits = __double_as_longlong(__dadd_rn(__dmul_rn(3.0, 0.5), __longlong_as_double(0)));
}

void vectorsAndNumbersAreRight() {
  Buffer<float4> in(1);
  Buffer<float4> out(1);
  Buffer<double2> pair(1);
  Buffer<Small> small(1);
  const float4 v = make_float4(1, 2, 3, 4);
  CHECK_EQUAL(cudaMemcpy(in.get(), &v, sizeof(v), cudaMemcpyHostToDevice), cudaSuccess);
  CHECK_EQUAL(launch(vectorsAndNumbers, {1, 1}, in.get(), out.get(), pair.get(), small.get()), cudaSuccess);
  const float4 reversed = out[0];
  CHECK(reversed.x == 4 && reversed.y == 3 && reversed.z == 2 && reversed.w == 1);
  CHECK_EQUAL(pair[0].y, 2.0);
  const Small s = small[0];
  CHECK_EQUAL(s.minimum, 1.0f);
  CHECK_EQUAL(s.maximum, 2.0f);
  CHECK_EQUAL(s.nan, 4.0f);
  CHECK_EQUAL(s.root, 2.0f);
  CHECK_EQUAL(s.quotient, 1.0f / 3.0f);
  CHECK_EQUAL(s.integer, -1);
  CHECK_EQUAL(s.bits, 0x3f800000u);
  CHECK_EQUAL(s.wideBits, 0x3ff8000000000000ll);
}

// Several of the host's threads, each with a stream.
void hostThreadsShareTheDevice() {
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([] {
      cudaStream_t stream;
      double* out;
      double result[3];
      cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
      cudaMalloc(&out, sizeof(result));
      for (int i = 0; i < 4; ++i) {
        launch(sums<32>, {3, 32, 0, stream}, out);
        cudaMemcpyAsync(result, out, sizeof(result), cudaMemcpyDeviceToHost, stream);
        cudaStreamSynchronize(stream);
        for (int block = 0; block < 3; ++block) {
          if (result[block] != 496 + 32000.0 + 32000000.0 * block) __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
        }
      }
      cudaFree(out);
      cudaStreamDestroy(stream);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

int main() {
  sharedVariablesBelongToTheBlock();
  dynamicSharedMemory();
#if defined(__CUDA_EMULATION__)
  uninitialisedMemoryIsPoisoned();
#endif
  atomicsLoseNothing();
  lastBlockSeesTheOthers();
  vectorsAndNumbersAreRight();
  hostThreadsShareTheDevice();
  return failures != 0;
}
