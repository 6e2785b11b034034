// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.ParameterSet;

/** What settings of tuners must be; a value that is not is an {@link IllegalArgumentException} that names it. */
final class Check {
  private Check() {}

  static double rate(double value) {
    return notNegative("rate", value);
  }

  static double notNegative(String name, double value) {
    if (!(value >= 0 && value <= Double.MAX_VALUE))
      throw new IllegalArgumentException(name + " must be finite and not negative, not " + value);
    return value;
  }

  static double positive(String name, double value) {
    if (!(value > 0 && value <= Double.MAX_VALUE))
      throw new IllegalArgumentException(name + " must be finite and positive, not " + value);
    return value;
  }

  /** Refuses 16-bit parameters. */
  static void wide(ParameterSet parameters, String what, String why) {
    for (ParameterSet.Tensor tensor : parameters.tensors())
      if (tensor.parameterType().bytes() < 4)
        throw new IllegalArgumentException(
            what + " needs FLOAT32 or FLOAT64 parameters, and tensor '" + tensor.name() + "' is " + tensor.parameterType() + ": " + why);
  }

  /** Of tuners that raise their rate from a first one. */
  static void maxRate(double maxRate, double initialRate) {
    if (maxRate < initialRate)
      throw new IllegalArgumentException("maxRate must not be less than initialRate, " + initialRate + ", and is " + maxRate);
  }

  /** Greater than 0 and at least {@code least}; infinity is no limit. */
  static double limit(String name, double value, double least) {
    if (!(value > 0 && value >= least))
      throw new IllegalArgumentException(name + " must be " + (least > 0 ? "at least " + least : "positive") + ", not " + value);
    return value;
  }

  /** The factor of a step that makes {@code growth}, finite and at least 1, in an epoch of so many steps, 1 or more. */
  static double growth(String name, double growth, long stepsPerEpoch) {
    if (!(growth >= 1 && growth <= Double.MAX_VALUE))
      throw new IllegalArgumentException(name + " must be finite and at least 1, not " + growth);
    if (stepsPerEpoch < 1) throw new IllegalArgumentException("stepsPerEpoch must be 1 or more, not " + stepsPerEpoch);
    return StrictMath.pow(growth, 1.0 / stepsPerEpoch); // the same bits in every JVM
  }
}
