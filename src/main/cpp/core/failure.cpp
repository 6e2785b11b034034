// SPDX-License-Identifier: Apache-2.0
#include "failure.h"
#include <stdarg.h>
#include <stdio.h>

namespace steptuner {
namespace {

thread_local char message[1024] = "";

}  // namespace

void explain(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
}

const char* lastError() { return message; }

}  // namespace steptuner
