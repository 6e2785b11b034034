// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/**
 * The type of the elements of a tensor. Arithmetic is in float64 for FLOAT64 parameters and in float32 for all others. So is the state,
 * unless it is {@linkplain org.steptuner.tuner.TunerBuilder#stateStorage stored} in 16 bits.
 */
public enum DataType {
  /** IEEE 754 binary32. */
  FLOAT32(4),
  /** IEEE 754 binary64. */
  FLOAT64(8),
  /** The upper half of binary32: 8 bits of exponent, 7 of fraction. */
  BFLOAT16(2),
  /** IEEE 754 binary16. */
  FLOAT16(2);

  private final int bytes;

  DataType(int bytes) {
    this.bytes = bytes;
  }

  /** Bytes of one element. */
  public int bytes() {
    return bytes;
  }

  /** The type that arithmetic has for parameters of this type, and state that is stored as it is computed. */
  public DataType stateType() {
    return this == FLOAT64 ? FLOAT64 : FLOAT32;
  }
}
