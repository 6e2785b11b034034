// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/** The type of the elements of a tensor. State and arithmetic are float64 for FLOAT64 parameters and float32 for all others. */
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

  /** The type that state and arithmetic have for parameters of this type. */
  public DataType stateType() {
    return this == FLOAT64 ? FLOAT64 : FLOAT32;
  }
}
