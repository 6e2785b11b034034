// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

/**
 * The sweeps of an arrangement, and the names under which the first one has the sums of h's terms.
 *
 * @see #of
 */
enum MechanicArrangement {
  OBSERVE_APPLY("mechanic_observe", false, "mechanic_apply", true, null, null),
  ACCUMULATE_SCALE("mechanic_accumulate", true, "mechanic_scale", false, "deltaTrial", "trialSquare"),
  RECOMPUTED_PLAIN("mechanic_observe_plain", false, "mechanic_apply_recomputed", true, "deltaParameter", "parameterSquare"),
  RECOMPUTED_TRIAL("mechanic_observe_recomputed", true, "mechanic_apply_recomputed", true, "deltaTrial", "trialSquare");

  final String first;
  final boolean ruleInFirst;
  final String second;
  final boolean ruleInSecond;
  final String deltaPoint; // null: summed by the second sweep of the step before
  final String pointSquare;

  MechanicArrangement(String first, boolean ruleInFirst, String second, boolean ruleInSecond, String deltaPoint, String pointSquare) {
    this.first = first;
    this.ruleInFirst = ruleInFirst;
    this.second = second;
    this.ruleInSecond = ruleInSecond;
    this.deltaPoint = deltaPoint;
    this.pointSquare = pointSquare;
  }

  static MechanicArrangement of(Mechanic settings) {
    final boolean trial = settings.variant == Mechanic.Variant.TORCH && settings.decay > 0;
    if (settings.delta() == Mechanic.Delta.RECOMPUTED) return trial ? RECOMPUTED_TRIAL : RECOMPUTED_PLAIN;
    return trial ? ACCUMULATE_SCALE : OBSERVE_APPLY;
  }

  // The sums of an accumulating sweep come too late to stop it, and a trial step must know what clipping makes of the gradient.
  boolean guarded(Mechanic settings) {
    return switch (this) {
      case OBSERVE_APPLY, RECOMPUTED_PLAIN -> false;
      case ACCUMULATE_SCALE -> settings.needsNorm();
      case RECOMPUTED_TRIAL -> settings.clips();
    };
  }
}
