// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/**
 * The elements of one tensor in a state slot of an {@link Optimizer}, which owns them: to be read between steps, not written, and gone
 * when it is closed. They stay where they are until then. On a GPU the address is the device's, and what is read there must be read in
 * the order of the optimizer's stream.
 *
 * @param address of the first element
 * @param type {@link DataType#stateType} of the tensor's parameters
 * @param count number of elements
 */
public record StateTensor(long address, DataType type, long count) {}
