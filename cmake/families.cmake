# SPDX-License-Identifier: Apache-2.0
#
# The families of kernels (src/main/cpp/sweeps/kernels.h), each of which is compiled for itself.
set(FAMILY_TABLE "${CMAKE_CURRENT_LIST_DIR}/../src/main/cpp/sweeps/kernels.h")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${FAMILY_TABLE}")
file(READ "${FAMILY_TABLE}" table)
string(REGEX MATCHALL "\n +FAMILY\\([a-z0-9_]+\\)" lines "${table}")
string(REGEX REPLACE "\n +FAMILY\\(([a-z0-9_]+)\\)" "\\1" FAMILIES "${lines}")

# Sets `result` to one source for each family: `unit`, with STEPTUNER_FAMILY naming the family.
function(family_units result unit)
  get_filename_component(unit "${unit}" ABSOLUTE)
  get_filename_component(folder "${unit}" DIRECTORY)
  get_filename_component(folder "${folder}" NAME)
  get_filename_component(kind "${unit}" NAME_WE)
  get_filename_component(suffix "${unit}" EXT)
  set(units)
  foreach(family ${FAMILIES})
    set(source "${CMAKE_BINARY_DIR}/families/${folder}_${kind}/${family}${suffix}")
    file(CONFIGURE OUTPUT "${source}" CONTENT "#define STEPTUNER_FAMILY ${family}\n#include \"${unit}\"\n" @ONLY)
    list(APPEND units "${source}")
  endforeach()
  set(${result} ${units} PARENT_SCOPE)
endfunction()

# The options of each instruction set of the CPU. No -march=native: the library must run, with the same bits, elsewhere.
set(INSTRUCTION_SETS sse2 avx2 avx512)
set(sse2_OPTIONS -march=x86-64)
set(avx2_OPTIONS -march=x86-64-v3)
set(avx512_OPTIONS -march=x86-64-v4 -mprefer-vector-width=512)

# add_family_objects(<target> <unit> <library whose options they take>): a unit for each family and each set of STEPTUNER_INSTRUCTION_SETS. The
# objects are $<TARGET_OBJECTS:...> of all of them, in <target>_OBJECTS.
function(add_family_objects target unit options)
  family_units(units "${unit}")
  set(objects)
  foreach(isa ${STEPTUNER_INSTRUCTION_SETS})
    add_library(${target}_${isa} OBJECT ${units})
    target_compile_definitions(${target}_${isa} PRIVATE STEPTUNER_ISA=${isa})
    # GCC 12 takes the undefined upper operand of AVX-512 intrinsics for a mistake of ours.
    target_compile_options(${target}_${isa} PRIVATE ${${isa}_OPTIONS} -Wno-maybe-uninitialized -Wno-uninitialized)
    target_link_libraries(${target}_${isa} PRIVATE ${options})
    list(APPEND objects $<TARGET_OBJECTS:${target}_${isa}>)
  endforeach()
  set(${target}_OBJECTS ${objects} PARENT_SCOPE)
endfunction()

# STEPTUNER_INSTRUCTION_SETS as a list of names: BEST is the best one of this processor.
set(STEPTUNER_INSTRUCTION_SETS "sse2;avx2;avx512" CACHE STRING "Instruction sets to build for, or BEST: that of this processor only")
if(STEPTUNER_INSTRUCTION_SETS STREQUAL "BEST")
  if(NOT DEFINED STEPTUNER_BEST_SET)
    file(WRITE "${CMAKE_BINARY_DIR}/best.cpp"
      "int main() { return __builtin_cpu_supports(\"x86-64-v4\") ? 2 : __builtin_cpu_supports(\"x86-64-v3\") ? 1 : 0; }\n")
    try_run(number compiled "${CMAKE_BINARY_DIR}/best" "${CMAKE_BINARY_DIR}/best.cpp")
    list(GET INSTRUCTION_SETS ${number} best)
    set(STEPTUNER_BEST_SET ${best} CACHE INTERNAL "")
  endif()
  set(STEPTUNER_INSTRUCTION_SETS ${STEPTUNER_BEST_SET})
endif()
