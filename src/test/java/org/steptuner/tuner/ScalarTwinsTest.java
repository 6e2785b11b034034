// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.junit.jupiter.api.Test;
import org.steptuner.internal.Twins;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adan;
import org.steptuner.rule.Lion;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;

/**
 * The state machines here and those in {@code src/main/cpp/scalars} come to the same bits, zeros, infinities and NaN included. The loops
 * are those of {@code scalars_test.cpp}.
 */
class ScalarTwinsTest {
  @Test
  void metaOptimize() {
    final Twins twins = new Twins(2);
    for (MetaOptimize.Variant variant : new MetaOptimize.Variant[] {MetaOptimize.Variant.PAPER_CODE, MetaOptimize.Variant.PACKAGE})
      for (int meta = 0; meta < 4; ++meta)
        for (int form = 0; form < 4; ++form) {
          final MetaOptimize settings = MetaOptimize.tuning(SGD.defaults()).variant(variant).meta(meta(meta, form >= 2))
              .metaStepSize(0.25).epsilon(1e-8).gamma(1).initialStepSize(0.5);
          if (form % 2 == 1) settings.stepSizeBounds(0.25, 4).largestChange(2);
          final MetaScalars scalars = new MetaScalars(settings);
          for (int step = 0; step < 400; ++step) {
            scalars.meanCorrection = twins.uniform(0.1, 1);
            scalars.squareCorrection = twins.uniform(0.1, 1);
            scalars.update(0 + twins.number(12), 0);
            twins.take(scalars.beta);
            twins.take(scalars.z);
            if (meta >= 2) twins.take(scalars.m);
            if (meta == 1 || meta == 2) twins.take(scalars.v);
            twins.take(scalars.stepSize());
          }
        }
    twins.check("metaoptimize");
  }

  private static Rule meta(int number, boolean inside) {
    return switch (number) {
      case 0 -> SGD.defaults();
      case 1 -> {
        final RMSProp rule = RMSProp.defaults().alpha(0.9).epsilon(1e-8);
        yield inside ? rule.epsilonInsideRoot(true) : rule;
      }
      case 2 -> Adam.defaults().betas(0.8, 0.95).epsilon(1e-8);
      default -> Lion.defaults().betas(0.8, 0.95);
    };
  }

  @Test
  void moMo() {
    final Twins twins = new Twins(3);
    for (int form = 0; form < 8; ++form)
      for (int run = 0; run < 40; ++run) {
        final boolean estimates = form % 2 == 1;
        final MoMo settings = MoMo.tuning(SGD.defaults().momentum(0.5)).estimateBound(estimates).bound(estimates ? -2 : 0.5)
            .biasCorrection(form / 2 % 2 == 1);
        if (form >= 4) settings.variant(MoMo.Variant.OPTAX);
        final MoMoScalars scalars = new MoMoScalars(settings);
        for (int step = 1; step <= 40; ++step) {
          scalars.begin(1);
          final double decay = twins.uniform(0, 0.1);
          final double rate = twins.uniform(0, 2);
          final double loss = twins.number(40);
          scalars.update(loss, 0 + twins.number(40), 0 + twins.number(40), 0 + twins.size(20), rate, decay);
          twins.take(scalars.loss);
          twins.take(scalars.product);
          twins.take(scalars.bound);
          twins.take(scalars.tau);
          twins.take(scalars.limit);
          twins.take(scalars.t);
          twins.take(scalars.modelAtBound ? 1 : 0);
          twins.take(scalars.correction() * scalars.tau);
        }
      }
    twins.check("momo");
  }

  @Test
  void prodigy() {
    final Twins twins = new Twins(4);
    for (int form = 0; form < 4; ++form)
      for (int run = 0; run < 40; ++run) {
        final Prodigy settings = Prodigy.tuning(AdamW.defaults().betas(0.9, 0.999)).initialRate(0.001).coefficient(0.5);
        if (form % 2 == 1) settings.growthRate(1.25);
        if (form >= 2) settings.maxRate(8);
        final ProdigyScalars scalars = new ProdigyScalars(settings);
        for (int step = 0; step < 40; ++step) {
          final double weight = scalars.weight();
          final double progress = 0 + weight * scalars.d * twins.number(30);
          final double norm = 0 + twins.size(30);
          twins.take(weight);
          twins.take(progress);
          if (norm != 0) scalars.update(progress, norm);
          twins.take(scalars.d);
          twins.take(scalars.largest);
          twins.take(scalars.estimate);
          twins.take(scalars.numerator);
          twins.take(scalars.denominator);
          twins.take(scalars.t);
        }
      }
    twins.check("prodigy");
  }

  @Test
  void dAdaptation() {
    dAdaptation("dadaptation_sgd", 6, 0, SGD.defaults());
    dAdaptation("dadaptation_adam", 7, Math.sqrt(0.999), Adam.defaults());
    dAdaptation("dadaptation_lion", 8, Math.sqrt(0.99), Lion.defaults());
    dAdaptation("dadaptation_adagrad", 9, 0, AdaGrad.defaults());
    dAdaptation("dadaptation_adan", 10, 0.97, Adan.defaults());
  }

  private static void dAdaptation(String name, long seed, double retention, Rule rule) {
    final Twins twins = new Twins(seed);
    for (int form = 0; form < 4; ++form)
      for (int run = 0; run < 40; ++run) {
        final DAdaptation settings = DAdaptation.tuning(rule).initialRate(0.001);
        if (form % 2 == 1) settings.growthRate(1.25);
        if (form >= 2) settings.maxRate(8);
        final DAdaptationScalars scalars = new DAdaptationScalars(settings);
        for (int step = 0; step < 40; ++step) {
          update(settings.form, scalars, retention, twins);
          take(settings.form, scalars, twins);
        }
      }
    twins.check(name);
  }

  // Sums of two segments, as DAdaptationOptimizer.settle adds them.
  private static void update(DAdaptation.Form form, DAdaptationScalars scalars, double retention, Twins twins) {
    final boolean freezes = form == DAdaptation.Form.SGD || form == DAdaptation.Form.ADAM;
    final boolean squares = form == DAdaptation.Form.ADAGRAD || form == DAdaptation.Form.ADAN;
    final double[] sums = new double[form.sums.size()];
    boolean moves = false;
    for (int segment = 0; segment < 2; ++segment) {
      final double r = twins.uniform() < 0.2 ? 0 : twins.size(0);
      final double scale = twins.uniform() < 0.5 ? 1 : 0.5;
      for (int i = 0; i < sums.length; ++i) {
        final double sum = i == 0 ? twins.number(30) : twins.size(30);
        if (r != 0 || !freezes) sums[i] += i == 0 ? scale * (squares ? r * r : r) * sum : scale * sum;
      }
      moves |= r > 0;
    }
    switch (form) {
      case SGD -> scalars.sgd(sums[0], sums[1]);
      case ADAM, LION -> scalars.averaged(retention, sums[0], sums[1], moves);
      case ADAGRAD -> scalars.adaGrad(sums[0], sums[1], sums[2], moves);
      case ADAN -> scalars.adan(retention, sums[0], sums[1], sums[2], moves);
    }
  }

  private static void take(DAdaptation.Form form, DAdaptationScalars scalars, Twins twins) {
    twins.take(scalars.d);
    if (form == DAdaptation.Form.ADAGRAD || form == DAdaptation.Form.ADAN) {
      twins.take(scalars.sumWeighted);
      twins.take(scalars.gradientWeighted);
    } else {
      twins.take(scalars.numerator);
    }
    if (form == DAdaptation.Form.SGD) twins.take(scalars.firstNorm);
    twins.take(scalars.sumNorm);
    twins.take(scalars.t);
  }
}
