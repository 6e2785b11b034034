// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.steptuner.Device;
import org.steptuner.NonFinite;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.MetaOptimize;
import org.steptuner.tuner.TunerBuilder;

/** Base rules under MetaOptimize, with one step size and with one per weight, against the same rules at a fixed rate. */
final class MetaSuite {
  static final String UNDER = " under MetaOptimize";
  static final long SIZE = 10_000_000;
  private static final double RATE = 1e-6; // values must stay where they are, however many steps are made
  private static final double META_STEP_SIZE = 1e-9;

  private MetaSuite() {}

  private static Map<String, Rule> rules() {
    final Map<String, Rule> rules = new LinkedHashMap<>();
    rules.put("SGD", SGD.defaults());
    rules.put("SGD, momentum", SGD.defaults().momentum(0.9));
    rules.put("RMSProp", RMSProp.defaults());
    rules.put("AdamW", AdamW.defaults());
    rules.put("Lion", Lion.defaults());
    return rules;
  }

  private static MetaOptimize over(Rule rule, Rule meta) {
    return MetaOptimize.tuning(rule).meta(meta).metaStepSize(META_STEP_SIZE).initialStepSize(RATE).nonFinite(NonFinite.UNCHECKED);
  }

  static void run(Settings settings, Results results) {
    results.header("MetaOptimize over one tensor of " + SIZE + " elements, float32, against the base rule at a fixed rate");
    for (int threads : settings.threads()) {
      if (settings.quick() && threads == 1) continue;
      rules().forEach((name, rule) -> {
        if (settings.wants("meta/" + rule.kernel())) one(name, rule, threads, settings, results);
      });
    }
  }

  private static void one(String name, Rule rule, int threads, Settings settings, Results results) {
    final Map<String, TunerBuilder<?>> tuners = new LinkedHashMap<>();
    tuners.put(name, FixedRate.of(RATE, rule).nonFinite(NonFinite.UNCHECKED));
    tuners.put(name + UNDER, over(rule, Adam.defaults()));
    for (Rule meta : List.of(SGD.defaults(), RMSProp.defaults(), Adam.defaults(), Lion.defaults()))
      tuners.put(name + UNDER + ", per weight, " + meta.kernel(), over(rule, meta).perWeight());
    final List<Step> all = new ArrayList<>();
    try (Model gradients = Model.of(Shapes.one(SIZE))) {
      tuners.forEach((what, tuner) -> all.add(Step.of(what, Device.cpu(threads), gradients.sharing(), tuner)));
      final Rounds rounds = Rounds.of(all, settings);
      for (int i = 0; i < all.size(); ++i) {
        final double time = rounds.time(i);
        final double words = all.get(i).words();
        results.add(
            new Row(all.get(i).name(), SIZE, "float32", threads, Machine.cpu(), time, words, words * 4 * SIZE / time, null,
                i == 0 ? null : name, i == 0 ? null : rounds.ratio(i, 0), rounds.allocated(i)));
      }
    } finally {
      all.forEach(Contender::close);
    }
  }
}
