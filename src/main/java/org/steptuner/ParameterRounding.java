// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/**
 * How steps round 16-bit parameters. Parameters of 32 and 64 bits are not rounded, and all three are the same for them.
 *
 * <p>It holds for sweeps that read and write the parameters: those of rules, which add a step to x. Sweeps that only write them rebuild x
 * from points of their own, where nothing is lost: those of Mechanic, of Prodigy with a stored displacement, of dual averaging. They
 * round to the nearest number in any case, but for {@link #IN_PARTS}. So do trials, and steps that end where a trial was, as those of {@link
 * org.steptuner.tuner.Armijo}.
 *
 * @see org.steptuner.tuner.TunerBuilder#parameterRounding
 */
public enum ParameterRounding {
  /**
   * To one of the two neighbours, to the nearer one with the greater probability, so that the mean is exact: a step of a tenth of the
   * distance of two numbers moves one of ten elements. The random bits are a hash of {@link
   * org.steptuner.tuner.TunerBuilder#roundingSeed roundingSeed}, sweep, step, the tensor's name and the number of the element. So results
   * are the same on every device, with any number of threads, and after a resume.
   */
  STOCHASTIC,

  /**
   * To the nearest number, of two equally near to the even one. A step smaller than half the distance of two numbers leaves x where it is,
   * however often it is made: for bfloat16 below 2^-9 to 2^-8 of |x|, for float16 below 2^-12 to 2^-11.
   */
  NEAREST,

  /**
   * Not at all: a bfloat16 parameter and the state slot {@code parameterRest} are a float32 together. The parameter is the bfloat16 that is
   * nearest to it, of two equally near ones the larger in magnitude, and the slot has the 16 bits that are left. Steps have the bits that
   * they would have over float32 parameters. It costs 2 bytes of state per element, and a step that reads and writes x moves 4 bytes more.
   * {@code build} refuses it for FLOAT16 parameters.
   */
  IN_PARTS
}
