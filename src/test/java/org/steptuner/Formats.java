// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/**
 * Element types by their definition, sign, exponent and fraction, in double arithmetic: it shares nothing with the bit tricks of the
 * library that it judges.
 */
public final class Formats {
  private Formats() {}

  /** The value of a bit pattern. */
  public static double decode(DataType type, long bits) {
    return switch (type) {
      case FLOAT64 -> Double.longBitsToDouble(bits);
      case FLOAT32 -> Float.intBitsToFloat((int) bits);
      case BFLOAT16 -> decode(bits, 8, 7);
      case FLOAT16 -> decode(bits, 5, 10);
    };
  }

  /** The pattern of the nearest value, ties to even; the quiet NaN without payload for NaN. */
  public static long encode(DataType type, double value) {
    return switch (type) {
      case FLOAT64 -> Double.doubleToLongBits(value);
      case FLOAT32 -> Float.floatToIntBits((float) value);
      case BFLOAT16 -> encode(value, 8, 7);
      case FLOAT16 -> encode(value, 5, 10);
    };
  }

  /** The nearest value of a type, ties to even. */
  public static double round(DataType type, double value) {
    return decode(type, encode(type, value));
  }

  private static double decode(long bits, int exponentBits, int fractionBits) {
    final int bias = (1 << (exponentBits - 1)) - 1;
    final int exponent = (int) (bits >> fractionBits) & ((1 << exponentBits) - 1);
    final int fraction = (int) bits & ((1 << fractionBits) - 1);
    final double sign = (bits >> (exponentBits + fractionBits) & 1) == 0 ? 1 : -1;
    if (exponent == (1 << exponentBits) - 1) return fraction == 0 ? sign * Double.POSITIVE_INFINITY : Double.NaN;
    if (exponent == 0) return sign * Math.scalb((double) fraction, 1 - bias - fractionBits);
    return sign * Math.scalb((double) ((1 << fractionBits) + fraction), exponent - bias - fractionBits);
  }

  private static long encode(double value, int exponentBits, int fractionBits) {
    final int bias = (1 << (exponentBits - 1)) - 1;
    final long infinity = ((1L << exponentBits) - 1) << fractionBits;
    final long sign = Double.doubleToRawLongBits(value) >>> 63 << (exponentBits + fractionBits);
    if (Double.isNaN(value)) return infinity | 1L << (fractionBits - 1);
    final double magnitude = Math.abs(value);
    if (Double.isInfinite(value)) return sign | infinity;
    // In units of the last place a value is a whole number; where rounding carries, it carries into the exponent as it should.
    final int exponent = Math.max(Math.getExponent(magnitude), 1 - bias);
    final long units = (long) Math.rint(Math.scalb(magnitude, fractionBits - exponent));
    final long pattern = ((long) (exponent + bias - 1) << fractionBits) + units;
    return sign | Math.min(pattern, infinity);
  }
}
