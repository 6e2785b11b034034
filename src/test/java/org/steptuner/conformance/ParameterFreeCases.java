// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Adan;
import org.steptuner.rule.Lion;
import org.steptuner.rule.Rule;
import org.steptuner.rule.ScheduleFreeAdamW;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.DAdaptation;
import org.steptuner.tuner.MoMo;
import org.steptuner.tuner.MovingTarget;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/** The kinds {@code prodigy}, {@code dadaptation}, {@code momo}, {@code momo_adam} and {@code moving_target}. */
final class ParameterFreeCases {
  // The release's first accumulator, which cases do not tell.
  private static final double ADAGRAD_ACCUMULATOR = 1e-6;

  private ParameterFreeCases() {}

  static TunerBuilder<?> prodigy(Fields optimizer, Prodigy.Displacement displacement) {
    final Prodigy prodigy =
        Prodigy.tuning(adam(optimizer, optimizer.flag("decouple")))
            .baseRate(optimizer.number("lr"))
            .initialRate(optimizer.number("d0"))
            .coefficient(optimizer.number("d_coef"))
            .growthRate(optimizer.number("growth_rate"))
            .safeguardWarmup(optimizer.flag("safeguard_warmup"))
            .biasCorrection(optimizer.flag("use_bias_correction"))
            .displacement(displacement)
            .slice((int) optimizer.number("slice_p"));
    return optimizer.has("beta3") ? prodigy.beta3(optimizer.number("beta3")) : prodigy;
  }

  static TunerBuilder<?> prodigyScheduleFree(Fields optimizer, Prodigy.Displacement displacement) {
    final double[] betas = optimizer.numbers("betas");
    final Rule rule =
        new ScheduleFreeAdamW(
            betas[0], betas[1], optimizer.number("eps"), optimizer.number("r"), optimizer.number("weight_lr_power"),
            optimizer.number("weight_decay"));
    return Prodigy.tuning(rule)
        .baseRate(optimizer.number("lr"))
        .initialRate(optimizer.number("d0"))
        .coefficient(optimizer.number("d_coef"))
        .growthRate(optimizer.number("growth_rate"))
        .displacement(displacement);
  }

  static DAdaptation dAdaptation(Fields optimizer) {
    final String rule = optimizer.text("rule");
    final DAdaptation tuner =
        switch (rule) {
          case "sgd" -> DAdaptation.tuning(new SGD(optimizer.number("momentum"), false, optimizer.number("weight_decay")));
          case "adam" ->
              DAdaptation.tuning(adam(optimizer, optimizer.flag("decouple")))
                  .biasCorrection(optimizer.flag("use_bias_correction"));
          case "adagrad" ->
              DAdaptation.tuning(new AdaGrad(0, optimizer.number("eps"), optimizer.number("weight_decay"), ADAGRAD_ACCUMULATOR))
                  .momentum(optimizer.number("momentum"));
          case "lion" -> {
            final double[] betas = optimizer.numbers("betas");
            yield DAdaptation.tuning(new Lion(betas[0], betas[1], optimizer.number("weight_decay")));
          }
          case "adan" -> {
            final double[] betas = optimizer.numbers("betas");
            final double decay = optimizer.number("weight_decay");
            yield DAdaptation.tuning(
                new Adan(betas[0], betas[1], betas[2], optimizer.number("eps"), decay, optimizer.flag("no_prox")));
          }
          default -> throw new UnsupportedException("rule '" + rule + "' of kind 'dadaptation'");
        };
    return tuner
        .baseRate(optimizer.number("lr"))
        .initialRate(optimizer.number("d0"))
        .growthRate(optimizer.number("growth_rate", Double.POSITIVE_INFINITY));
  }

  static TunerBuilder<?> momo(Fields optimizer) {
    if (optimizer.has("base")) return momoOver(optimizer);
    final Rule rule = new SGD(optimizer.number("beta"), false, optimizer.number("weight_decay"));
    return momo(optimizer, MoMo.tuning(rule)).biasCorrection(optimizer.flag("bias_correction"));
  }

  // A rule whose squares give D. Its lr means nothing; beta is given where the rule has no momentum.
  private static TunerBuilder<?> momoOver(Fields optimizer) {
    final MoMo momo = MoMo.tuning(BaseRule.of(optimizer.object("base")).rule());
    if (optimizer.has("beta")) momo.beta(optimizer.number("beta"));
    return momo(optimizer, momo).biasCorrection(optimizer.flag("bias_correction"));
  }

  static TunerBuilder<?> movingTarget(Fields optimizer) {
    final MovingTarget tuner =
        MovingTarget.tuning(SGD.defaults().momentum(optimizer.number("momentum")))
            .parts(optimizer.integer("parts"))
            .baseRate(optimizer.number("lr"));
    return optimizer.has("targets")
        ? tuner.targets(optimizer.numbers("targets"))
        : tuner.target(optimizer.number("target")).targetRate(optimizer.number("target_rate"));
  }

  static TunerBuilder<?> momoAdam(Fields optimizer) {
    return momo(optimizer, MoMo.tuning(adam(optimizer, true)))
        .decay(optimizer.flag("divide") ? MoMo.Decay.DIVIDE : MoMo.Decay.MULTIPLY);
  }

  private static MoMo momo(Fields optimizer, MoMo momo) {
    final String variant = optimizer.text("variant");
    return momo
        .variant(
            switch (variant) {
              case "torch" -> MoMo.Variant.TORCH;
              case "optax" -> MoMo.Variant.OPTAX;
              default -> throw new UnsupportedException("variant '" + variant + "' of MoMo");
            })
        .maxRate(optimizer.number("lr"))
        .bound(optimizer.number("lb"))
        .estimateBound(optimizer.flag("use_fstar"));
  }

  private static Rule adam(Fields optimizer, boolean decoupled) {
    final double[] betas = optimizer.numbers("betas");
    final double decay = optimizer.number("weight_decay");
    return decoupled
        ? new AdamW(betas[0], betas[1], optimizer.number("eps"), decay)
        : new Adam(betas[0], betas[1], optimizer.number("eps"), decay);
  }
}
