// SPDX-License-Identifier: Apache-2.0
/**
 * Base update formulas with their hyperparameters, as immutable records. A rule says in which direction a step goes; a tuner of
 * {@link org.steptuner.tuner} says how far.
 */
package org.steptuner.rule;
