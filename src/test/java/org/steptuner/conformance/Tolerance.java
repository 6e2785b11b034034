// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import org.steptuner.DataType;

/**
 * How far a run may be from its recording at a step; how far it is, {@link Errors} measures. The largest of these:
 *
 * <ul>
 *   <li><b>The exact part</b>: 1e-10 in float64, and 1e-5 in float32, which is 170 roundings.
 *   <li><b>Rounding, amplified.</b> A closed case feeds the gradient back, a learned scale multiplies, and some runs are chaotic:
 *       two correct ones that differ by a rounding end with nothing in common. {@link Drift} measures that growth on the case
 *       itself; 10 times the drift is allowed. Over the recorded cases the worst error is 3 drifts, over a thousand random ones 7
 *       (and once 21). A wrong formula cannot hide here: it shows in the first steps, where the drift is a rounding still.
 *   <li><b>The recorded sensitivity</b> S of closed cases: by how much the reference's loss drifted from itself within the first
 *       50, 150 and all steps when the rows of the data changed places. It is the law for the loss in float64: 10 S are allowed,
 *       and the drift measured here counts only up to 100 S, so that a library less stable than its reference fails. The same
 *       growth from float32's rounding gives 2^29 times 10 S.
 *   <li><b>What the reference lost.</b> Mechanic's references take the base's step as a difference of two x, with an error of
 *       2^-53 |x|; where they store no Delta, Delta is another one, with 2^-53 |x| / S, S being the scale. Relative to Delta that
 *       is 2^-53 |x| / |x - x_1|, times S or 1: mostly nothing, but 1e-10 while S is 1e-6. {@link Candidate.Lost} says which of
 *       it a candidate does not lose too. Twice that is allowed, since v holds squares, and it grows as rounding does.
 * </ul>
 *
 * <p>From where that reaches 1/10, rounding rules the run and nothing is compared, but the run must stay finite.
 */
final class Tolerance {
  /** Not to be compared. */
  static final double ANY = Double.POSITIVE_INFINITY;

  private static final double DRIFTS = 10;
  private static final double MOST = 0.1;
  private static final double FLOAT32_UNITS = 0x1p29; // its unit of rounding in those of float64

  private final boolean float64;
  private final double exact;
  private final double unit;
  private final double[] sensitivity;
  private final Drift drift;
  private final Candidate.Lost lost;

  Tolerance(Recording recording, DataType type, Drift drift, Candidate.Lost lost) {
    float64 = type == DataType.FLOAT64;
    exact = float64 ? 1e-10 : 1e-5;
    unit = Drift.unit(type);
    sensitivity = recording.sensitivity();
    this.drift = drift;
    this.lost = lost;
  }

  /** What is allowed where nothing amplifies rounding. */
  double exact() {
    return exact;
  }

  /** What is allowed of parameters and scalars. */
  double state(int step) {
    final double amplified = DRIFTS * drift.state(step);
    return limited(float64 ? amplified : Math.max(amplified, float32(step)), step);
  }

  /** What is allowed of the loss before a step. */
  double loss(int step) {
    final double amplified = DRIFTS * drift.loss(step);
    if (!float64) return limited(Math.max(amplified, float32(step)), step);
    final double recorded = sensitivity(step);
    return limited(recorded > 0 ? Math.max(10 * recorded, Math.min(amplified, 100 * recorded)) : amplified, step);
  }

  /** Whether the recording itself rules out that a run in this type can be compared at a step. */
  boolean hopeless(int step) {
    return !float64 && float32(step) >= MOST;
  }

  private double float32(int step) {
    return FLOAT32_UNITS * 10 * sensitivity(step);
  }

  /** 0 where none was recorded, or the reference left the finite numbers. */
  private double sensitivity(int step) {
    if (sensitivity.length == 0) return 0;
    final double recorded = sensitivity[step <= 50 ? 0 : step <= 150 ? 1 : 2];
    return Double.isNaN(recorded) ? 0 : recorded;
  }

  private double limited(double amplified, int step) {
    final double growth = Math.max(1, drift.state(step) / unit);
    final double allowed = Math.max(amplified, 2 * drift.lost(step, lost) * growth);
    return allowed < MOST ? Math.max(exact, allowed) : ANY;
  }
}
