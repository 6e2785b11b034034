// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/**
 * The elements of one tensor in a state slot of an {@link Optimizer}. The optimizer owns them. They may be read between steps, but not
 * written. They keep their address until the optimizer is closed; after that the address must not be used. On a GPU the address is the
 * device's, and reads must be ordered after the steps on the optimizer's stream.
 *
 * @param address of the first element
 * @param type {@link DataType#stateType} of the tensor's parameters
 * @param count number of elements
 */
public record StateTensor(long address, DataType type, long count) {}
