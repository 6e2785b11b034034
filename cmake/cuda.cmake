# SPDX-License-Identifier: Apache-2.0
#
# libsteptuner_cuda, where there is an nvcc. Its absence is one line and no error, unless STEPTUNER_CUDA is ON.
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  if(STEPTUNER_CUDA STREQUAL "ON")
    message(FATAL_ERROR "STEPTUNER_CUDA is ON but there is no nvcc")
  endif()
  message(STATUS "No nvcc: the CUDA library is not built (the CPU library is complete without it)")
  return()
endif()

# Code for 8.0 runs on 8.6 and 8.9 too, that for 10.0 on 10.3 and that for 12.0 on 12.1; PTX is for what comes after. RELEASE is code for all
# that are in use; otherwise the driver makes it of the PTX, at the first run on a GPU that is not among them.
set(STEPTUNER_CUDA_ARCHITECTURES "75-virtual;80-real;90-real" CACHE STRING "CUDA architectures, or RELEASE")
set(CMAKE_CUDA_ARCHITECTURES "${STEPTUNER_CUDA_ARCHITECTURES}")
if(STEPTUNER_CUDA_ARCHITECTURES STREQUAL "RELEASE")
  set(CMAKE_CUDA_ARCHITECTURES "75-real;80-real;90-real;100-real;120")
endif()
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
enable_language(CUDA)
set(CMAKE_CUDA_STANDARD 17)

add_library(steptuner_cuda SHARED ${CUDA_SOURCES} ${SOURCES}/core/memory_map.cpp)
# One answer: no fused multiply-add, IEEE division and root. The options are in a file, for builds without CMake.
set(CUDA_OPTIONS --options-file ${CMAKE_CURRENT_SOURCE_DIR}/nvcc.options --compress-mode=size -Xcompiler=-Werror)
foreach(option ${sse2_OPTIONS} ${SHIPPED_COMPILE_OPTIONS})
  list(APPEND CUDA_OPTIONS -Xcompiler=${option})
endforeach()
set_source_files_properties(${CUDA_SOURCES} PROPERTIES OBJECT_DEPENDS
  ${CMAKE_CURRENT_SOURCE_DIR}/nvcc.options)
target_compile_options(steptuner_cuda PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:${CUDA_OPTIONS}>"
                       "$<$<COMPILE_LANGUAGE:CXX>:-O2;-fvisibility=hidden;${sse2_OPTIONS}>")
target_link_libraries(steptuner_cuda PRIVATE shipped_options rt)
set_target_properties(steptuner_cuda PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${STEPTUNER_GPU_OUTPUT}")
ship(steptuner_cuda steptuner.exports)
# Registers and spills of every kernel, in cuda-resources.txt of the build folder; a spill is named.
set_property(TARGET steptuner_cuda PROPERTY RULE_LAUNCH_COMPILE
  "${CMAKE_CURRENT_SOURCE_DIR}/resource-report ${CMAKE_BINARY_DIR}/cuda-resources.txt")
