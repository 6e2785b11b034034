// SPDX-License-Identifier: Apache-2.0
//
// Loads libsteptuner as any program may, and opens devices through the C ABI:  c_abi LIBSTEPTUNER [DEVICE LIBRARY]
// Prints the version of the C library, the best instruction set of this processor as the compiler's headers tell it, what the device says
// of itself, and for a device library the reason why there is no device.
#include <cpuid.h>
#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include "../../main/cpp/steptuner.h"

static void* need(void* found) {
  if (found) return found;
  fprintf(stderr, "%s\n", dlerror());
  exit(1);
}

// From the processor itself: the compiler's own function for this is what may be wrong in a library.
static const char* best(void) {
  unsigned a = 0, b = 0, c = 0, d = 0, low = 0, high = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return "sse2";
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2) || (low & 6) != 6) return "sse2";
  const unsigned wide = bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL;
  return (b & wide) == wide && (low & 0xe6) == 0xe6 ? "avx512" : "avx2";
}

int main(int count, char** arguments) {
  if (count < 2) return 2;
  void* const library = need(dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL));
  st_status (*open)(const char*, int32_t, int32_t, const char*, int64_t*) = need(dlsym(library, "st_device_open"));
  const char* (*name)(int64_t) = need(dlsym(library, "st_device_name"));
  const char* (*error)(void) = need(dlsym(library, "st_last_error"));
  int64_t device = 0;
  if (open(NULL, 0, 2, NULL, &device) != ST_OK) {
    fprintf(stderr, "%s\n", error());
    return 1;
  }
  printf("glibc %s\nbest %s\n%s\n", gnu_get_libc_version(), best(), name(device));
  if (count > 2 && open(arguments[2], 0, 0, NULL, &device) != ST_OK) printf("%s\n", error());
  return 0;
}
