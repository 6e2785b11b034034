// SPDX-License-Identifier: Apache-2.0
//
// Takes the place of NVIDIA's header of this name, so that .cu files compile as GNU C++17 and run on the CPU. It holds the part
// of CUDA that Step Tuner uses and no more: what is missing fails to compile. What it means, and what it cannot show, is in
// ../README.md.
#pragma once

#if !defined(__x86_64__) || !defined(__GNUC__) || !defined(__linux__)
#error "the CUDA emulation needs GNU C++ on x86-64 Linux: it switches stacks and reads ELF symbols"
#endif

#define __CUDA_EMULATION__ 1
#define CUDART_VERSION 13000

#include "cuda_emulation/vector_types.h"
#include "cuda_emulation/qualifiers.h"
#include "cuda_emulation/threads.h"
#include "cuda_emulation/atomics.h"
#include "cuda_emulation/intrinsics.h"
#include "cuda_emulation/runtime_types.h"
#include "cuda_emulation/runtime_api.h"
#include "cuda_emulation/launch.h"
