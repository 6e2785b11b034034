// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.steptuner.rule.Adam;
import org.steptuner.rule.Lion;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;

/** The scalar state machine by itself, against numbers worked out by hand. */
class MetaScalarsTest {
  private static final double BETA = Math.log(0.5);

  private static MetaOptimize settings(MetaOptimize.Variant variant, Rule meta) {
    return MetaOptimize.tuning(SGD.defaults()).variant(variant).meta(meta).metaStepSize(0.1).initialStepSize(0.5);
  }

  private static MetaScalars after(MetaOptimize settings, double... feedback) {
    final MetaScalars scalars = new MetaScalars(settings);
    for (int i = 0; i < feedback.length; ++i) {
      scalars.correct(i + 1);
      scalars.update(feedback[i], 0);
    }
    return scalars;
  }

  private static double change(MetaOptimize.Variant variant, Rule meta, double... feedback) {
    return after(settings(variant, meta), feedback).beta - BETA;
  }

  @Test
  void aZOfZeroChangesNothing() {
    for (MetaOptimize.Variant variant : MetaOptimize.Variant.values())
      for (Rule meta : new Rule[] {SGD.defaults(), RMSProp.defaults(), Adam.defaults(), Lion.defaults()})
        assertEquals(0, change(variant, meta, 0, 0));
    final Rule noEpsilon = Adam.defaults().epsilon(0);
    assertEquals(0, change(MetaOptimize.Variant.PACKAGE, noEpsilon, 0, 0));
  }

  @Test
  void paperCode() {
    final MetaOptimize.Variant variant = MetaOptimize.Variant.PAPER_CODE;
    assertEquals(-0.1 * (3 - 1), change(variant, SGD.defaults(), 3, -1), 1e-15);
    // mu = 1, then 1 / 1.5: v = 4, then 0.5 * 4 + 16 = 18.
    assertEquals(-0.1 * (1 + 4 / Math.sqrt(18 / 1.5)), change(variant, RMSProp.defaults().alpha(0.5), 2, 4), 1e-10);
    // m = 2, then 0.25 * 2 + 4, a sum.
    assertEquals(-0.1 * (1 + 4.5 / Math.sqrt(18 / 1.5)), change(variant, Adam.defaults().betas(0.25, 0.5), 2, 4), 1e-10);
    // The blend takes the old m: 0.5 * 0 + 0.5 * 2 > 0, then 0.5 * 0.2 - 0.5 * 0.3 < 0.
    assertEquals(0, change(variant, Lion.defaults().betas(0.5, 0.9), 2, -0.3), 1e-15);
    assertEquals(-0.2, change(variant, Lion.defaults().betas(0.5, 0.9), 2, -0.1), 1e-15);
  }

  @Test
  void packaged() {
    final MetaOptimize.Variant variant = MetaOptimize.Variant.PACKAGE;
    assertEquals(0.1 * (3 - 1), change(variant, SGD.defaults(), 3, -1), 1e-15);
    final Rule adam = Adam.defaults().betas(0.25, 0.5).epsilon(0);
    // Corrected means: 2 and (0.25 * 1.5 + 0.75 * 4) / (1 - 1/16) = 3.6; squares 4 and (0.5 * 2 + 0.5 * 16) / 0.75 = 12.
    assertEquals(0.1 * (1 + 3.6 / Math.sqrt(12)), change(variant, adam, 2, 4), 1e-14);
    // The blend takes the new m: with 0.1 * -1.5 the sign is that of 0.5 (0.9 * 0.2 - 0.15) - 0.5 * 1.5.
    assertEquals(0, change(variant, Lion.defaults().betas(0.5, 0.9), 2, -1.5), 1e-15);
    assertEquals(0.2, change(variant, Lion.defaults().betas(0.99, 0.9), 2, -1.5), 1e-15);
  }

  @Test
  void aZWhoseSquareIsNotFiniteIsOnlyNoted() {
    for (double z : new double[] {Double.NaN, Double.NEGATIVE_INFINITY, 1e200}) {
      final MetaScalars scalars = after(settings(MetaOptimize.Variant.PAPER_CODE, Adam.defaults()), 1, z);
      final MetaScalars before = after(settings(MetaOptimize.Variant.PAPER_CODE, Adam.defaults()), 1);
      assertEquals(before.beta, scalars.beta);
      assertEquals(before.m, scalars.m);
      assertEquals(before.v, scalars.v);
      assertEquals(z, scalars.z);
    }
  }

  @Test
  void boundsAndCap() {
    final MetaOptimize settings = settings(MetaOptimize.Variant.PAPER_CODE, SGD.defaults()).stepSizeBounds(0.3, 1);
    assertEquals(0.3, after(settings, 100).stepSize(), 1e-15);
    assertEquals(1, after(settings, -100).stepSize(), 1e-15);
    settings.largestChange(1.25);
    assertEquals(0.5 / 1.25, after(settings, 100).stepSize(), 1e-15);
    assertEquals(0.5 * 1.25 * 1.25, after(settings, -100, -50).stepSize(), 1e-15);
  }
}
