// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.steptuner.tuner.Mechanic.Variant;

/** The scalar half of Mechanic: the algorithm's lines with numbers that can be followed by hand, and what its proofs promise. */
class MechanicScalarsTest {
  private static final double[] BETAS = {0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999};

  /** One learner, beta 1/2, s_init 1/100, epsilon 1. */
  private static MechanicScalars one(Variant variant) {
    return new MechanicScalars(variant, new double[] {0.5}, 0.01, 1);
  }

  private static void assertScalars(MechanicScalars scalars, double m, double v, double r, double s) {
    assertEquals(m, scalars.m[0], 1e-15 * Math.abs(m), "m");
    assertEquals(v, scalars.v[0], 1e-15 * Math.abs(v), "v");
    assertEquals(r, scalars.r[0], 1e-15 * Math.abs(r), "r");
    assertEquals(s, scalars.s[0], 1e-15 * Math.abs(s), "s");
    assertEquals(s, scalars.scale(), 1e-15 * Math.abs(s), "scale");
  }

  @Test
  void torchByHand() {
    final MechanicScalars scalars = one(Variant.TORCH);
    assertScalars(scalars, 1e-6, 0, 0, 0);
    scalars.update(-2); // m takes |h|
    final double first = 2 * 0.01 / (2 + 1);
    assertScalars(scalars, 2, 4, 0, first);
    scalars.update(-1);
    final double second = (0.01 + first) / (Math.sqrt(2) + 1);
    assertScalars(scalars, 1, 2, first, second); // v = .25 * 4 + 1, r = .5 * 0 + first
    scalars.update(4); // r = .5 first - 4 second < 0 is stored as 0
    final double third = 4 * 0.01 / (Math.sqrt(16.5) + 1);
    assertScalars(scalars, 4, 16.5, 0, third);
    scalars.update(-1); // from the clamped r
    assertScalars(scalars, 2, 5.125, third, (0.02 + third) / (Math.sqrt(5.125) + 1));
  }

  @Test
  void optaxByHand() {
    final MechanicScalars scalars = one(Variant.OPTAX);
    assertScalars(scalars, 0, 0, 0, 0.01);
    scalars.update(-2); // clipped to the maximum so far, which is 0; m = |h| + epsilon
    final double first = 0.01 * 3 / (2 + 1);
    assertScalars(scalars, 3, 4, 0, first);
    scalars.update(-8); // clipped to -3; v takes h as it is
    final double r = 3 * first;
    final double second = (0.01 * 9 + r) / (Math.sqrt(65) + 1);
    assertScalars(scalars, 9, 65, r, second);
    scalars.update(16); // clipped to 9; r is stored below 0 and used as 0
    final double below = 0.5 * r - 9 * second;
    assertTrue(below < 0);
    final double third = 0.01 * 17 / (Math.sqrt(0.25 * 65 + 256) + 1);
    assertScalars(scalars, 17, 0.25 * 65 + 256, below, third);
    scalars.update(0);
    assertEquals(0.5 * below, scalars.r[0], 1e-18);
  }

  @Test
  void theoreticalByHand() {
    final MechanicScalars scalars = one(Variant.THEORETICAL);
    assertScalars(scalars, 0, 0, 0, 0);
    scalars.update(-2); // clipped to 0: no bet was on the table and no maximum is known
    assertScalars(scalars, 2, 0, 0, 0);
    scalars.update(-1); // q = -1, v = 1, m = 1
    final double root = Math.sqrt(4 + 1);
    final double second = 0.01 / (root + 1) * (1 / root);
    assertScalars(scalars, 1, 1, 0, second);
    assertEquals(-1, scalars.q[0]);
    scalars.update(5); // clipped to 1
    assertEquals(0.5, scalars.q[0]);
    assertScalars(scalars, 5, 1.25, -second, 0); // q > 0 says that a larger scale loses: no bet
    scalars.update(-5);
    final double wide = Math.sqrt(100 + 25 + 0.3125);
    assertScalars(scalars, 5, 25.3125, -0.5 * second, (0.01 - 0.5 * second) / (wide + 1) * 4.75 / wide);
  }

  /** At the first step Delta is 0, and so is h: the sum of the bets is then s_init 1e-6 (sum beta) / (n epsilon). */
  @Test
  void torchAfterTheFirstStep() {
    final MechanicScalars scalars = new MechanicScalars(Variant.TORCH, BETAS, 1e-8, 1e-8);
    assertEquals(0, scalars.scale());
    scalars.update(0);
    assertEquals(9.814815e-7, scalars.scale(), 5e-14);
    for (int i = 0; i < BETAS.length; ++i) assertEquals(BETAS[i] * 1e-6 / 6, scalars.s[i], 1e-20);
  }

  @Test
  void optaxStartsWithTheInitialScaleInEveryCoordinate() {
    assertEquals(6e-6, new MechanicScalars(Variant.OPTAX, BETAS, 1e-6, 1e-8).scale(), 1e-20);
    assertEquals(0, new MechanicScalars(Variant.THEORETICAL, BETAS, 1e-8, 1e-8).scale());
  }

  /** Feedback of one sign: negative h, where a larger scale would do better, makes the scale grow; positive h lets it go. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  void theBetFollowsTheSignOfTheFeedback(Variant variant) {
    final MechanicScalars scalars = new MechanicScalars(variant, BETAS, 1e-3, 1e-8);
    scalars.update(0);
    scalars.update(-1);
    double before = scalars.scale();
    for (int step = 0; step < 30; ++step) {
      scalars.update(-1);
      assertTrue(scalars.scale() > before, variant + ", step " + step);
      before = scalars.scale();
    }
    for (int step = 0; step < 200; ++step) scalars.update(1);
    assertTrue(scalars.scale() < 0.02 * before, variant + ": " + before + " -> " + scalars.scale());
  }

  /**
   * Rescaled feedback gives the same bets, to the bit where the factor is a power of two and epsilon too small to be seen. Algorithm 2
   * bets a part of a wealth that begins with the fixed W_0: its bets shrink as much as the feedback grows, and win the same.
   */
  @ParameterizedTest
  @EnumSource(Variant.class)
  void scaleFree(Variant variant) {
    final SplittableRandom random = new SplittableRandom(5);
    final MechanicScalars plain = new MechanicScalars(variant, BETAS, 1e-6, 1e-300);
    final MechanicScalars scaled = new MechanicScalars(variant, BETAS, 1e-6, 1e-300);
    for (int step = 0; step < 300; ++step) {
      final double h = step == 0 ? 1 : random.nextDouble(-2, 1.5);
      plain.update(h);
      scaled.update(h * 0x1p40);
      assertEquals(plain.scale(), scaled.scale() * (variant == Variant.THEORETICAL ? 0x1p40 : 1), "step " + step);
    }
    assertTrue(plain.scale() > 0);
  }

  /** All bets stay at or above 0 whatever comes, and finite. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  void betsAreNeverNegative(Variant variant) {
    final SplittableRandom random = new SplittableRandom(17);
    for (int run = 0; run < 50; ++run) {
      final MechanicScalars scalars = new MechanicScalars(variant, BETAS, 1e-6, 1e-8);
      for (int step = 0; step < 500; ++step) {
        final double h = random.nextDouble(-1, 1) * Math.pow(10, random.nextInt(-20, 20));
        scalars.update(random.nextInt(10) == 0 ? 0 : h);
        for (double s : scalars.s) assertTrue(s >= 0 && s <= Double.MAX_VALUE, variant + ", run " + run + ", step " + step + ": " + s);
      }
    }
  }

  /**
   * Algorithm 2 never loses all: a bet is at most half of the wealth over the largest feedback that is let through, so wealth W_0 + r
   * stays positive. The adversary always takes what hurts most within the largest |h| so far.
   */
  @ParameterizedTest
  @ValueSource(doubles = {0, 0.3, 0.5, 0.9, 0.99, 0.999999, 1})
  void theoreticalWealthStaysPositive(double beta) {
    final double wealth = 1e-8;
    for (int seed = 0; seed < 40; ++seed) {
      final SplittableRandom random = new SplittableRandom(seed);
      final MechanicScalars scalars = new MechanicScalars(Variant.THEORETICAL, new double[] {beta}, wealth, 1e-8);
      final int trust = random.nextInt(1, 40); // steps for which the adversary feeds the learner before it strikes
      for (int step = 0; step < 400; ++step) {
        final double most = step == 0 ? 1 : scalars.m[0];
        scalars.update(step % (trust + 3) < trust ? -most : seed % 2 == 0 ? most : random.nextDouble(-1, 1) * most);
        assertTrue(wealth + scalars.r[0] > 0, "beta " + beta + ", seed " + seed + ", step " + step + ": r = " + scalars.r[0]);
        assertTrue(scalars.s[0] >= 0);
      }
    }
  }
}
