// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.util.ArrayList;
import java.util.List;
import org.steptuner.Scope;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.MetaOptimize;

/**
 * MetaOptimize over three base rules, with the hyperparameters of the paper's CIFAR10 experiments (its appendix C and Table 1): meta step
 * size 1e-3, gamma 1, the momenta below, decay 0.1 but none for SGD. Each from 1e-6 with one step size and with one per tensor, and with
 * one from larger first step sizes as well. Beside them what the choices mean: SGD with the paper's decay, and Lion with a meta step size
 * of 3e-3.
 */
final class MetaOptimizeRuns {
  static final double SMALLEST = 1e-6;
  static final double[] LARGER = {1e-5, 1e-4, 1e-3};
  private static final double DECAY = 0.1;
  private static final double META_STEP_SIZE = 1e-3;
  private static final double LARGER_META_STEP_SIZE = 3e-3;
  private static final String META = "3e-3";

  /**
   * A base rule and a meta rule.
   *
   * @param name begins the names of its runs
   * @param title in pictures
   */
  record Pair(String name, String title, Rule base, Rule meta) {
    private Run run(String suffix, String addition, double initialStepSize, double metaStepSize, Scope scope) {
      return new Run(
          name + suffix, title + addition,
          MetaOptimize.tuning(base).meta(meta).metaStepSize(metaStepSize).gamma(1).initialStepSize(initialStepSize).scope(scope));
    }

    private Run run(String suffix, String addition, double initialStepSize, Scope scope) {
      return run(suffix, addition, initialStepSize, META_STEP_SIZE, scope);
    }

    /** The name of the run from a first step size with one step size for all. */
    String scalarFrom(double initialStepSize) {
      return initialStepSize == SMALLEST ? name : name + "-from-" + text(initialStepSize);
    }

    /** The name of the run with a step size per tensor. */
    String perLayer() {
      return name + "-per-layer";
    }
  }

  private static final Rule ADAM = Adam.defaults().betas(0.9, 0.999);
  private static final Pair ADAMW_ADAM =
      new Pair("adamw-adam", "(AdamW, Adam)", AdamW.defaults().betas(0.9, 0.999).weightDecay(DECAY), ADAM);
  private static final Pair LION_LION =
      new Pair("lion-lion", "(Lion, Lion)", Lion.defaults().betas(0.9, 0.99).weightDecay(DECAY), Lion.defaults().betas(0.9, 0.99));
  private static final Pair SGDM_ADAM = new Pair("sgdm-adam", "(SGD with momentum, Adam)", SGD.defaults().momentum(0.9), ADAM);
  private static final Pair SGDM_DECAYED =
      new Pair("sgdm-adam-decay", "(SGD with momentum and decay, Adam)", SGD.defaults().momentum(0.9).weightDecay(DECAY), ADAM);

  static final List<Pair> PAIRS = List.of(ADAMW_ADAM, LION_LION, SGDM_ADAM);

  private MetaOptimizeRuns() {}

  static List<Run> all() {
    final List<Run> runs = new ArrayList<>();
    for (Pair pair : PAIRS) {
      runs.add(pair.run("", ", one step size", SMALLEST, Scope.ALL));
      runs.add(pair.run("-per-layer", ", one per tensor", SMALLEST, Scope.TENSOR));
    }
    for (Pair pair : PAIRS)
      for (double initial : LARGER) runs.add(pair.run("-from-" + text(initial), ", from " + text(initial), initial, Scope.ALL));
    for (Scope scope : List.of(Scope.ALL, Scope.TENSOR)) {
      final String suffix = scope == Scope.ALL ? "" : "-per-layer";
      runs.add(LION_LION.run("-meta-" + META + suffix, ", meta step size " + META, SMALLEST, LARGER_META_STEP_SIZE, scope));
      runs.add(SGDM_DECAYED.run(suffix, "", SMALLEST, scope));
    }
    return runs;
  }

  /** As in 1e-6. */
  static String text(double powerOfTen) {
    return "1e" + Math.round(Math.log10(powerOfTen));
  }
}
