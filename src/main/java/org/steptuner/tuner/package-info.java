// SPDX-License-Identifier: Apache-2.0
/**
 * Tuners set the rate of a rule, from a fixed rate with a schedule to methods that learn it. Each builds an {@link
 * org.steptuner.Optimizer}; its page gives the formula, the paper, the state per element and the words that a step moves.
 */
package org.steptuner.tuner;
