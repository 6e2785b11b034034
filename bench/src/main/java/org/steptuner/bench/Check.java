// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.Locale;

/** Whether two contenders do the same work: what is timed against each other must first move parameters alike. */
final class Check {
  static final long SIZE = 10_007;
  static final int STEPS = 5;
  /** Of the difference, relative to the largest movement of a parameter: below it lies rounding, above it another formula. */
  static final double TOLERANCE = 0.01;

  private Check() {}

  /**
   * Fails the run unless both end up alike.
   *
   * @param first what every parameter was
   */
  static void same(String ours, float[] a, String peer, float[] b, float[] first) {
    double moved = 0;
    double apart = 0;
    for (int i = 0; i < a.length; ++i) {
      moved = Math.max(moved, Math.abs(a[i] - first[i]));
      apart = Math.max(apart, Math.abs(a[i] - b[i]));
    }
    if (!(moved > 0) || !(apart <= TOLERANCE * moved))
      throw new IllegalStateException(
          String.format(Locale.ROOT, "%s and %s do not do the same: after %d steps they are %.3g apart, having moved %.3g", ours, peer,
              STEPS, apart, moved));
    System.out.printf(Locale.ROOT, "checked: %s = %s within %.1e of the movement%n", ours, peer, apart / moved);
  }

  /** The same for contenders over models that share their gradients with {@code gradients}. */
  static void same(Model gradients, Contender ours, Model oursModel, Contender peer, Model peerModel) {
    final float[] first = oursModel.values();
    for (int step = 0; step < STEPS; ++step) {
      gradients.newGradients(100 + step);
      ours.run();
      peer.run();
    }
    same(ours.name(), oursModel.values(), peer.name(), peerModel.values(), first);
  }
}
