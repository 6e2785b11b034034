// SPDX-License-Identifier: Apache-2.0
package org.steptuner.curvature;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.steptuner.curvature.EdgeModel.State;

/** What the paper says of its models; that they follow its recurrences to the last digit is the conformance run's matter. */
class EdgeModelTest {
  /** Figure 4: at a constant rate sharpness swings about 2 / rate; kept below the edge it grows for ever. */
  @Test
  void aTunerBelowTheEdgeLosesItsHoldOnSharpness() {
    final List<State> constant = EdgeModel.of(0.03, 0.3).constantRate(1, 0.31, 1.99, 100);
    double least = Double.POSITIVE_INFINITY, most = 0;
    for (State state : constant) {
      least = Math.min(least, state.lambda());
      most = Math.max(most, state.lambda());
    }
    assertTrue(least > 1.8 && most < 2.2 && least < 2 && most > 2, least + " to " + most);
    final List<State> tuned = EdgeModel.of(1, 0.5).belowTheEdge(0.05, 1, 1, 1.9, 300);
    for (int t = 1; t < tuned.size(); ++t) {
      assertEquals(-0.1, tuned.get(t).y(), 1e-12);
      assertTrue(tuned.get(t).lambda() > tuned.get(t - 1).lambda() && tuned.get(t).eta() < tuned.get(t - 1).eta());
    }
    assertTrue(tuned.get(300).p() < 1e-20 && tuned.get(300).lambda() > 15 * tuned.get(0).lambda());
  }

  /** Figure 9: with sigma 2, CDAT holds y at the edge and sharpness down; a little less lets it creep up, with y above 2 - sigma. */
  @Test
  void cdatComesBackToTheEdge() {
    final EdgeModel model = EdgeModel.of(0.05, 0.1);
    final List<State> onEdge = model.cdat(2, 0.1, 0.05, 4, 4, 18, 1000);
    final List<State> below = model.cdat(1.9, 0.1, 0.05, 4, 4, 18, 1000);
    assertEquals(1001, onEdge.size());
    assertEquals(0, onEdge.get(1000).y(), 1e-3);
    for (int t = 100; t <= 1000; ++t) assertTrue(below.get(t).y() > -0.1 && below.get(t).y() < 0, "y at " + t + " is " + below.get(t).y());
    assertTrue(below.get(1000).lambda() > onEdge.get(1000).lambda());
  }

  @Test
  void bothFormsOfTheFirstModelAreOne() {
    final EdgeModel model = EdgeModel.of(0.03, 0.3);
    final List<State> states = model.constantRate(0.5, -0.4, 3.9, 50);
    for (int t = 0; t < 50; ++t) {
      final State now = states.get(t);
      final State next = states.get(t + 1);
      assertEquals((1 + now.y()) * (1 + now.y()) * now.p(), next.p(), 1e-12);
      assertEquals(0.5 * 0.5 * (0.03 - 0.3 * now.p()) + now.y(), next.y(), 1e-12);
    }
  }

  @Test
  void badValuesAreRefused() {
    final EdgeModel model = EdgeModel.of(1, 1);
    assertThrows(IllegalArgumentException.class, () -> EdgeModel.of(Double.NaN, 1));
    assertThrows(IllegalArgumentException.class, () -> EdgeModel.of(1, -1));
    assertThrows(IllegalArgumentException.class, () -> model.constantRate(0, 1, 1, 1));
    assertThrows(IllegalArgumentException.class, () -> model.constantRate(1, 1, 1, -1));
    assertThrows(IllegalArgumentException.class, () -> model.belowTheEdge(Double.NaN, 1, 1, 1, 1));
    assertThrows(IllegalArgumentException.class, () -> model.cdat(2, 0, 1, 1, 1, 1, 1));
  }
}
