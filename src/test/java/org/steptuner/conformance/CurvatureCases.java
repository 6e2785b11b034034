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
    return NewtonRate.tuning(base.rule(), base.rate())
        .variant(
            switch (variant) {
              case "paper" -> NewtonRate.Variant.PAPER;
              case "released" -> NewtonRate.Variant.RELEASED;
              default -> throw new UnsupportedException("variant '" + variant + "' of kind 'newton_rate'");
            })
        .gamma(optimizer.number("meta_gamma"))
        .interval(integer(optimizer, "interval_steps"));
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
    return Polyak.tuning(rule(optimizer)).bound(optimizer.number("f_star")).maxRate(optimizer.number("eta_max"));
  }

  static Candidate armijo(Fields optimizer) {
    final TrainerSide trainer = new TrainerSide();
    final Armijo builder =
        Armijo.tuning(rule(optimizer), trainer)
            .sufficientDecrease(optimizer.number("c"))
            .increase(optimizer.number("c_plus"))
            .decrease(optimizer.number("c_minus"))
            .allowedIncrease(optimizer.number("delta"))
            .firstGuess(optimizer.number("first_guess"))
            .maxTrials(optimizer.has("max_trials") ? (int) integer(optimizer, "max_trials") : 1000);
    return new Candidate("", builder, Lost.NOTHING, null, trainer);
  }

  private static Rule rule(Fields optimizer) {
    final BaseRule base = BaseRule.of(optimizer.object("base"));
    if (base.rate() != 1) throw new UnsupportedException("a base rate other than 1 under a tuner that finds the rate");
    return base.rule();
  }

  private static long integer(Fields optimizer, String name) {
    final double number = optimizer.number(name);
    if (number != Math.rint(number)) throw new IllFormedException("optimizer." + name + " must be an integer, not " + number);
    return (long) number;
  }
}
