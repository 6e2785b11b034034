// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import org.steptuner.DataType;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/** What {@link StorageJob} compares. */
final class StorageRuns {
  private StorageRuns() {}

  /** How weights are trained. */
  enum Tuner {
    ADAMW("AdamW, 1e-3"),
    LION("Lion, 1e-4"),
    MECHANIC("Mechanic over AdamW"),
    PRODIGY("Prodigy");

    private final String title;

    Tuner(String title) {
      this.title = title;
    }

    String title() {
      return title;
    }

    private TunerBuilder<?> builder() {
      return switch (this) {
        case ADAMW -> FixedRate.of(1e-3, AdamW.defaults());
        case LION -> FixedRate.of(1e-4, Lion.defaults());
        case MECHANIC -> Mechanic.tuning(AdamW.defaults());
        case PRODIGY -> Prodigy.tuning(AdamW.defaults());
      };
    }
  }

  /** What weights (gradients and activations with them) and state are. */
  enum Storage {
    FLOAT32("float32", DataType.FLOAT32, DataType.FLOAT32),
    STATE("state bfloat16", DataType.FLOAT32, DataType.BFLOAT16),
    ALL("weights and state bfloat16", DataType.BFLOAT16, DataType.BFLOAT16);

    private final String title;
    private final DataType weights;
    private final DataType state;

    Storage(String title, DataType weights, DataType state) {
      this.title = title;
      this.weights = weights;
      this.state = state;
    }

    String title() {
      return title;
    }

    DataType weights() {
      return weights;
    }
  }

  static Run run(Tuner tuner, Storage storage) {
    return new Run(
        tuner.name() + "-" + storage.name(), tuner.title() + ", " + storage.title(), tuner.builder().stateStorage(storage.state));
  }
}
