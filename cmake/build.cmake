# SPDX-License-Identifier: Apache-2.0
#
# Configures and builds in one command: cmake -DBUILD=<build folder> [-D<option>=...] -P cmake/build.cmake
# Every STEPTUNER_* option is passed on. An unchanged tree does nothing.
set(options)
get_cmake_property(variables VARIABLES)
foreach(variable ${variables})
  if(variable MATCHES "^STEPTUNER_" AND NOT "${${variable}}" STREQUAL "")
    string(REPLACE ";" "\\;" value "${${variable}}")
    list(APPEND options "-D${variable}=${value}")
  endif()
endforeach()
file(MAKE_DIRECTORY ${BUILD})
execute_process(COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${BUILD} -DCMAKE_BUILD_TYPE=None ${options}
                OUTPUT_FILE ${BUILD}/configure.log RESULT_VARIABLE failed)
file(STRINGS ${BUILD}/configure.log lines REGEX "No nvcc|CUDA compiler identification")
foreach(line ${lines})
  message("${line}")
endforeach()
if(failed)
  message(FATAL_ERROR "configuring the native build failed; see ${BUILD}/configure.log")
endif()
include(ProcessorCount)
ProcessorCount(processors)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${BUILD} --parallel ${processors} RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "the native build failed")
endif()
