// SPDX-License-Identifier: Apache-2.0
//
// What a call says when it fails: a status, and a message that the thread keeps until its next failure.
#pragma once
#include "../steptuner.h"
#include "floating_point.h"
#include <new>

namespace steptuner {

// Sets the message; printf-like.
void explain(const char* format, ...);

const char* lastError();

template <class... Arguments>
st_status fail(st_status status, const char* format, Arguments... arguments) {
  explain(format, arguments...);
  return status;
}

// Nothing of C++ may cross the border, not even an exhausted heap. Nor does the caller's floating-point environment come in.
template <class Body>
st_status guarded(Body body) {
  const DefaultFloatingPoint environment;
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return fail(ST_OUT_OF_MEMORY, "out of host memory");
  } catch (...) {
    return fail(ST_DEVICE_ERROR, "unexpected native failure");
  }
}

}  // namespace steptuner
