// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.AdEMAMix;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Adan;
import org.steptuner.rule.Lion;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.MirrorMADGRAD;
import org.steptuner.rule.ModernizedDualAveraging;
import org.steptuner.rule.PrimalAveraging;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;

/** The {@code base} of a case: a rule and its rate. What only adds something (momentum, a decay) may be absent, no more. */
record BaseRule(Rule rule, double rate) {
  static BaseRule of(Fields base) {
    final String name = base.text("rule");
    final Rule rule =
        switch (name) {
          case "sgd" -> sgd(base);
          case "rmsprop" -> rmsProp(base);
          case "adagrad" -> adaGrad(base);
          case "adam" -> adam(base);
          case "adamw" -> adamW(base);
          case "ademamix" -> adEMAMix(base);
          case "adan" -> adan(base);
          case "lion" -> lion(base);
          case "madgrad" -> new MADGRAD(base.number("momentum"), base.number("eps"), base.number("weight_decay", 0));
          case "mirror_madgrad" -> new MirrorMADGRAD(base.number("momentum"), base.number("eps"), base.number("weight_decay", 0));
          case "mda" -> new ModernizedDualAveraging(base.number("momentum", 0), base.number("weight_decay", 0));
          case "spa" -> new PrimalAveraging(base.number("c"), base.number("weight_decay", 0));
          default -> throw new UnsupportedException("rule '" + name + "'");
        };
    final double rate = base.number("lr");
    base.refuseOthers();
    return new BaseRule(rule, rate);
  }

  private static SGD sgd(Fields base) {
    // All at once: Nesterov's form is refused until there is momentum.
    return new SGD(base.number("momentum", 0), base.flag("nesterov", false), base.number("weight_decay", 0));
  }

  // eps_inside_root is either the epsilon that stands inside of the root, or tells whether eps does.
  private static RMSProp rmsProp(Fields base) {
    final RMSProp rule =
        RMSProp.defaults()
            .alpha(base.number("alpha"))
            .weightDecay(base.number("weight_decay", 0))
            .momentum(base.number("momentum", 0));
    if (base.isFlag("eps_inside_root"))
      return rule.epsilon(base.number("eps")).epsilonInsideRoot(base.flag("eps_inside_root"));
    if (!base.has("eps_inside_root")) return rule.epsilon(base.number("eps"));
    if (base.number("eps", 0) != 0) throw new IllFormedException("eps and eps_inside_root are both given");
    return rule.epsilon(base.number("eps_inside_root")).epsilonInsideRoot(true);
  }

  private static AdaGrad adaGrad(Fields base) {
    return AdaGrad.defaults()
        .rateDecay(base.number("lr_decay", 0))
        .epsilon(base.number("eps"))
        .weightDecay(base.number("weight_decay", 0))
        .initialAccumulator(base.number("initial_accumulator_value", 0));
  }

  private static Adam adam(Fields base) {
    final double[] betas = betas(base);
    return Adam.defaults().betas(betas[0], betas[1]).epsilon(base.number("eps")).weightDecay(base.number("weight_decay", 0));
  }

  private static AdamW adamW(Fields base) {
    final double[] betas = betas(base);
    return AdamW.defaults().betas(betas[0], betas[1]).epsilon(base.number("eps")).weightDecay(base.number("weight_decay", 0));
  }

  private static AdEMAMix adEMAMix(Fields base) {
    final double[] betas = base.numbers("betas");
    if (betas.length != 3) throw new IllFormedException("betas of ademamix must be three, not " + betas.length);
    final double warmup = base.number("alpha_beta3_warmup");
    return AdEMAMix.defaults().betas(betas[0], betas[1], betas[2]).alpha(base.number("alpha")).warmup((long) warmup)
        .epsilon(base.number("eps")).weightDecay(base.number("weight_decay", 0));
  }

  private static Adan adan(Fields base) {
    final double[] betas = base.numbers("betas");
    if (betas.length != 3) throw new IllFormedException("betas of adan must be three, not " + betas.length);
    return Adan.defaults().betas(betas[0], betas[1], betas[2]).epsilon(base.number("eps")).weightDecay(base.number("weight_decay", 0))
        .noProx(base.flag("no_prox", false));
  }

  private static Lion lion(Fields base) {
    final double[] betas = betas(base);
    return Lion.defaults().betas(betas[0], betas[1]).weightDecay(base.number("weight_decay", 0));
  }

  private static double[] betas(Fields base) {
    final double[] betas = base.numbers("betas");
    if (betas.length != 2) throw new IllFormedException("betas of a rule must be two, not " + betas.length);
    return betas;
  }
}
