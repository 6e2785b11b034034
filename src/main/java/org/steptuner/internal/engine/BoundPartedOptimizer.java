// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import org.steptuner.PartedOptimizer;
import org.steptuner.StepReport;

/** An optimizer whose steps are told which part of the data they have. */
final class BoundPartedOptimizer extends BoundOptimizer implements PartedOptimizer {
  private final int parts;

  BoundPartedOptimizer(Engine engine, Steps steps, int parts) {
    super(engine, steps);
    this.parts = parts;
  }

  @Override
  public StepReport step(double loss, int part) {
    if (part < 0 || part >= parts) throw new IllegalArgumentException("part must be from 0 to " + (parts - 1) + ", not " + part);
    return step(loss, true, part);
  }

  @Override
  public int parts() {
    return parts;
  }
}
