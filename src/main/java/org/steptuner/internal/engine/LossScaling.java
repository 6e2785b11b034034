// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import org.steptuner.LossScale;

/** The loss scale of a run: the factor that the loss has been multiplied by, and how it changes. */
final class LossScaling {
  private final LossScale settings;
  private double scale;
  private double made; // steps in a row since the scale changed, a whole number

  LossScaling(LossScale settings) {
    this.settings = settings;
    scale = settings.initial();
  }

  /**
   * With other settings.
   *
   * @param before what goes on, within the new bounds; null: a first step comes
   */
  LossScaling(LossScale settings, LossScaling before) {
    this(settings);
    if (before == null) return;
    scale = within(before.scale);
    made = before.made;
  }

  private double within(double value) {
    return Math.min(Math.max(value, settings.smallest()), settings.largest());
  }

  /** The factor of the coming backward pass. */
  double scale() {
    return scale;
  }

  /** A step was made: after enough of them the scale grows. */
  void made() {
    if (++made < settings.interval()) return;
    made = 0;
    scale = Math.min(scale * settings.growth(), settings.largest());
  }

  /**
   * A step was skipped, because its gradients were not finite.
   *
   * @return whether the scale is less now
   */
  boolean overflowed() {
    final double before = scale;
    made = 0;
    scale = Math.max(scale * settings.backoff(), settings.smallest());
    return scale < before;
  }

  /** Names what is saved with a run; a checkpoint may lack it, and then the scale is that of a first step. */
  void name(Scalars to) {
    to.optional("lossScale", () -> scale, value -> scale = within(value));
    to.optional("lossScaleSteps", () -> made, value -> made = value);
  }
}
