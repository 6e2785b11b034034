// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import org.steptuner.rule.Coefficients;

/** Steps of a rule at given rates: one for all, or one for each scope, where tuning has ended. */
public final class FixedSteps extends TunedOptimizer {
  private final double baseRate;
  private final double[] rates; // by scope; null: the base rate for all
  private final double[] scales; // by scope: what had been learned
  private final Sweep sweep;

  /** One rate for all. */
  public FixedSteps(Engine engine, double rate) {
    this(engine, rate, null, null);
  }

  /**
   * A run whose tuning has ended.
   *
   * @param baseRate the tuner's, which reports go on with
   * @param rates by scope, without the factors of schedule and groups
   * @param scales by scope, which reports go on with
   */
  FixedSteps(Engine engine, double baseRate, double[] rates, double[] scales) {
    super(engine);
    this.baseRate = baseRate;
    this.rates = rates;
    this.scales = scales;
    sweep = plan.bind("fixed_rate", ruleKernel());
  }

  /** The same at the same rates. */
  FixedSteps(Engine engine, FixedSteps before) {
    this(engine, before.baseRate, before.rates.clone(), before.scales.clone());
  }

  /** Whether a tuner has found the rates. */
  boolean endsTuning() {
    return rates != null;
  }

  @Override
  protected double baseRate() {
    return baseRate;
  }

  @Override
  protected boolean advance(long step) {
    if (!guard.guard()) return false;
    sweep.put("gradientScale", sourceScale());
    for (int segment = 0; segment < plan.segments(); ++segment) {
      putRates(segment);
      sweep.set(segment);
    }
    sweep.runLast();
    return true;
  }

  private void putRates(int segment) {
    if (rates == null) {
      putRule(sweep, segment);
      return;
    }
    final int group = plan.group(segment);
    putGroupRule(sweep, group, effectiveRate(plan.scope(segment)) * rateFactor(group));
  }

  @Override
  protected DeviceScalars onDevice() {
    if (rates != null) return null;
    return new DeviceScalars("fixed_rate", guard.sweep(), sweep) {
      @Override
      protected void settings(Coefficients to) {
        to.put("supplied", Kernel.takesUpdates(ruleKernel()) ? 1 : 0);
      }

      @Override
      protected void put(int segment) {
        sweep.put("gradientScale", 1);
        putRates(segment);
      }
    };
  }

  @Override
  protected String whyNotOnDevice() {
    return "a run whose tuning has ended has its rates in Java";
  }

  @Override
  protected double learnedScale(int scope) {
    return rates == null ? 1 : scales[scope];
  }

  @Override
  protected double effectiveRate(int scope) {
    return rates == null ? report.rate : rates[scope] * scheduleFactor();
  }

  @Override
  protected int sweepWords() {
    return sweep.words();
  }

  @Override
  protected void name(Scalars to) {
    if (rates != null) to.perScope("rate", rates).perScope("learned_scale", scales);
  }
}
