// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.steptuner.Scope;
import org.steptuner.rule.SuppliedUpdate;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;

/** {@link Muon} at the rates of a grid, and under Mechanic, which is given none. */
final class MuonRuns {
  static final double[] RATES = {0.001, 0.003, 0.01, 0.03, 0.1};

  private MuonRuns() {}

  static List<Run> all() {
    final List<Run> runs = new ArrayList<>();
    for (double rate : RATES) {
      final String text = String.format(Locale.ROOT, "%.3f", rate);
      runs.add(new Run("muon-" + text, "Muon, rate " + text, FixedRate.of(rate, new SuppliedUpdate()), true));
    }
    runs.add(new Run("mechanic-muon", "Mechanic over Muon", Mechanic.tuning(new SuppliedUpdate()), true));
    runs.add(
        new Run(
            "mechanic-muon-per-layer", "Mechanic over Muon, a scale per tensor",
            Mechanic.tuning(new SuppliedUpdate()).scope(Scope.TENSOR), true));
    return runs;
  }
}
