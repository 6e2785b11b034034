// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import java.util.Map;
import org.steptuner.Scope;
import org.steptuner.conformance.Candidate.Lost;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.Hypergradient;
import org.steptuner.tuner.MetaCurvature;
import org.steptuner.tuner.MetaOptimize;

/** The cases of kinds {@code metaoptimize} and {@code hypergradient}. */
final class MetaCases {
  private MetaCases() {}

  static Candidate metaOptimize(Fields optimizer) {
    final MetaOptimize.Variant variant =
        switch (optimizer.text("variant")) {
          case "paper_code" -> MetaOptimize.Variant.PAPER_CODE;
          case "package" -> MetaOptimize.Variant.PACKAGE;
          default -> throw new UnsupportedException("variant '" + optimizer.text("variant") + "' of kind 'metaoptimize'");
        };
    final Fields base = optimizer.object("base");
    final Fields meta = optimizer.object("meta");
    final MetaOptimize builder =
        MetaOptimize.tuning(rule(base, base.number("weight_decay", 0)))
            .variant(variant)
            .meta(rule(meta, 0))
            .metaStepSize(meta.number("meta_step_size"))
            .gamma(optimizer.number("gamma"))
            .initialStepSize(optimizer.number("alpha0"));
    base.refuseOthers();
    meta.refuseOthers();
    if (variant == MetaOptimize.Variant.PAPER_CODE) builder.epsilon(optimizer.number("eps_inside_root"));
    double[][] blocks = null;
    if (optimizer.isArray("blocks")) {
      blocks = optimizer.rows("blocks", false);
      builder.scope(Scope.GROUP);
    } else if (optimizer.has("blocks")) {
      if (!optimizer.text("blocks").equals("each_tensor"))
        throw new IllFormedException("blocks must be null, 'each_tensor' or lists of tensors, not '" + optimizer.text("blocks") + "'");
      builder.scope(Scope.TENSOR);
    }
    if (optimizer.flag("per_weight", false)) builder.perWeight();
    return new Candidate("", builder, Lost.NOTHING, blocks, optimizer.has("curvature") ? curved(builder, optimizer) : null);
  }

  private static TrainerSide curved(MetaOptimize builder, Fields optimizer) {
    final MetaCurvature curvature =
        switch (optimizer.text("curvature")) {
          case "product" -> MetaCurvature.PRODUCT;
          case "diagonal" -> MetaCurvature.DIAGONAL;
          default -> throw new UnsupportedException("curvature '" + optimizer.text("curvature") + "' under MetaOptimize");
        };
    builder.curvature(curvature).approximation(
        switch (optimizer.text("approximation")) {
          case "L" -> MetaOptimize.Approximation.L;
          case "2x2" -> MetaOptimize.Approximation.TWO_BY_TWO;
          default -> throw new UnsupportedException("approximation '" + optimizer.text("approximation") + "' under MetaOptimize");
        });
    return new TrainerSide(curvature);
  }

  // As the reference names them: `normalizer` is the discount of squares, `momentum` that of gradients, `lion_beta2` Lion's blend.
  private static Rule rule(Fields rule, double decay) {
    return switch (rule.text("rule")) {
      case "sgd" -> SGD.defaults().weightDecay(decay);
      case "sgdm" -> SGD.defaults().momentum(rule.number("momentum")).weightDecay(decay);
      case "rmsprop" -> RMSProp.defaults().alpha(rule.number("normalizer")).weightDecay(decay);
      case "adam" -> Adam.defaults().betas(rule.number("momentum"), rule.number("normalizer")).weightDecay(decay);
      case "adamw" ->
          rule.has("betas")
              ? adam(rule, decay)
              : AdamW.defaults().betas(rule.number("momentum"), rule.number("normalizer")).weightDecay(decay);
      case "lion" -> Lion.defaults().betas(rule.number("lion_beta2"), rule.number("momentum")).weightDecay(decay);
      default -> throw new UnsupportedException("rule '" + rule.text("rule") + "' under MetaOptimize");
    };
  }

  private static AdamW adam(Fields rule, double decay) {
    final double[] betas = rule.numbers("betas");
    if (betas.length != 2) throw new IllFormedException("betas of a rule must be two, not " + betas.length);
    return AdamW.defaults().betas(betas[0], betas[1]).epsilon(rule.number("eps")).weightDecay(decay);
  }

  static Candidate hypergradient(Fields optimizer) {
    final Hypergradient builder =
        switch (optimizer.text("variant")) {
          case "additive_released" -> released(optimizer);
          case "additive" -> hypergradient(optimizer, Hypergradient.Variant.ADDITIVE, "alpha");
          case "multiplicative" -> hypergradient(optimizer, Hypergradient.Variant.MULTIPLICATIVE, "beta");
          default -> throw new UnsupportedException("variant '" + optimizer.text("variant") + "' of kind 'hypergradient'");
        };
    return new Candidate("", builder, Lost.NOTHING);
  }

  private static Hypergradient hypergradient(Fields optimizer, Hypergradient.Variant variant, String hyperRate) {
    final BaseRule base = BaseRule.of(optimizer.object("base"));
    if (base.rate() != 1) throw new UnsupportedException("a base rate other than 1 under hypergradient descent");
    return Hypergradient.tuning(base.rule(), optimizer.number("eta0"), optimizer.number(hyperRate)).variant(variant);
  }

  // The release for Adam goes from tensor to tensor.
  private static Hypergradient released(Fields optimizer) {
    final boolean adam = optimizer.text("rule").equals("adam");
    if (!adam && !optimizer.text("rule").equals("sgd"))
      throw new UnsupportedException("rule '" + optimizer.text("rule") + "' of the released hypergradient descent");
    final double decay = optimizer.number("weight_decay");
    final Rule rule;
    if (adam) {
      final double[] betas = optimizer.numbers("betas");
      if (betas.length != 2) throw new IllFormedException("betas must be two, not " + betas.length);
      rule = new Adam(betas[0], betas[1], optimizer.number("eps"), decay);
    } else {
      rule = new SGD(optimizer.number("momentum"), optimizer.flag("nesterov"), decay);
    }
    final Hypergradient builder =
        Hypergradient.tuning(rule, optimizer.number("lr"), optimizer.number("hypergrad_lr"))
            .variant(Hypergradient.Variant.ADDITIVE_RELEASED);
    return adam ? builder.inTensorOrder() : builder;
  }

  /** Adds the names that recordings have for the scalars of these optimizers. */
  static void expose(Map<String, double[]> scalars) {
    rename(scalars, "z", "meta_grad");
    if (scalars.containsKey("beta")) {
      rename(scalars, "m", "momentum_meta");
      rename(scalars, "m", "meta_momentum");
      rename(scalars, "v", "trace_meta");
      rename(scalars, "betaTrace", "beta_trace");
    }
    if (scalars.containsKey("rate")) {
      final double[] rates = scalars.get("rate");
      scalars.put("lr", new double[] {rates[rates.length - 1]});
      scalars.put("eta", new double[] {rates[rates.length - 1]});
    }
  }

  private static void rename(Map<String, double[]> scalars, String from, String to) {
    if (scalars.containsKey(from)) scalars.put(to, scalars.get(from));
  }
}
