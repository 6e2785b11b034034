// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Sweep;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Coefficients;
import org.steptuner.rule.Rule;

/** The one sweep of D-Adaptation's forms, and its coefficients. */
abstract class DAdaptationSweep extends TunedOptimizer {
  final DAdaptation settings;
  final DAdaptation.Form form;
  final double retention; // b, the square root of beta2; Adan's beta3
  final Hyperparameters[] hyperparameters; // by group
  final AdamForm[] adam; // by group; for Adam's form
  final double[] layerScale; // by group: l, 1 where the form has none
  final Sweep sweep;

  DAdaptationSweep(Engine engine, DAdaptation settings) {
    super(engine);
    this.settings = settings;
    form = settings.form;
    final Hyperparameters of = Hyperparameters.of(settings.rule);
    retention = form == DAdaptation.Form.ADAN ? of.get("beta3") : Math.sqrt(of.orZero("beta2"));
    final int groups = parameters().groups().size();
    hyperparameters = new Hyperparameters[groups];
    adam = new AdamForm[form == DAdaptation.Form.ADAM ? groups : 0];
    layerScale = new double[groups];
    for (int g = 0; g < groups; ++g) {
      layerScale[g] = settings.layerScales.getOrDefault(parameters().groups().get(g), 1.0);
      hyperparameters[g] = Hyperparameters.of(rule(g));
      if (form == DAdaptation.Form.ADAM) adam[g] = AdamForm.of(rule(g));
    }
    sweep = plan.bind("dadaptation", form.kernel);
  }

  /**
   * Puts the coefficients of a group, but for gradientScale.
   *
   * @param r the rate of the step, d included
   * @param first whether there was no step with a gradient yet
   */
  final void put(int group, double r, boolean first) {
    switch (form) {
      case SGD -> putSgd(rule(group), hyperparameters[group], r);
      case ADAM -> putAdam(adam[group], r, layerScale[group]);
      case ADAGRAD -> putAdaGrad(rule(group), hyperparameters[group], r, rateFactor(group) == 0);
      case LION -> putLion(rule(group), hyperparameters[group], r);
      case ADAN -> putAdan(rule(group), hyperparameters[group], r, first);
    }
  }

  /** Puts what the coefficients of a group are made of on devices, where d is known. */
  final void putRow(int group, Coefficients to) {
    final Hyperparameters of = hyperparameters[group];
    to.put("rate", rate(group)).put("layerScale", layerScale[group]);
    switch (form) {
      case SGD, ADAGRAD -> {}
      case ADAM -> to.put("beta1", adam[group].beta1() * momentumFactor()).put("decay", adam[group].decoupledDecay() * decayFactor());
      case LION -> to.put("beta2", of.get("beta2")).put("decay", rule(group).decoupledDecay() * decayFactor());
      case ADAN -> {
        to.put("beta1", of.get("beta1") * momentumFactor()).put("beta2", of.get("beta2"));
        to.put("decay", rule(group).decoupledDecay()).put("decayFactor", decayFactor());
        to.put("proximal", rule(group).stepIsMultipleOfRate() ? 0 : 1);
      }
    }
  }

  private void putSgd(Rule rule, Hyperparameters of, double r) {
    final boolean stays = r == 0;
    final double momentum = of.orZero("momentum") * momentumFactor();
    sweep.put("coupledDecay", stays ? 0 : rule.coupledDecay() * decayFactor()).put("sumGain", r);
    sweep.put("retention", stays ? 1 : momentum).put("intake", stays ? 0 : 1 - momentum);
  }

  private void putAdam(AdamForm rule, double r, double scale) {
    final boolean stays = r == 0;
    final double beta1 = rule.beta1() * momentumFactor();
    sweep.put("coupledDecay", stays ? 0 : rule.coupledDecay() * decayFactor());
    sweep.put("averageRetention", stays ? 1 : beta1).put("averageGain", scale * r * (1 - beta1));
    sweep.put("squareRetention", stays ? 1 : rule.beta2()).put("squareGain", stays ? 0 : 1 - rule.beta2());
    sweep.put("sumRetention", stays ? 1 : retention).put("sumGain", r * (1 - retention));
    sweep.put("epsilon", Math.max(rule.epsilon(), leastEpsilon()))
        .put("shrinkage", boundedShrinkage(rule.decoupledDecay() * decayFactor() * r)).put("step", stays ? 0 : 1);
  }

  /** @param still whether the group does not move: the average of x and x0 would be x0 up to rounding only */
  private void putAdaGrad(Rule rule, Hyperparameters of, double r, boolean still) {
    final double momentum = settings.momentum * momentumFactor();
    sweep.put("coupledDecay", rule.coupledDecay() * decayFactor()).put("sumGain", r);
    sweep.put("retention", still ? 1 : momentum).put("intake", still ? 0 : 1 - momentum);
    sweep.put("epsilon", Math.max(of.get("epsilon"), leastEpsilon()));
  }

  private void putLion(Rule rule, Hyperparameters of, double r) {
    final double beta1 = of.get("beta1") * momentumFactor();
    sweep.put("beta1", beta1).put("oneMinusBeta1", 1 - beta1);
    sweep.put("averageRetention", of.get("beta2")).put("averageGain", r * (1 - of.get("beta2")));
    sweep.put("sumRetention", retention).put("sumGain", r * (1 - retention));
    sweep.put("rate", r).put("shrinkage", boundedShrinkage(r * (rule.decoupledDecay() * decayFactor())));
  }

  private void putAdan(Rule rule, Hyperparameters of, double r, boolean first) {
    final double beta1 = of.get("beta1") * momentumFactor();
    final double beta2 = of.get("beta2");
    final double beta3 = of.get("beta3");
    final double shrinkage = r * rule.decoupledDecay() * decayFactor();
    // A proximal decay divides the step by 1 + shrinkage.
    final boolean proximal = !rule.stepIsMultipleOfRate();
    final double divisor = proximal ? 1 + shrinkage : 1;
    sweep.put("first", first ? 1 : 0).put("beta2", beta2);
    sweep.put("averageRetention", beta1).put("averageGain", r * (1 - beta1)).put("differenceGain", r * (1 - beta2));
    sweep.put("squareRetention", beta3).put("squareGain", 1 - beta3).put("sumRetention", retention).put("sumGain", r * (1 - retention));
    sweep.put("epsilon", Math.max(of.get("epsilon"), leastEpsilon()))
        .put("shrinkage", proximal ? shrinkage / divisor : boundedShrinkage(shrinkage)).put("step", 1 / divisor);
  }

  /** Whether a step at the rate 0 leaves all as it is. */
  final boolean freezes() {
    return form == DAdaptation.Form.SGD || form == DAdaptation.Form.ADAM;
  }

  /** Whether the estimate is made of A and B, and not of n. */
  final boolean weighsSquares() {
    return form == DAdaptation.Form.ADAGRAD || form == DAdaptation.Form.ADAN;
  }
}
