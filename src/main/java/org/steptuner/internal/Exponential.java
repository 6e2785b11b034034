// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal;

/**
 * The exponential function of the house, with the bits of {@code math/exponential.h} in double: the same on every JVM and every device.
 * {@link Math#exp} may differ between JVMs, and {@link StrictMath#exp} has no twin on a GPU.
 *
 * <p>x = n ln 2 + r with n an integer and |r| &lt;= ln 2 / 2; exp(x) = 2^n exp(r); exp(r) by its Taylor series. Error: less than 1 ulp.
 */
public final class Exponential {
  // Beyond these the result is 0 or infinity.
  private static final double LEAST = -750;
  private static final double MOST = 715;
  private static final double INVERSE_LN2 = 0x1.71547652b82fep0;
  // Their sum is ln 2, and the high part times any n that occurs is exact.
  private static final double LN2_HIGH = 0x1.62e42feep-1;
  private static final double LN2_LOW = 0x1.a39ef35793c76p-33;
  // Added to a small number it rounds it to an integer, which then stands in the lowest bits.
  private static final double ROUNDER = 0x1.8p52;
  private static final int DEGREE = 13;
  private static final int FRACTION_BITS = 52;
  private static final long BIAS = 1023;
  private static final double[] INVERSE_FACTORIAL = inverseFactorials();

  private Exponential() {}

  /** {@code e} to the power of x. NaN stays NaN. */
  public static double of(double x) {
    final double held = x < LEAST ? LEAST : x > MOST ? MOST : x;
    final double n = (held * INVERSE_LN2 + ROUNDER) - ROUNDER;
    final double high = held - n * LN2_HIGH;
    final double low = n * LN2_LOW;
    final double r = high - low;
    double series = INVERSE_FACTORIAL[DEGREE];
    for (int k = DEGREE - 1; k >= 2; --k) series = INVERSE_FACTORIAL[k] + r * series;
    final double power = 1 + (high + (r * r * series - low));
    // In two steps: 2^n itself may be no normal number where the result is one, or is one of the subnormals.
    final double half = (n * 0.5 + ROUNDER) - ROUNDER;
    return power * powerOfTwo(half) * powerOfTwo(n - half);
  }

  /** For an integer n whose power is a normal number. */
  private static double powerOfTwo(double n) {
    return Double.longBitsToDouble((Double.doubleToRawLongBits(n + ROUNDER) + BIAS) << FRACTION_BITS);
  }

  private static double[] inverseFactorials() {
    final double[] inverse = new double[DEGREE + 1];
    inverse[0] = 1;
    for (int k = 1; k <= DEGREE; ++k) inverse[k] = inverse[k - 1] / k;
    return inverse;
  }
}
