// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.util.List;
import org.steptuner.Scope;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.TunerBuilder;

/**
 * One of the runs that are compared: the same model from the same start over the same batches, with an optimizer of its own.
 *
 * @param name on the command line and in the results
 * @param title in pictures
 * @param optimizer ready to be bound to the parameters
 * @param muon whether it takes the steps of {@link Muon} instead of gradients
 */
record Run(String name, String title, TunerBuilder<?> optimizer, boolean muon) {
  Run(String name, String title, TunerBuilder<?> optimizer) {
    this(name, title, optimizer, false);
  }

  /** Whether the rate is given and no scale learned. */
  boolean fixedRate() {
    return optimizer instanceof FixedRate;
  }

  /** The job's runs: a good rate, a rate 100 times too small, and Mechanic with nothing tuned. */
  static List<Run> all() {
    return List.of(
        new Run("adamw-1e-3", "AdamW, rate 1e-3 (tuned by hand)", FixedRate.of(1e-3, AdamW.defaults())),
        new Run("adamw-1e-5", "AdamW, rate 1e-5 (100 times too small)", FixedRate.of(1e-5, AdamW.defaults())),
        new Run("mechanic-adamw", "Mechanic over AdamW", Mechanic.tuning(AdamW.defaults())),
        new Run("mechanic-lion", "Mechanic over Lion", Mechanic.tuning(Lion.defaults())),
        new Run(
            "mechanic-adamw-per-layer", "Mechanic over AdamW, a scale per tensor", Mechanic.tuning(AdamW.defaults()).scope(Scope.TENSOR)));
  }
}
