// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import org.steptuner.tuner.DAdaptation;
import org.steptuner.tuner.DistanceAdaptation;
import org.steptuner.tuner.Prodigy;

/** The kinds {@code dadaptation} and {@code prodigy} with a variant: the forms that the papers analyse. */
final class DistanceCases {
  private DistanceCases() {}

  static DistanceAdaptation dAdaptation(Fields optimizer) {
    final String variant = optimizer.text("variant");
    final DistanceAdaptation tuner =
        switch (variant) {
          case "dual_averaging" -> DAdaptation.dualAveraging();
          case "gradient_descent" -> DAdaptation.gradientDescent();
          default -> throw new UnsupportedException("variant '" + variant + "' of kind 'dadaptation'");
        };
    if (optimizer.flag("resetting", false)) tuner.resetting();
    return bounded(tuner, optimizer);
  }

  static DistanceAdaptation prodigy(Fields optimizer) {
    final String variant = optimizer.text("variant");
    final DistanceAdaptation tuner =
        switch (variant) {
          case "gradient_descent" -> Prodigy.gradientDescent();
          case "dual_averaging" -> Prodigy.dualAveraging();
          default -> throw new UnsupportedException("variant '" + variant + "' of kind 'prodigy'");
        };
    return bounded(tuner, optimizer);
  }

  // G is absent or null where it is what the form has by itself.
  private static DistanceAdaptation bounded(DistanceAdaptation tuner, Fields optimizer) {
    tuner.initialRate(optimizer.number("d0"));
    return optimizer.has("G") ? tuner.gradientBound(optimizer.number("G")) : tuner;
  }
}
