// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigDecimal;
import java.math.MathContext;
import org.junit.jupiter.api.Test;

/** The exponential in Java: its accuracy, and that it has the bits of the native one. */
class ExponentialTest {
  private static final MathContext DIGITS = new MathContext(60);

  /** e to the power of x / 1024, by its series, and then squared ten times. */
  private static BigDecimal exact(double x) {
    final BigDecimal small = new BigDecimal(x).divide(BigDecimal.valueOf(1024), DIGITS);
    BigDecimal sum = BigDecimal.ONE;
    BigDecimal term = BigDecimal.ONE;
    for (int k = 1; k <= 60; ++k) {
      term = term.multiply(small, DIGITS).divide(BigDecimal.valueOf(k), DIGITS);
      sum = sum.add(term, DIGITS);
    }
    return sum.pow(1024, DIGITS);
  }

  @Test
  void isWithinOneUnitInTheLastPlace() {
    final Twins draws = new Twins(5);
    double worst = 0;
    for (int i = 0; i < 2000; ++i) {
      final double x = i % 2 == 0 ? draws.uniform(-744, 709.7) : draws.uniform(-1, 1);
      final double seen = Exponential.of(x);
      final BigDecimal error = exact(x).subtract(new BigDecimal(seen)).abs();
      worst = Math.max(worst, error.divide(new BigDecimal(Math.ulp(seen)), DIGITS).doubleValue());
    }
    assertTrue(worst < 1, "an error of " + worst + " ulp");
    for (int i = 0; i < 1_000_000; ++i) {
      final double x = draws.uniform(-746, 710);
      final double wanted = StrictMath.exp(x);
      assertEquals(wanted, Exponential.of(x), 2 * Math.ulp(wanted), () -> "exp(" + x + ")");
    }
  }

  @Test
  void ends() {
    assertEquals(1, Exponential.of(0));
    assertEquals(1, Exponential.of(-0.0));
    assertEquals(Double.POSITIVE_INFINITY, Exponential.of(Double.POSITIVE_INFINITY));
    assertEquals(0, Exponential.of(Double.NEGATIVE_INFINITY));
    assertEquals(Double.NaN, Exponential.of(Double.NaN));
    assertEquals(Double.POSITIVE_INFINITY, Exponential.of(709.8));
    assertEquals(0, Exponential.of(-745.2));
    assertEquals(Double.MIN_VALUE, Exponential.of(-745));
  }

  @Test
  void hasTheBitsOfTheNativeOne() {
    final Twins twins = new Twins(1);
    for (int i = 0; i < 1_000_000; ++i) twins.take(Exponential.of(twins.uniform(-760, 720)));
    for (int i = 0; i < 1_000_000; ++i) twins.take(Exponential.of(twins.uniform(-1, 1)));
    for (int i = 0; i < 10_000; ++i) twins.take(Exponential.of(twins.number(4)));
    twins.check("exponential");
  }
}
