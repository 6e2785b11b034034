// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.TestTensors;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.ScheduleFreeAdamW;
import org.steptuner.rule.ScheduleFreeSGD;
import org.steptuner.rule.SGD;

/** What {@code Optimizer.scalars} shows: the quantities of the papers, and nothing that only the implementation knows. */
class ScalarNamesTest {
  @Test
  void namesAreThoseOfTheDocumentation() {
    final Map<TunerBuilder<?>, Set<String>> expected = new LinkedHashMap<>();
    expected.put(FixedRate.of(0.1, SGD.defaults()), Set.of());
    expected.put(FixedRate.of(0.1, ScheduleFreeSGD.defaults()), Set.of("c", "weight_sum", "lr_max"));
    expected.put(
        Mechanic.tuning(ScheduleFreeAdamW.defaults()), Set.of("s", "r", "v", "m", "q", "h", "c", "weight_sum", "lr_max"));
    expected.put(Mechanic.tuning(AdamW.defaults()), Set.of("s", "r", "v", "m", "q", "h"));
    expected.put(Prodigy.tuning(AdamW.defaults()), Set.of("d", "d_max", "d_hat", "n", "s_norm", "t"));
    expected.put(
        Prodigy.tuning(ScheduleFreeAdamW.defaults()), Set.of("d", "d_max", "d_hat", "n", "s_norm", "t", "c", "weight_sum", "lr_max"));
    expected.put(DAdaptation.tuning(SGD.defaults()), Set.of("d", "n", "g1_norm", "s_norm", "t"));
    expected.put(DAdaptation.tuning(AdamW.defaults()), Set.of("d", "n", "s_norm", "t"));
    expected.put(DAdaptation.tuning(Lion.defaults()), Set.of("d", "n", "s_norm", "t"));
    expected.put(DAdaptation.tuning(AdaGrad.defaults()), Set.of("d", "A", "B", "s_norm", "t"));
    expected.put(MoMo.tuning(SGD.defaults()), Set.of("loss_avg", "gamma", "lb", "tau", "tau_unlimited", "t"));
    expected.put(MovingTarget.tuning(SGD.defaults()), Set.of("alpha", "alpha_mean", "tau", "rate", "t"));
    expected.put(MetaOptimize.tuning(AdamW.defaults()), Set.of("z", "beta", "m", "v"));
    expected.put(MetaOptimize.tuning(AdamW.defaults()).perWeight(), Set.of("z", "logRatio"));
    expected.put(Hypergradient.tuning(AdamW.defaults(), 0.1, 0.1), Set.of("rate"));
    expected.put(GradaGrad.tuning(SGD.defaults(), 0.1), Set.of("alpha", "gamma"));
    expected.put(GradaGrad.tuning(SGD.defaults(), 0.1).form(GradaGrad.Form.DIAGONAL), Set.of("gamma"));
    expected.put(DoG.tuning(SGD.defaults()), Set.of("eta", "r", "G"));
    expected.put(NewtonRate.tuning(AdamW.defaults(), 0.1).interval(3), Set.of("rate", "factor"));
    expected.put(CDAT.tuning(AdamW.defaults()).curvature(u -> 1), Set.of("eta", "n", "d", "n_avg", "d_avg"));
    expected.put(Polyak.tuning(AdamW.defaults()), Set.of("eta"));
    expected.put(Armijo.tuning(AdamW.defaults(), () -> 0), Set.of("eta", "backtracks", "trial_loss"));
    expected.put(ExactSharpness.tuning(AdamW.defaults(), (v, hv) -> {}), Set.of("eta", "lambda_max"));
    expected.forEach(
        (builder, names) -> {
          try (TestTensors tensors = TestTensors.of(DataType.FLOAT64, 5).parameters(i -> 1).gradients(i -> 1);
              Optimizer optimizer = builder.build(tensors.on(Device.cpu(1)))) {
            assertEquals(new TreeSet<>(names), new TreeSet<>(optimizer.scalars().keySet()), builder.getClass().getSimpleName());
          }
        });
  }
}
