// SPDX-License-Identifier: Apache-2.0
//
// Types and numbers of the runtime API, CUDA 13's values.
#pragma once
#include <stddef.h>

// name, number, what cudaGetErrorString says
#define CUDA_EMULATION_ERRORS(ERROR)                                                                                         \
  ERROR(cudaSuccess, 0, "no error")                                                                                          \
  ERROR(cudaErrorInvalidValue, 1, "invalid argument")                                                                        \
  ERROR(cudaErrorMemoryAllocation, 2, "out of memory")                                                                       \
  ERROR(cudaErrorInitializationError, 3, "initialization error")                                                             \
  ERROR(cudaErrorCudartUnloading, 4, "driver shutting down")                                                                 \
  ERROR(cudaErrorInvalidConfiguration, 9, "invalid configuration argument")                                                  \
  ERROR(cudaErrorInvalidSymbol, 13, "invalid device symbol")                                                                 \
  ERROR(cudaErrorInvalidDevicePointer, 17, "invalid device pointer")                                                         \
  ERROR(cudaErrorInvalidMemcpyDirection, 21, "invalid copy direction for memcpy")                                            \
  ERROR(cudaErrorInsufficientDriver, 35, "CUDA driver version is insufficient for CUDA runtime version")                     \
  ERROR(cudaErrorDevicesUnavailable, 46, "CUDA-capable device(s) is/are busy or unavailable")                                \
  ERROR(cudaErrorInvalidDeviceFunction, 98, "invalid device function")                                                       \
  ERROR(cudaErrorNoDevice, 100, "no CUDA-capable device is detected")                                                        \
  ERROR(cudaErrorInvalidDevice, 101, "invalid device ordinal")                                                               \
  ERROR(cudaErrorInvalidKernelImage, 200, "device kernel image is invalid")                                                  \
  ERROR(cudaErrorDeviceUninitialized, 201, "invalid device context")                                                         \
  ERROR(cudaErrorNoKernelImageForDevice, 209, "no kernel image is available for execution on the device")                    \
  ERROR(cudaErrorECCUncorrectable, 214, "uncorrectable ECC error encountered")                                               \
  ERROR(cudaErrorOperatingSystem, 304, "OS call failed or operation not supported on this OS")                               \
  ERROR(cudaErrorInvalidResourceHandle, 400, "invalid resource handle")                                                      \
  ERROR(cudaErrorIllegalState, 401, "the operation cannot be performed in the present state")                                \
  ERROR(cudaErrorSymbolNotFound, 500, "named symbol not found")                                                              \
  ERROR(cudaErrorNotReady, 600, "device not ready")                                                                          \
  ERROR(cudaErrorIllegalAddress, 700, "an illegal memory access was encountered")                                            \
  ERROR(cudaErrorLaunchOutOfResources, 701, "too many resources requested for launch")                                       \
  ERROR(cudaErrorLaunchTimeout, 702, "the launch timed out and was terminated")                                              \
  ERROR(cudaErrorContextIsDestroyed, 709, "context is destroyed")                                                            \
  ERROR(cudaErrorAssert, 710, "device-side assert triggered")                                                                \
  ERROR(cudaErrorHardwareStackError, 714, "hardware stack error")                                                            \
  ERROR(cudaErrorIllegalInstruction, 715, "an illegal instruction was encountered")                                          \
  ERROR(cudaErrorMisalignedAddress, 716, "misaligned address")                                                               \
  ERROR(cudaErrorLaunchFailure, 719, "unspecified launch failure")                                                           \
  ERROR(cudaErrorNotPermitted, 800, "operation not permitted")                                                               \
  ERROR(cudaErrorNotSupported, 801, "operation not supported")                                                               \
  ERROR(cudaErrorSystemNotReady, 802, "system not yet initialized")                                                          \
  ERROR(cudaErrorSystemDriverMismatch, 803, "system has unsupported display driver / cuda driver combination")               \
  ERROR(cudaErrorStreamCaptureUnsupported, 900, "operation not permitted when stream is capturing")                          \
  ERROR(cudaErrorStreamCaptureInvalidated, 901, "operation failed due to a previous error during capture")                   \
  ERROR(cudaErrorStreamCaptureMerge, 902, "operation would result in a merge of separate capture sequences")                 \
  ERROR(cudaErrorStreamCaptureUnmatched, 903, "capture was not ended in the same stream as it began")                        \
  ERROR(cudaErrorStreamCaptureUnjoined, 904, "capturing stream has unjoined work")                                           \
  ERROR(cudaErrorStreamCaptureIsolation, 905, "dependency created on uncaptured work in another stream")                     \
  ERROR(cudaErrorStreamCaptureImplicit, 906, "operation would make the legacy stream depend on a capturing blocking stream") \
  ERROR(cudaErrorCapturedEvent, 907, "operation not permitted on an event last recorded in a capturing stream")              \
  ERROR(cudaErrorStreamCaptureWrongThread, 908, "attempt to terminate a thread-local capture sequence from another thread")  \
  ERROR(cudaErrorUnknown, 999, "unknown error")

enum cudaError {
#define CUDA_EMULATION_ENUMERATOR(name, number, text) name = number,
  CUDA_EMULATION_ERRORS(CUDA_EMULATION_ENUMERATOR)
#undef CUDA_EMULATION_ENUMERATOR
};
typedef enum cudaError cudaError_t;

typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;
typedef struct CUgraph_st* cudaGraph_t;
typedef struct CUgraphExec_st* cudaGraphExec_t;
typedef struct CUgraphNode_st* cudaGraphNode_t;

enum : unsigned { cudaStreamDefault = 0, cudaStreamNonBlocking = 1 };
enum : unsigned { cudaEventDefault = 0, cudaEventBlockingSync = 1, cudaEventDisableTiming = 2 };
enum : unsigned { cudaHostAllocDefault = 0, cudaHostAllocPortable = 1, cudaHostAllocMapped = 2, cudaHostAllocWriteCombined = 4 };

// The stream that 0 names too.
#define cudaStreamLegacy (reinterpret_cast<cudaStream_t>(0x1))

enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone = 0, cudaStreamCaptureStatusActive = 1, cudaStreamCaptureStatusInvalidated = 2 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal = 0, cudaStreamCaptureModeThreadLocal = 1, cudaStreamCaptureModeRelaxed = 2 };

enum cudaMemcpyKind {
  cudaMemcpyHostToHost = 0,
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4
};

enum cudaMemoryType { cudaMemoryTypeUnregistered = 0, cudaMemoryTypeHost = 1, cudaMemoryTypeDevice = 2, cudaMemoryTypeManaged = 3 };

struct cudaPointerAttributes {
  cudaMemoryType type;
  int device;
  void* devicePointer;
  void* hostPointer;
};

struct cudaFuncAttributes {
  size_t sharedSizeBytes;
  size_t constSizeBytes;
  size_t localSizeBytes;
  int maxThreadsPerBlock;
  int numRegs;
  int ptxVersion;
  int binaryVersion;
  int cacheModeCA;
  int maxDynamicSharedSizeBytes;
  int preferredShmemCarveout;
};

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8, cudaFuncAttributePreferredSharedMemoryCarveout = 9 };

enum cudaDeviceAttr {
  cudaDevAttrMaxThreadsPerBlock = 1,
  cudaDevAttrMaxBlockDimX = 2,
  cudaDevAttrMaxGridDimX = 5,
  cudaDevAttrMaxSharedMemoryPerBlock = 8,
  cudaDevAttrWarpSize = 10,
  cudaDevAttrMaxRegistersPerBlock = 12,
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrConcurrentKernels = 31,
  cudaDevAttrL2CacheSize = 38,
  cudaDevAttrMaxThreadsPerMultiProcessor = 39,
  cudaDevAttrUnifiedAddressing = 41,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerMultiprocessor = 81,
  cudaDevAttrPageableMemoryAccess = 88,
  cudaDevAttrCooperativeLaunch = 95,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
  cudaDevAttrMaxBlocksPerMultiprocessor = 106,
  cudaDevAttrMemoryPoolsSupported = 115
};

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem;
  size_t sharedMemPerBlock;
  int regsPerBlock;
  int warpSize;
  int maxThreadsPerBlock;
  int maxThreadsDim[3];
  int maxGridSize[3];
  size_t totalConstMem;
  int major;
  int minor;
  int multiProcessorCount;
  int integrated;
  int canMapHostMemory;
  int concurrentKernels;
  int ECCEnabled;
  int pciBusID;
  int pciDeviceID;
  int pciDomainID;
  int asyncEngineCount;
  int unifiedAddressing;
  int memoryBusWidth;
  int l2CacheSize;
  int persistingL2CacheMaxSize;
  int maxThreadsPerMultiProcessor;
  size_t sharedMemPerMultiprocessor;
  int regsPerMultiprocessor;
  int managedMemory;
  int pageableMemoryAccess;
  int cooperativeLaunch;
  size_t sharedMemPerBlockOptin;
  int maxBlocksPerMultiProcessor;
  int memoryPoolsSupported;
};
