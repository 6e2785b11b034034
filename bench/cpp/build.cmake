# SPDX-License-Identifier: Apache-2.0
#
# Configures and builds in one command: cmake -DBUILD=<build folder> -DTWIN_OUTPUT=<folder> -P cpp/build.cmake
file(MAKE_DIRECTORY ${BUILD})
execute_process(COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${BUILD} -DCMAKE_BUILD_TYPE=None -DTWIN_OUTPUT=${TWIN_OUTPUT}
                OUTPUT_FILE ${BUILD}/configure.log RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "configuring the twin failed; see ${BUILD}/configure.log")
endif()
include(ProcessorCount)
ProcessorCount(processors)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${BUILD} --parallel ${processors} RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "building the twin failed")
endif()
