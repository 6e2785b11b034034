// SPDX-License-Identifier: Apache-2.0
package org.steptuner.curvature;

import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import org.steptuner.DataType;
import org.steptuner.ParameterSet;

/**
 * A vector with one element for every parameter, in the library's memory on the parameters' device: one array per tensor, of the type of
 * its state, float64 for float64 parameters and float32 for all others. A trainer that takes addresses wraps these without a copy. Kernels
 * that read or write it on a GPU belong on the optimizer's stream.
 */
public interface ParameterVector {
  /** The tensors, which are numbered here as they were added. */
  ParameterSet parameters();

  /** Address of a tensor's first element, on the device. Stays the same for the life of the optimizer. */
  long address(int tensor);

  /** Number of elements of a tensor. */
  default long count(int tensor) {
    return parameters().tensors().get(tensor).count();
  }

  /** Type of the elements of a tensor. */
  default DataType type(int tensor) {
    return parameters().tensors().get(tensor).parameterType().stateType();
  }

  /**
   * A tensor's elements as a buffer; the same one every time. Its memory stays for as long as the buffer is kept, even if the optimizer is
   * closed; an address does not.
   *
   * @throws IllegalArgumentException if they are not float32 in host memory, or too many for a buffer
   * @throws IllegalStateException if the optimizer is closed and there is no such buffer yet
   */
  FloatBuffer floats(int tensor);

  /**
   * A tensor's elements as a buffer; the same one every time. Its memory stays for as long as the buffer is kept, even if the optimizer is
   * closed; an address does not.
   *
   * @throws IllegalArgumentException if they are not float64 in host memory, or too many for a buffer
   * @throws IllegalStateException if the optimizer is closed and there is no such buffer yet
   */
  DoubleBuffer doubles(int tensor);
}
