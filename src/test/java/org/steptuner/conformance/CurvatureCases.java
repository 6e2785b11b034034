// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import org.steptuner.conformance.Candidate.Lost;
import org.steptuner.rule.Rule;
import org.steptuner.tuner.Armijo;
import org.steptuner.tuner.CDAT;
import org.steptuner.tuner.ExactSharpness;
import org.steptuner.tuner.NewtonRate;
import org.steptuner.tuner.Polyak;
import org.steptuner.tuner.TunerBuilder;

/** The kinds {@code newton_rate}, {@code cdat}, {@code quadratically_greedy}, {@code exact_sharpness}, {@code polyak}, {@code armijo}. */
final class CurvatureCases {
  private static final double ANY = Double.POSITIVE_INFINITY;

  private CurvatureCases() {}

  static TunerBuilder<?> newtonRate(Fields optimizer) {
    final BaseRule base = BaseRule.of(optimizer.object("base"));
    final String variant = optimizer.text("variant");
    final NewtonRate builder = NewtonRate.tuning(base.rule(), base.rate()).interval(optimizer.integer("interval_steps"));
    return switch (variant) {
      case "paper" -> builder.gamma(optimizer.number("meta_gamma"));
      case "released" -> builder.variant(NewtonRate.Variant.RELEASED).gamma(optimizer.number("meta_gamma"));
      case "first_order_additive" -> builder.variant(NewtonRate.Variant.FIRST_ORDER_ADDITIVE).eta(optimizer.number("eta"));
      case "first_order_multiplicative" -> builder.variant(NewtonRate.Variant.FIRST_ORDER_MULTIPLICATIVE).eta(optimizer.number("eta"));
      default -> throw new UnsupportedException("variant '" + variant + "' of kind 'newton_rate'");
    };
  }

  static Candidate cdat(Fields optimizer) {
    final TrainerSide trainer = new TrainerSide();
    final CDAT builder =
        CDAT.tuning(rule(optimizer))
            .sigma(optimizer.number("sigma"))
            .ema(optimizer.number("ema"))
            .epsilon(optimizer.number("eps"))
            .maxRate(optimizer.number("eta_max", ANY))
            .curvature(trainer);
    return new Candidate("", builder, Lost.NOTHING, null, trainer);
  }

  static Candidate quadraticallyGreedy(Fields optimizer) {
    final TrainerSide trainer = new TrainerSide();
    return new Candidate("", CDAT.quadraticallyGreedy(rule(optimizer)).hessian(trainer), Lost.NOTHING, null, trainer);
  }

  static Candidate exactSharpness(Fields optimizer) {
    final TrainerSide trainer = new TrainerSide();
    final ExactSharpness builder =
        ExactSharpness.tuning(rule(optimizer), trainer).sigma(optimizer.number("sigma")).maxRate(ANY).tolerance(1e-9, 40);
    return new Candidate("", builder, Lost.NOTHING, null, trainer);
  }

  static TunerBuilder<?> polyak(Fields optimizer) {
    final double largest = optimizer.number("eta_max");
    final Polyak builder =
        optimizer.has("variant") ? spsMax(optimizer, largest) : Polyak.tuning(rule(optimizer)).maxRate(largest);
    if (optimizer.flag("along_update", false)) builder.alongUpdate();
    return builder.bound(optimizer.number("f_star"));
  }

  private static Polyak spsMax(Fields optimizer, double largest) {
    require(optimizer, "sps_max");
    final Polyak builder = Polyak.spsMax(rule(optimizer), optimizer.number("c"), largest);
    return optimizer.has("gamma")
        ? builder.smoothing(optimizer.number("gamma"), optimizer.integer("batches_per_epoch")) : builder;
  }

  static Candidate armijo(Fields optimizer) {
    final TrainerSide trainer = new TrainerSide();
    final Armijo builder = optimizer.has("variant") ? stochastic(optimizer, trainer) : backtracking(optimizer, trainer);
    return new Candidate("", builder, Lost.NOTHING, null, trainer);
  }

  private static Armijo backtracking(Fields optimizer, TrainerSide trainer) {
    return Armijo.tuning(rule(optimizer), trainer)
        .sufficientDecrease(optimizer.number("c"))
        .increase(optimizer.number("c_plus"))
        .decrease(optimizer.number("c_minus"))
        .allowedIncrease(optimizer.number("delta"))
        .firstGuess(optimizer.number("first_guess"))
        .maxTrials(optimizer.has("max_trials") ? optimizer.integer("max_trials") : 1000);
  }

  private static Armijo stochastic(Fields optimizer, TrainerSide trainer) {
    require(optimizer, "stochastic");
    final Armijo builder =
        Armijo.stochastic(rule(optimizer), trainer, 1)
            .sufficientDecrease(optimizer.number("c"))
            .decrease(optimizer.number("beta"))
            .firstGuess(optimizer.number("eta_max"));
    final String reset = optimizer.text("reset");
    return switch (reset) {
      case "largest" -> builder.resetToLargest();
      case "previous" -> builder.resetToPrevious();
      case "epoch" -> builder.resetByEpoch(optimizer.number("gamma"), optimizer.integer("batches_per_epoch"));
      default -> throw new UnsupportedException("reset '" + reset + "' of the stochastic line search");
    };
  }

  private static void require(Fields optimizer, String variant) {
    final String given = optimizer.text("variant");
    if (!given.equals(variant)) throw new UnsupportedException("variant '" + given + "' of kind '" + optimizer.text("kind") + "'");
  }

  private static Rule rule(Fields optimizer) {
    final BaseRule base = BaseRule.of(optimizer.object("base"));
    if (base.rate() != 1) throw new UnsupportedException("a base rate other than 1 under a tuner that finds the rate");
    return base.rule();
  }
}
