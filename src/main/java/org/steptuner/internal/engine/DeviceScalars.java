// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.HashMap;
import java.util.Map;
import org.steptuner.rule.Coefficients;
import org.steptuner.rule.Rule;
import org.steptuner.rule.RuleStep;

/**
 * What a tuner says of itself to have its scalars computed on the device: which machine does it, between which sweeps, and what the machine
 * has to know. The state of the machine needs no word: it has the names that the tuner gives its scalars in checkpoints.
 */
public abstract class DeviceScalars {
  private static final double PROBED_RATE = 0.5;

  final String machine;
  final Sweep first;
  final Sweep second;

  /**
   * @param machine the name of the machine
   * @param first the sweep that reads before the scalars are computed; null for none
   * @param second the sweep after that
   */
  protected DeviceScalars(String machine, Sweep first, Sweep second) {
    this.machine = machine;
    this.first = first;
    this.second = second;
  }

  /** Puts the machine's settings. */
  protected abstract void settings(Coefficients to);

  /** The list of the machine, if it has one. */
  protected double[] list() {
    return new double[0];
  }

  /**
   * Puts all coefficients of both sweeps for a segment in the step that has begun. What the machine decides may have any value, if the
   * machine always puts it.
   */
  protected abstract void put(int segment);

  /** Puts the numbers of the machine's row for the group of a segment in that step. */
  protected void row(int segment, Coefficients to) {}

  /** Before the first of the steps: does what the first step of a run does besides. */
  protected void begin() {}

  /** After the last of them. */
  protected void end() {}

  /** Whether decoupled decay is in one coefficient of a rule alone, {@code shrinkage}, which is the rate times the decay. */
  public static boolean decayOnlyShrinks(Rule rule) {
    final Map<String, Double> with = coefficients(rule, 1);
    final Map<String, Double> without = coefficients(rule, 0);
    final Double shrinkage = with.remove("shrinkage");
    without.remove("shrinkage");
    return shrinkage != null && shrinkage == PROBED_RATE && with.equals(without);
  }

  private static Map<String, Double> coefficients(Rule rule, double decay) {
    final Map<String, Double> put = new HashMap<>();
    final RuleStep step = new RuleStep() {
      @Override
      public double rate() {
        return PROBED_RATE;
      }

      @Override
      public long number() {
        return 1;
      }

      @Override
      public double decay(double weightDecay) {
        return decay;
      }

      @Override
      public double proximalDecay(double weightDecay) {
        return decay;
      }
    };
    rule.coefficients(step, new Coefficients() {
      @Override
      public Coefficients put(String name, double value) {
        put.put(name, value);
        return this;
      }
    });
    return put;
  }
}
