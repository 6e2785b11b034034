// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.util.List;
import java.util.function.IntFunction;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.DAdaptation;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Hypergradient;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.MetaOptimize;
import org.steptuner.tuner.MoMo;
import org.steptuner.tuner.MovingTarget;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/**
 * A tuner of the suite, with nothing tuned: its defaults on every set.
 *
 * @param builder a new one for every run; takes the number of batches
 */
record Contender(String name, IntFunction<TunerBuilder<?>> builder) {
  static final List<Contender> ALL =
      List.of(
          new Contender("Adam at 1e-3, untuned", batches -> FixedRate.of(1e-3, AdamW.defaults().weightDecay(0))),
          new Contender("Mechanic, Adam", batches -> Mechanic.tuning(Adam.defaults())),
          new Contender("Mechanic, SGD with momentum", batches -> Mechanic.tuning(SGD.defaults().momentum(0.9))),
          new Contender("Mechanic, Lion", batches -> Mechanic.tuning(Lion.defaults())),
          new Contender("Mechanic TORCH, Adam", batches -> Mechanic.tuning(Adam.defaults()).variant(Mechanic.Variant.TORCH)),
          new Contender("D-Adaptation, SGD", batches -> DAdaptation.tuning(SGD.defaults())),
          new Contender("D-Adaptation, Adam", batches -> DAdaptation.tuning(Adam.defaults())),
          new Contender(
              "D-Adaptation, AdaGrad", batches -> DAdaptation.tuning(AdaGrad.defaults().epsilon(1e-6).initialAccumulator(1e-6))),
          new Contender("D-Adaptation, Lion", batches -> DAdaptation.tuning(Lion.defaults())),
          new Contender("Prodigy", batches -> Prodigy.tuning(Adam.defaults())),
          new Contender("MoMo", batches -> MoMo.tuning(SGD.defaults().momentum(0.9))),
          new Contender("MoMo-Adam", batches -> MoMo.tuning(Adam.defaults())),
          new Contender("Moving target", batches -> MovingTarget.tuning(SGD.defaults()).parts(batches)),
          new Contender("MetaOptimize, Adam by Adam", batches -> MetaOptimize.tuning(Adam.defaults())),
          new Contender(
              "MetaOptimize PACKAGE, Adam by Lion",
              batches -> MetaOptimize.tuning(AdamW.defaults().weightDecay(0)).variant(MetaOptimize.Variant.PACKAGE).meta(Lion.defaults())),
          new Contender("Hypergradient, Adam from 1e-3", batches -> Hypergradient.tuning(Adam.defaults(), 1e-3, 1e-4)),
          new Contender(
              "Hypergradient by cosine, Adam from 1e-3",
              batches -> Hypergradient.tuning(Adam.defaults(), 1e-3, 0.02).variant(Hypergradient.Variant.MULTIPLICATIVE)));
}
