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

# Code for 8.0 runs on 8.6 and 8.9 too, that for 10.0 on 10.3 and that for 12.0 on 12.1. RELEASE is code for all that are in use. For a GPU
# without code of its own the driver makes it of the PTX, at the first run. All code is made of that PTX: the sources use nothing newer, so it
# is the same as of PTX for each architecture, and nvcc takes half the time.
set(STEPTUNER_CUDA_ARCHITECTURES "80;90" CACHE STRING "Compute capabilities times ten that get code of their own, or RELEASE")
set(PTX 75)
set(capabilities ${STEPTUNER_CUDA_ARCHITECTURES})
if(STEPTUNER_CUDA_ARCHITECTURES STREQUAL "RELEASE")
  set(capabilities 75 80 90 100 120)
endif()
set(GENERATED -gencode=arch=compute_${PTX},code=compute_${PTX})
foreach(capability ${capabilities})
  if(NOT capability MATCHES "^[1-9][0-9]+$" OR capability LESS PTX)
    message(FATAL_ERROR "STEPTUNER_CUDA_ARCHITECTURES: ${capability} is no compute capability times ten from ${PTX} on, nor RELEASE")
  endif()
  list(APPEND GENERATED -gencode=arch=compute_${PTX},code=sm_${capability})
endforeach()
set(CMAKE_CUDA_ARCHITECTURES OFF)  # CMake would ask for PTX for each
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
enable_language(CUDA)
set(CMAKE_CUDA_STANDARD 17)

add_library(steptuner_cuda SHARED ${CUDA_SOURCES} ${SOURCES}/core/memory_map.cpp)
# One answer: no fused multiply-add, IEEE division and root. The options are in a file, for builds without CMake.
set(CUDA_OPTIONS ${GENERATED} --options-file ${CMAKE_CURRENT_SOURCE_DIR}/nvcc.options --compress-mode=size -Xcompiler=-Werror)
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
