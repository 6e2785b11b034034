// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import java.util.List;
import java.util.function.Function;
import org.steptuner.DataType;
import org.steptuner.Schedule;
import org.steptuner.conformance.Candidate.Lost;
import org.steptuner.rule.Rule;
import org.steptuner.rule.ScheduleFreeAdamW;
import org.steptuner.rule.ScheduleFreeSGD;
import org.steptuner.tuner.DAdaptation;
import org.steptuner.tuner.DoG;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.Mechanic.Delta;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/** Turns the {@code optimizer} of a case into builders: one method per kind, which reads every field that the kind has. */
final class OptimizerFactory {
  private OptimizerFactory() {}

  /**
   * The candidates for a case, one or more. The first rounds as the reference does.
   *
   * @throws UnsupportedException if the library has no such optimizer
   * @throws IllFormedException if a field is missing, unknown or of the wrong form
   * @throws IllegalArgumentException if the library refuses a value
   */
  static List<Candidate> candidates(Fields optimizer, DataType type) {
    final String kind = optimizer.text("kind");
    final List<Candidate> candidates =
        switch (kind) {
          case "fixed_rate" -> fixedRate(optimizer);
          case "schedule_free" -> List.of(scheduleFree(optimizer));
          case "mechanic" -> mechanic(optimizer, type);
          case "prodigy" -> prodigy(optimizer, type);
          case "prodigy_schedule_free" -> prodigyScheduleFree(optimizer);
          case "dadaptation" -> List.of(dAdaptation(optimizer));
          case "momo" -> one(ParameterFreeCases.momo(optimizer), optimizer);
          case "momo_adam" -> one(ParameterFreeCases.momoAdam(optimizer), optimizer);
          case "moving_target" -> one(ParameterFreeCases.movingTarget(optimizer), optimizer);
          case "metaoptimize" -> List.of(MetaCases.metaOptimize(optimizer));
          case "hypergradient" -> List.of(MetaCases.hypergradient(optimizer));
          case "gradagrad" -> one(NormedCases.gradaGrad(optimizer), optimizer);
          case "dog" -> dog(optimizer, DoG::tuning, type);
          case "dowg" -> dog(optimizer, DoG::weighted, type);
          case "newton_rate" -> one(CurvatureCases.newtonRate(optimizer), optimizer);
          case "cdat" -> List.of(CurvatureCases.cdat(optimizer));
          case "quadratically_greedy" -> List.of(CurvatureCases.quadraticallyGreedy(optimizer));
          case "exact_sharpness" -> List.of(CurvatureCases.exactSharpness(optimizer));
          case "polyak" -> one(CurvatureCases.polyak(optimizer), optimizer);
          case "armijo" -> List.of(CurvatureCases.armijo(optimizer));
          default -> throw new UnsupportedException("kind '" + kind + "'");
        };
    // A term of the loss, of which the problem takes care.
    optimizer.number("l2", 0);
    optimizer.refuseOthers();
    return candidates;
  }

  // The estimate is made of x0 - x. The releases take the difference; so does RECOMPUTED, but which of two roundings of a step with decay
  // a release has, it does not follow. A stored sum of steps loses nothing. The analysed forms have only that.
  private static List<Candidate> prodigy(Fields optimizer, DataType type) {
    if (optimizer.has("variant"))
      return List.of(new Candidate("", scheduled(DistanceCases.prodigy(optimizer), optimizer), Lost.DELTA));
    final Candidate stored = prodigy(optimizer, Prodigy.Displacement.STORED);
    return type == DataType.FLOAT64 ? List.of(prodigy(optimizer, Prodigy.Displacement.RECOMPUTED), stored) : List.of(stored);
  }

  private static List<Candidate> prodigyScheduleFree(Fields optimizer) {
    return List.of(
        new Candidate("STORED", ParameterFreeCases.prodigyScheduleFree(optimizer, Prodigy.Displacement.STORED), Lost.DELTA),
        new Candidate("ACCUMULATED", ParameterFreeCases.prodigyScheduleFree(optimizer, Prodigy.Displacement.ACCUMULATED), Lost.DELTA));
  }

  private static Candidate prodigy(Fields optimizer, Prodigy.Displacement displacement) {
    return new Candidate(displacement.name(), scheduled(ParameterFreeCases.prodigy(optimizer, displacement), optimizer), Lost.DELTA);
  }

  // Scales of layers are given by tensor; each tensor is a group then.
  private static Candidate dAdaptation(Fields optimizer) {
    if (optimizer.has("variant")) return new Candidate("", scheduled(DistanceCases.dAdaptation(optimizer), optimizer), Lost.NOTHING);
    final DAdaptation tuner = ParameterFreeCases.dAdaptation(optimizer);
    double[][] blocks = null;
    if (optimizer.has("layer_scales")) {
      final double[] scales = optimizer.numbers("layer_scales");
      blocks = new double[scales.length][];
      for (int t = 0; t < scales.length; ++t) {
        blocks[t] = new double[] {t};
        tuner.layerScale("block " + t, scales[t]);
      }
    }
    return new Candidate("", scheduled(tuner, optimizer), Lost.NOTHING, blocks);
  }

  // The same of x - x0, of which r is made.
  private static List<Candidate> dog(Fields optimizer, Function<Rule, DoG> kind, DataType type) {
    final Candidate accumulated = dog(optimizer, kind, DoG.Displacement.ACCUMULATED);
    return type == DataType.FLOAT64 ? List.of(dog(optimizer, kind, DoG.Displacement.RECOMPUTED), accumulated) : List.of(accumulated);
  }

  private static Candidate dog(Fields optimizer, Function<Rule, DoG> kind, DoG.Displacement displacement) {
    return new Candidate(displacement.name(), scheduled(NormedCases.dog(optimizer, kind).displacement(displacement), optimizer),
        Lost.DELTA);
  }

  private static List<Candidate> one(TunerBuilder<?> builder, Fields optimizer) {
    return List.of(new Candidate("", scheduled(builder, optimizer), Lost.NOTHING));
  }

  private static List<Candidate> fixedRate(Fields optimizer) {
    final BaseRule base = BaseRule.of(optimizer.object("base"));
    final FixedRate builder = FixedRate.of(base.rate(), base.rule());
    if (optimizer.has("c_schedule")) builder.momentumSchedule(Schedule.of(optimizer.numbers("c_schedule")));
    return List.of(new Candidate("", scheduled(builder, optimizer), Lost.NOTHING));
  }

  private static Candidate scheduleFree(Fields optimizer) {
    final double beta1 = optimizer.number("beta1");
    final double beta2 = optimizer.number("beta2");
    final double epsilon = optimizer.number("eps");
    final double stepPower = optimizer.number("r");
    final double ratePower = optimizer.number("weight_lr_power");
    final double decay = optimizer.number("weight_decay");
    final String name = optimizer.text("rule");
    final Rule rule =
        switch (name) {
          case "sgd" -> new ScheduleFreeSGD(beta1, stepPower, ratePower, decay);
          case "adamw" -> new ScheduleFreeAdamW(beta1, beta2, epsilon, stepPower, ratePower, decay);
          default -> throw new UnsupportedException("rule '" + name + "' of kind 'schedule_free'");
        };
    final Schedule warmup = Schedule.warmup((long) optimizer.number("warmup_steps"));
    final FixedRate builder = FixedRate.of(optimizer.number("lr"), rule).schedule(warmup);
    if (optimizer.has("lr_schedule")) {
      final Schedule given = lrSchedule(optimizer);
      builder.schedule(step -> warmup.at(step) * given.at(step));
    }
    return new Candidate("", builder, Lost.NOTHING);
  }

  // A reference that does not store Delta recomputes it. Discounting a stored one is the same in exact arithmetic, and all that
  // float32 can do; in float64 both must agree with the recording.
  private static List<Candidate> mechanic(Fields optimizer, DataType type) {
    final Mechanic.Variant variant = variant(optimizer.text("variant"));
    final BaseRule base = BaseRule.of(optimizer.object("base"));
    if (optimizer.flag("store_delta"))
      return List.of(new Candidate("", mechanic(optimizer, base, variant, Delta.STORED), Lost.STEP));
    final Candidate discounted =
        new Candidate("DISCOUNTED", mechanic(optimizer, base, variant, Delta.DISCOUNTED), Lost.DELTA);
    if (type != DataType.FLOAT64) return List.of(discounted);
    return List.of(new Candidate("RECOMPUTED", mechanic(optimizer, base, variant, Delta.RECOMPUTED), Lost.STEP), discounted);
  }

  private static TunerBuilder<?> mechanic(Fields optimizer, BaseRule base, Mechanic.Variant variant, Delta delta) {
    final Mechanic mechanic =
        Mechanic.tuning(base.rule())
            .variant(variant)
            .delta(delta)
            .baseRate(base.rate())
            .decay(optimizer.number("s_decay"))
            .betas(optimizer.numbers("betas"))
            .initialScale(optimizer.number("s_init"))
            .epsilon(optimizer.number("eps"));
    return scheduled(mechanic, optimizer);
  }

  private static Mechanic.Variant variant(String name) {
    return switch (name) {
      case "torch" -> Mechanic.Variant.TORCH;
      case "optax" -> Mechanic.Variant.OPTAX;
      default -> throw new UnsupportedException("variant '" + name + "' of kind 'mechanic'");
    };
  }

  private static TunerBuilder<?> scheduled(TunerBuilder<?> builder, Fields optimizer) {
    return optimizer.has("lr_schedule") ? builder.schedule(lrSchedule(optimizer)) : builder;
  }

  private static Schedule lrSchedule(Fields optimizer) {
    final double[] factors = optimizer.numbers("lr_schedule");
    final Schedule schedule = Schedule.of(factors);
    return step -> {
      if (step > factors.length)
        throw new IllFormedException("lr_schedule ends at step " + factors.length + ", before the recorded steps do");
      return schedule.at(step);
    };
  }
}
