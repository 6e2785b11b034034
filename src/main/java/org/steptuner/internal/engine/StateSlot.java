// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import org.steptuner.rule.StateKind;

/**
 * A state slot, and what it holds for a tensor that has not made a step yet.
 *
 * @param name the name in checkpoints
 * @param initialValue what all elements hold before the first step
 * @param followsParameters whether the first step puts the parameters themselves into it, or a point that begins at them. A tensor that
 *     joins a run later starts with its own parameters there, because the first step is over
 * @param kind what its elements are
 */
public record StateSlot(String name, double initialValue, boolean followsParameters, StateKind kind) {}
