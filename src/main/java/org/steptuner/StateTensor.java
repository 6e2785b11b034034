// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/**
 * The elements of one tensor in a state slot of an {@link Optimizer}. The optimizer owns them. They may be read between steps, but not
 * written. They keep their address until the optimizer is closed; after that the address must not be used. On a GPU the address is the
 * device's, and reads must be ordered after the steps on the optimizer's stream.
 *
 * @param address of the first element
 * @param type {@link DataType#stateType} of the tensor's parameters, or BFLOAT16 where the state is {@linkplain
 *     org.steptuner.tuner.TunerBuilder#stateStorage stored} so. The elements of the slot {@code parameterRest} are 16 bits that are no
 *     number
 * @param count number of elements; 0 in the slot {@code parameterRest} for parameters that need none
 */
public record StateTensor(long address, DataType type, long count) {}
