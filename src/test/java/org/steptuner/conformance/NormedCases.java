// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import java.util.function.Function;
import org.steptuner.Scope;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.DoG;
import org.steptuner.tuner.GradaGrad;
import org.steptuner.tuner.TunerBuilder;

/** The kinds {@code gradagrad}, {@code dog} and {@code dowg}. */
final class NormedCases {
  private NormedCases() {}

  static TunerBuilder<?> gradaGrad(Fields optimizer) {
    final Rule rule = new SGD(optimizer.number("momentum", 0), false, optimizer.number("weight_decay", 0));
    final String variant = optimizer.text("variant");
    return GradaGrad.tuning(rule, optimizer.number("gamma0"))
        .form(
            switch (variant) {
              case "scalar" -> GradaGrad.Form.SCALAR;
              case "diagonal" -> GradaGrad.Form.DIAGONAL;
              default -> throw new UnsupportedException("variant '" + variant + "' of kind 'gradagrad'");
            })
        .rho(optimizer.number("rho"))
        .r(optimizer.number("r"))
        .initialAccumulator(optimizer.number("alpha0", 0))
        .scope(optimizer.has("scope") ? scope(optimizer) : Scope.ALL);
  }

  static DoG dog(Fields optimizer, Function<Rule, DoG> kind) {
    final DoG dog =
        kind.apply(SGD.defaults().weightDecay(optimizer.number("weight_decay", 0)))
            .factor(optimizer.number("lr", 1))
            .epsilon(optimizer.number("eps"))
            .scope(scope(optimizer));
    if (optimizer.has("r_eps")) dog.relativeDistance(optimizer.number("r_eps"));
    if (optimizer.has("init_eta")) dog.initialStep(optimizer.number("init_eta"));
    if (optimizer.has("average_power")) dog.averaging(optimizer.number("average_power"));
    return dog;
  }

  private static Scope scope(Fields optimizer) {
    return switch (optimizer.text("scope")) {
      case "all" -> Scope.ALL;
      case "tensor" -> Scope.TENSOR;
      default -> throw new IllFormedException("scope must be 'all' or 'tensor', not '" + optimizer.text("scope") + "'");
    };
  }
}
