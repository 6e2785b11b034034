// SPDX-License-Identifier: Apache-2.0
/**
 * Learning-rate tuners for trainers that run on the JVM. A trainer describes its parameters and gradients once, as a
 * {@link org.steptuner.ParameterSet} on a {@link org.steptuner.Device}, builds an {@link org.steptuner.Optimizer} with a tuner of
 * {@link org.steptuner.tuner} over a rule of {@link org.steptuner.rule}, and calls {@link org.steptuner.Optimizer#step()} after each
 * backward pass. Parameters and gradients stay in the trainer's memory; native kernels read and write them there.
 */
package org.steptuner;
