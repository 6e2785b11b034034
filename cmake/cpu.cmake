# SPDX-License-Identifier: Apache-2.0
#
# The CPU backend without its kernels. The benchmarks link it with kernels that compute nothing. SOURCES is the folder of all of them.
set(CPU_BACKEND ${SOURCES}/cpu/backend.cpp ${SOURCES}/cpu/capture.cpp ${SOURCES}/cpu/instruction_sets.cpp ${SOURCES}/cpu/pool.cpp
                ${SOURCES}/core/memory_map.cpp ${SOURCES}/scalars/registry.cpp)
