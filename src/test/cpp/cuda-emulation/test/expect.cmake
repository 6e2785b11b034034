# SPDX-License-Identifier: Apache-2.0
#
# Runs PROGRAM with ARGUMENTS. With REPORT, it has to fail and its output to match; without, to succeed and say nothing that
# looks like a report. (ctest's own WILL_FAIL would take any crash for the expected one, and PASS_REGULAR_EXPRESSION ignores how
# the program ended.)
execute_process(COMMAND ${PROGRAM} ${ARGUMENTS} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)

if(REPORT)
  if(result STREQUAL "0")
    message(FATAL_ERROR "reported nothing\n${output}")
  elseif(NOT output MATCHES "${REPORT}")
    message(FATAL_ERROR "ended with ${result} and did not report \"${REPORT}\"\n${output}")
  endif()
elseif(NOT result STREQUAL "0" OR output MATCHES "Sanitizer|runtime error:|CUDA emulation:")
  message(FATAL_ERROR "ended with ${result}\n${output}")
endif()
