// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.util.List;

/**
 * A tensor that has an infinity or a NaN somewhere, see {@link Optimizer#nonFiniteTensors}.
 *
 * @param name the name that it was added under
 * @param parameters whether a parameter is infinite or not a number
 * @param gradients whether a gradient is
 * @param slots the state slots of the optimizer in which an element is
 */
public record NonFiniteTensor(String name, boolean parameters, boolean gradients, List<String> slots) {
  /** The same; the list is copied. */
  public NonFiniteTensor {
    slots = List.copyOf(slots);
  }
}
