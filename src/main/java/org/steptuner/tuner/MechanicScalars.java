// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Arrays;

/**
 * The scalar half of Mechanic (algorithm 1 of the paper, lines 10 to 16, and algorithm 2): n learners with discounts beta_i share the
 * feedback h; the scale is the sum of what they bet.
 *
 * <p>h = &lt;Delta, g + decay term&gt; is the derivative of the loss by the scale: negative where a larger scale would do better.
 */
final class MechanicScalars {
  /** What variant TORCH has for the largest |h| before there was any. */
  static final double FIRST_MAXIMUM = 1e-6;

  private final Mechanic.Variant variant;
  private final double[] beta;
  private final double initialScale; // s_init, and for the theoretical variant the initial wealth
  private final double epsilon;

  final double[] s; // bets
  final double[] r; // rewards
  final double[] v; // discounted squares of h
  final double[] m; // discounted maxima of |h|
  final double[] q; // discounted sums of h; theoretical variant only
  double h; // the last feedback

  MechanicScalars(Mechanic.Variant variant, double[] beta, double initialScale, double epsilon) {
    this.variant = variant;
    this.beta = beta;
    this.initialScale = initialScale;
    this.epsilon = epsilon;
    final int n = beta.length;
    s = new double[n];
    r = new double[n];
    v = new double[n];
    m = new double[n];
    q = new double[n];
    switch (variant) {
      case TORCH -> Arrays.fill(m, FIRST_MAXIMUM);
      case OPTAX -> Arrays.fill(s, initialScale);
      case THEORETICAL -> {}
    }
  }

  /** The scale: the sum of s. */
  double scale() {
    double sum = 0;
    for (double bet : s) sum += bet;
    return sum;
  }

  /** Takes the feedback that the current bets earned, and places the next bets. */
  void update(double feedback) {
    h = feedback;
    for (int i = 0; i < beta.length; ++i) {
      switch (variant) {
        case TORCH -> torch(i);
        case OPTAX -> optax(i);
        case THEORETICAL -> theoretical(i);
      }
    }
  }

  // The reward never goes below 0, and what is stored is the clamped one. m takes |h|: with h as printed, s stays 0 where h < 0.
  private void torch(int i) {
    m[i] = Math.max(beta[i] * m[i], Math.abs(h));
    v[i] = beta[i] * beta[i] * v[i] + h * h;
    r[i] = Math.max(0, beta[i] * r[i] - s[i] * h);
    s[i] = (m[i] * initialScale / beta.length + r[i]) / (Math.sqrt(v[i]) + epsilon);
  }

  // The reward is clamped where it is used but stored as it is; h is clipped to the largest seen before.
  private void optax(int i) {
    final double clipped = clip(h, m[i]);
    m[i] = Math.max(beta[i] * m[i], Math.abs(h) + epsilon);
    v[i] = beta[i] * beta[i] * v[i] + h * h;
    r[i] = beta[i] * r[i] - clipped * s[i];
    s[i] = (initialScale / beta.length * m[i] + Math.max(0, r[i])) / (Math.sqrt(v[i]) + epsilon);
  }

  // Algorithm 2. The printed q has the wrong sign for a bet: the proof (appendix C.3) uses clip(-q / sqrt(4 m^2 + v), 0, 1), with q
  // and v of the clipped h, and m of |h|.
  private void theoretical(int i) {
    final double clipped = clip(h, m[i]);
    m[i] = Math.max(beta[i] * m[i], Math.abs(h));
    q[i] = beta[i] * q[i] + clipped;
    r[i] = beta[i] * r[i] - s[i] * clipped;
    v[i] = beta[i] * beta[i] * v[i] + clipped * clipped;
    final double root = Math.sqrt(4 * m[i] * m[i] + v[i]);
    final double confidence = root > 0 ? Math.min(1, Math.max(0, -q[i] / root)) : 0;
    s[i] = root > 0 ? (initialScale + r[i]) / (root + epsilon) * confidence : 0;
  }

  private static double clip(double value, double bound) {
    return Math.min(bound, Math.max(-bound, value));
  }
}
