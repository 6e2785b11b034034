// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.tuner.TunerBuilder;

/** A step of ours, or of its twin. */
record Step(String name, Model model, Optimizer optimizer) implements Contender {
  static Step of(String name, Device device, Model model, TunerBuilder<?> tuner) {
    return new Step(name, model, tuner.build(model.on(device)));
  }

  @Override
  public void run() {
    if (optimizer.step().skipped()) throw new IllegalStateException(name + ": a skipped step is no work to be timed");
  }

  @Override
  public boolean countsAllocation() {
    return true;
  }

  double words() {
    return optimizer.wordsPerElement();
  }

  @Override
  public void close() {
    optimizer.close();
    model.close();
  }
}
