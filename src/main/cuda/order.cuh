// SPDX-License-Identifier: Apache-2.0
//
// The order of a plan's work, and how its end is found out.
//
// On one stream, work is in order. The end of it matters to work on another stream, to the host, and to whoever frees what it uses. By then
// its stream may exist no more, since it is the trainer's: a stream is touched only during a call that names it. So work ends with an event,
// but for a sweep whose sums the host reads. That one writes a number behind its sums, and the host, which polls it, needs no event: only if
// it has polled for long is one recorded, by a call that names the stream.
//
// While a stream is being captured, nothing runs. Events of outside must not be waited for there, nor those of the capture outside, so a
// capture has an event of its own. Whoever launches the graph orders it with the plan's other work.
#pragma once
#include "device.cuh"
#include <chrono>
#include <cuda_runtime.h>
#include <stdint.h>

namespace steptuner {

// A piece of work, from Order::begin to Order::end.
struct Work {
  cudaStream_t stream = nullptr;
  unsigned long long streamId = 0;  // outside of a capture: a handle may be that of a stream which was destroyed
  unsigned long long capture = 0;   // the capture that the stream takes part in; 0: none
  uint64_t number = 0;              // what its last launch tells the host; 0: nothing
};

class Order {
 public:
  Order() = default;
  ~Order() {
    if (done_) cudaEventDestroy(done_);
    if (inCapture_) cudaEventDestroy(inCapture_);
    if (told_) cudaFreeHost(told_);
  }
  Order(const Order&) = delete;
  Order& operator=(const Order&) = delete;

  // What is launched on `stream` from now on comes after the plan's work so far. What end() needs is made here: a call that fails for want
  // of it has launched nothing, and can be made again.
  st_status begin(Explain explain, cudaStream_t stream, Work& work) {
    work.stream = stream;
    STEPTUNER_CUDA(explain, captureOf(stream, work.capture));
    if (!told_ && work.capture) return refuseCaptured(explain, NOT_READY);
    if (!told_) STEPTUNER_CUDA(explain, make());
    if (work.capture) {
      const bool elsewhere = work.capture == capture_ && stream != captureStream_;
      if (elsewhere) STEPTUNER_CUDA(explain, cudaStreamWaitEvent(stream, inCapture_, 0));
      return ST_OK;
    }
    STEPTUNER_CUDA(explain, cudaStreamGetId(stream, &work.streamId));  // which is refused during a capture
    if (end_ == End::KNOWN || work.streamId == streamId_) return ST_OK;
    if (end_ == End::RECORDED) {
      STEPTUNER_CUDA(explain, cudaStreamWaitEvent(stream, done_, 0));
      return ST_OK;
    }
    const cudaError_t error = finish();  // nobody has waited for the sums, and their stream may be gone
    return error == cudaSuccess ? ST_OK : failed(explain, "waiting for work on another stream", error);
  }

  // All of the work that could be launched has been: also after a launch that failed, since those before it run.
  st_status end(Explain explain, const Work& work, st_status launched) {
    cudaError_t error = cudaSuccess;
    if (work.capture) {
      error = cudaEventRecord(inCapture_, work.stream);
      capture_ = work.capture;
      captureStream_ = work.stream;
    } else {
      streamId_ = work.streamId;
      number_ = launched == ST_OK ? work.number : 0;
      if (number_ == 0) error = cudaEventRecord(done_, work.stream);
      end_ = number_ != 0 ? End::TOLD : error == cudaSuccess ? End::RECORDED : End::UNKNOWN;
    }
    return launched != ST_OK || error == cudaSuccess ? launched : failed(explain, "cudaEventRecord", error);
  }

  // Whether the host knows already that the plan's work so far is done.
  bool known() {
    if (end_ == End::TOLD && isTold()) end_ = End::KNOWN;
    return end_ == End::KNOWN;
  }

  // Waits for the plan's work so far. `named`: a stream that the present call names, if it names one.
  cudaError_t finish(const cudaStream_t* named = nullptr) {
    if (known() || pollFor(UNRECORDED)) return cudaSuccess;
    const Relaxed relaxed;
    const Time begin = Clock::now();
    cudaError_t error = end_ != End::RECORDED && named ? recordLate(*named) : cudaSuccess;
    while (error == cudaSuccess && number_ != 0 && Clock::now() - begin < POLLED) {
      if (pollFor(BETWEEN_QUERIES)) return cudaSuccess;
      if (end_ == End::RECORDED) error = cudaEventQuery(done_);  // if the device has failed, it says so
      if (error == cudaErrorNotReady) {
        cudaGetLastError();
        error = cudaSuccess;
      }
    }
    if (error == cudaSuccess) error = end_ == End::RECORDED ? cudaEventSynchronize(done_) : cudaDeviceSynchronize();
    if (error == cudaSuccess) end_ = End::KNOWN;
    return error;
  }

  // For a launch that tells the host when it is done: the number to write, and where.
  uint64_t nextNumber() { return ++numbers_; }
  uint64_t* told() const { return told_; }

  static constexpr const char* NOT_READY = "what sweeps need is not on the device yet. Run the same sweeps once before the capture";

 private:
  enum class End {
    KNOWN,     // done
    TOLD,      // the last launch writes number_
    RECORDED,  // done_ was recorded behind it
    UNKNOWN    // no event could be recorded
  };
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;
  static constexpr std::chrono::microseconds UNRECORDED{50}, POLLED{200}, BETWEEN_QUERIES{20};

  cudaError_t make() {
    const Relaxed relaxed;
    cudaError_t error = done_ ? cudaSuccess : cudaEventCreateWithFlags(&done_, cudaEventDisableTiming);
    if (error == cudaSuccess && !inCapture_) error = cudaEventCreateWithFlags(&inCapture_, cudaEventDisableTiming);
    if (error == cudaSuccess) error = cudaMallocHost(reinterpret_cast<void**>(&told_), sizeof *told_);
    if (error == cudaSuccess) *told_ = 0;
    return error;
  }

  // Behind the plan's work, and whatever its stream has been given since.
  cudaError_t recordLate(cudaStream_t stream) {
    unsigned long long id = 0, capture = 0;
    cudaError_t error = captureOf(stream, capture);
    if (error == cudaSuccess && capture != 0) error = cudaErrorStreamCaptureUnsupported;
    if (error == cudaSuccess) error = cudaStreamGetId(stream, &id);
    if (error != cudaSuccess || id != streamId_) return error;
    error = cudaEventRecord(done_, stream);
    if (error == cudaSuccess) end_ = End::RECORDED;
    return error;
  }

  bool isTold() const { return __atomic_load_n(told_, __ATOMIC_ACQUIRE) == number_; }

  bool pollFor(std::chrono::microseconds time) {
    if (end_ == End::KNOWN) return true;
    if (number_ == 0) return false;
    const Time begin = Clock::now();
    do {
      for (int i = 0; i < 64; ++i)
        if (isTold()) {
          end_ = End::KNOWN;
          return true;
        }
    } while (Clock::now() - begin < time);
    return false;
  }

  End end_ = End::KNOWN;
  unsigned long long streamId_ = 0;
  cudaEvent_t done_ = nullptr;
  uint64_t number_ = 0;       // what the last work tells; 0: nothing
  uint64_t numbers_ = 0;      // given out
  uint64_t* told_ = nullptr;  // in pinned memory: what kernels write

  cudaEvent_t inCapture_ = nullptr;
  unsigned long long capture_ = 0;
  cudaStream_t captureStream_ = nullptr;  // none is destroyed, and its handle given out again, before its capture ends
};

}  // namespace steptuner
