// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.List;
import java.util.Map;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.internal.Sweep;
import org.steptuner.rule.Rule;

/**
 * A rule at the rate that it is told: {@code x <- x + u(g, x; rate * schedule)}.
 *
 * <p>Words per element: AdamW 7, RMSProp 5, AdaGrad 5, Lion 5, SGD with momentum 5, SGD 3; one more for the guard against non-finite
 * gradients or for clipping, unless both are off.
 */
public final class FixedRate extends TunerBuilder<FixedRate> {
  private final double rate;

  private FixedRate(double rate, Rule rule) {
    super(rule);
    this.rate = checkRate(rate);
  }

  /**
   * A rule at a rate.
   *
   * @param rate finite and not negative
   */
  public static FixedRate of(double rate, Rule rule) {
    return new FixedRate(rate, rule);
  }

  @Override
  public Optimizer build(ParameterSet parameters) {
    return new FixedRateOptimizer(this, parameters);
  }

  @Override
  String description() {
    return "FixedRate[rate=" + rate + common() + "]";
  }

  private static final class FixedRateOptimizer extends TunedOptimizer {
    private final double rate;
    private final Sweep sweep;
    private final int gradientScale;
    private final int ruleColumn;

    FixedRateOptimizer(FixedRate settings, ParameterSet parameters) {
      super(settings, parameters, List.of(), settings.needsNorm());
      rate = settings.rate;
      try {
        sweep = plan.bind("fixed_rate", ruleKernel());
        gradientScale = sweep.coefficient("gradientScale");
        ruleColumn = ruleColumn(sweep);
      } catch (RuntimeException | Error e) {
        plan.close();
        throw e;
      }
    }

    @Override
    double baseRate() {
      return rate;
    }

    @Override
    boolean advance(long step) {
      if (!guard()) return false;
      for (int segment = 0; segment < plan.segments(); ++segment) sweep.set(segment, gradientScale, sourceScale());
      setRule(sweep, ruleColumn, step);
      sweep.run();
      return true;
    }

    @Override
    int sweepWords() {
      return sweep.words();
    }

    @Override
    void saveScalars(Map<String, double[]> scalars) {}

    @Override
    void restoreScalars(Map<String, double[]> scalars) {}
  }
}
