# SPDX-License-Identifier: Apache-2.0
#
# What the libraries that go into jars have in common: which system they are for, what they show and need, where their debug information
# is. shipped_options are the options of their C++; SHIPPED_COMPILE_OPTIONS are those of compiling once more, one by one, for nvcc.
get_filename_component(ROOT "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)

# No folder of the build machine is in a library. Lines and functions (-g1) are enough for a stack trace, and cost the compiler 2 % of time.
set(SHIPPED_COMPILE_OPTIONS -ffile-prefix-map=${ROOT}=. -ffile-prefix-map=${CMAKE_BINARY_DIR}=build)
if(STEPTUNER_STRIP AND NOT STEPTUNER_SANITIZE)
  list(APPEND SHIPPED_COMPILE_OPTIONS -g1)
endif()
set(SHIPPED_LINK_OPTIONS)

if(STEPTUNER_PORTABLE)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU" OR STEPTUNER_SANITIZE)
    message(FATAL_ERROR "STEPTUNER_PORTABLE needs GCC and no sanitizers")
  endif()
  execute_process(COMMAND ${CMAKE_CURRENT_LIST_DIR}/sysroot OUTPUT_VARIABLE SYSROOT OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "STEPTUNER_PORTABLE is ON but there is no sysroot")
  endif()
  # The C++ headers and libraries are those of the sysroot: newer ones ask for newer functions of glibc. Of libgcc only the unwinder
  # (libgcc_eh) is the sysroot's; libgcc.a is the compiler's own, and the sysroot has none.
  list(APPEND SHIPPED_COMPILE_OPTIONS --sysroot=${SYSROOT} -nostdinc++ -ffile-prefix-map=${SYSROOT}=sysroot)
  foreach(folder c++/10 x86_64-linux-gnu/c++/10 c++/10/backward)
    list(APPEND SHIPPED_COMPILE_OPTIONS -isystem${SYSROOT}/usr/include/${folder})
  endforeach()
  # Its folders are named, for the compiler would look into those beside itself first.
  list(APPEND SHIPPED_LINK_OPTIONS --sysroot=${SYSROOT} -B${SYSROOT}/usr/lib/x86_64-linux-gnu -L${SYSROOT}/usr/lib/x86_64-linux-gnu
       -L${SYSROOT}/usr/lib/gcc/x86_64-linux-gnu/10 -pthread)
endif()
if(NOT STEPTUNER_SANITIZE)
  list(APPEND SHIPPED_LINK_OPTIONS -static-libstdc++ -static-libgcc -Wl,-Bsymbolic -Wl,-z,defs -Wl,--exclude-libs,ALL -Wl,--build-id)
endif()

add_library(shipped_options INTERFACE)
target_compile_options(shipped_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${SHIPPED_COMPILE_OPTIONS}>")
target_link_options(shipped_options INTERFACE ${SHIPPED_LINK_OPTIONS})
target_link_libraries(shipped_options INTERFACE Threads::Threads ${CMAKE_DL_LIBS})

# ship(<target> <exports>): the library shows what the file <exports> lists, has no path of the build, and is stripped; its debug
# information is in a file of STEPTUNER_DEBUG_OUTPUT that it names.
function(ship target exports)
  set(exports ${CMAKE_CURRENT_SOURCE_DIR}/${exports})
  target_link_options(${target} PRIVATE -Wl,--version-script=${exports})
  set_target_properties(${target} PROPERTIES LINK_DEPENDS ${exports} BUILD_WITH_INSTALL_RPATH ON)
  if(STEPTUNER_STRIP AND NOT STEPTUNER_SANITIZE)
    set(debug "${STEPTUNER_DEBUG_OUTPUT}/$<TARGET_FILE_NAME:${target}>.debug")
    add_custom_command(TARGET ${target} POST_BUILD VERBATIM
      COMMAND ${CMAKE_COMMAND} -E make_directory "${STEPTUNER_DEBUG_OUTPUT}"
      COMMAND ${CMAKE_OBJCOPY} --only-keep-debug --compress-debug-sections $<TARGET_FILE:${target}> "${debug}"
      COMMAND ${CMAKE_STRIP} --strip-all $<TARGET_FILE:${target}>
      COMMAND ${CMAKE_OBJCOPY} "--add-gnu-debuglink=${debug}" $<TARGET_FILE:${target}>)
  endif()
endfunction()
