// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import org.steptuner.DataType;

/** What the elements of a slot are in memory; numbered as in {@code steptuner.h}, named as in checkpoints. */
public enum Storage {
  /** Of the type that the tensor is computed in. */
  COMPUTED,
  /** BFLOAT16, rounded stochastically. */
  BFLOAT16,
  /** BFLOAT16 beside BFLOAT16 parameters, as computed beside others. */
  AS_PARAMETER,
  /** What BFLOAT16 parameters are short of a float32, in 16 bits; nothing beside others. */
  REST;

  /** The type of the elements beside parameters of a type; BFLOAT16 for 16 bits that are no number. */
  DataType type(DataType parameter) {
    if (this == REST) return DataType.BFLOAT16;
    if (parameter == DataType.FLOAT64 || this == COMPUTED) return parameter.stateType();
    return this == BFLOAT16 || parameter == DataType.BFLOAT16 ? DataType.BFLOAT16 : DataType.FLOAT32;
  }

  /** Bytes of {@code count} elements. */
  long bytes(DataType parameter, long count) {
    return this == REST && parameter != DataType.BFLOAT16 ? 0 : count * type(parameter).bytes();
  }
}
