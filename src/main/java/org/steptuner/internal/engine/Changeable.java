// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.function.Function;

/** An optimizer whose settings can change while its run goes on. */
public interface Changeable {
  /**
   * Goes on with other settings.
   *
   * @param tuner makes steps with them
   * @throws IllegalArgumentException if more than settings differs
   */
  void change(Settings settings, Function<Engine, TunedOptimizer> tuner);
}
