// SPDX-License-Identifier: Apache-2.0
package org.steptuner.curvature;

import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import org.steptuner.DataType;
import org.steptuner.ParameterSet;

/**
 * A vector with one element for every parameter, in the library's memory on the parameters' device. It has one array per tensor, whose
 * elements are float64 for float64 parameters and float32 for all others. A trainer that works with addresses can use the arrays without a
 * copy. On a GPU, kernels that read or write them must run on the optimizer's stream.
 */
public interface ParameterVector {
  /** The tensors. The methods below take their numbers, from 0, in the order in which they were added. */
  ParameterSet parameters();

  /**
   * The address of a tensor's first element, on the device. It stays the same until the optimizer is closed; after that it must not be
   * used.
   *
   * @param tensor from 0
   */
  long address(int tensor);

  /**
   * The number of elements of a tensor.
   *
   * @param tensor from 0
   */
  default long count(int tensor) {
    return parameters().tensors().get(tensor).count();
  }

  /**
   * The type of the elements of a tensor here, FLOAT32 or FLOAT64.
   *
   * @param tensor from 0
   */
  default DataType type(int tensor) {
    return parameters().tensors().get(tensor).parameterType().stateType();
  }

  /**
   * A tensor's float32 elements as a buffer; the same one every time. The memory is not freed while the buffer is reachable, even if the
   * optimizer is closed.
   *
   * @param tensor from 0
   * @throws IllegalArgumentException if they are not float32 in host memory, or too many for a buffer
   * @throws IllegalStateException if the optimizer is closed and there is no such buffer yet
   */
  FloatBuffer floats(int tensor);

  /**
   * A tensor's float64 elements as a buffer; the same one every time. The memory is not freed while the buffer is reachable, even if the
   * optimizer is closed.
   *
   * @param tensor from 0
   * @throws IllegalArgumentException if they are not float64 in host memory, or too many for a buffer
   * @throws IllegalStateException if the optimizer is closed and there is no such buffer yet
   */
  DoubleBuffer doubles(int tensor);
}
