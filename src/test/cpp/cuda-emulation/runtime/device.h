// SPDX-License-Identifier: Apache-2.0
//
// The device's figures: those of a small Hopper.
#pragma once
#include <stddef.h>

namespace cuda_emulation {

// What every byte of memory holds until someone writes it.
constexpr unsigned char POISON = 0xCB;

constexpr size_t DEVICE_MEMORY = size_t{8} << 30;
constexpr int MAX_THREADS_IN_BLOCK = 1024;
constexpr int MAX_THREADS_IN_MULTIPROCESSOR = 2048;
constexpr int MAX_BLOCKS_IN_MULTIPROCESSOR = 32;
constexpr size_t SHARED_BYTES_IN_BLOCK = 48 * 1024;       // without asking
constexpr size_t MAX_SHARED_BYTES_IN_BLOCK = 227 * 1024;  // with cudaFuncSetAttribute
constexpr size_t SHARED_BYTES_IN_MULTIPROCESSOR = 228 * 1024;

}  // namespace cuda_emulation
