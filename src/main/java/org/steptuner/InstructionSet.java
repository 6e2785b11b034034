// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/** The vector instructions that the CPU's kernels are compiled for. All of them give the same bits. */
public enum InstructionSet {
  /** Every x86-64 processor. */
  SSE2,
  /** Processors of level x86-64-v3. */
  AVX2,
  /** Processors of level x86-64-v4. */
  AVX512
}
