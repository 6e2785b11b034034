// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.ParameterRounding;
import org.steptuner.ParameterSet;
import org.steptuner.Scope;
import org.steptuner.internal.engine.Kernel;
import org.steptuner.internal.engine.Plan;
import org.steptuner.internal.engine.Precision;
import org.steptuner.internal.engine.Storage;
import org.steptuner.internal.engine.Sweep;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.RuleStep;
import org.steptuner.rule.SGD;
import org.steptuner.rule.SuppliedUpdate;

/** Every sweep against its twin, which moves the same arrays the same way and computes nothing. */
final class SweepSuite {
  private static final double RATE = 1e-6; // values must stay where they are, however often a sweep is run
  private static final long STEP = 1000;

  /** Of the others it does not matter what they are, as long as nothing becomes too small for a normal number. */
  private static final Map<String, Double> COEFFICIENTS =
      Map.of("gradientScale", 1.0, "oldScale", RATE, "newScale", RATE, "retention", 0.999, "inverseScale", 1.0);

  private static final List<Rule> RULES =
      List.of(
          SGD.defaults(), SGD.defaults().momentum(0.9), RMSProp.defaults(), RMSProp.defaults().momentum(0.9), AdaGrad.defaults(),
          AdamW.defaults(), Lion.defaults(), new SuppliedUpdate());

  private static final List<String> OVER_NONE =
      List.of("gradient_norm", "reference", "mechanic_observe", "mechanic_observe_plain", "mechanic_scale");
  private static final List<String> OVER_RULES =
      List.of(
          "fixed_rate", "mechanic_apply", "mechanic_accumulate", "mechanic_observe_recomputed", "mechanic_apply_recomputed");

  /** The sweeps of other tuners, "sweep/rule", at fewer sizes. MetaOptimize's without curvature are in {@link MetaSuite}. */
  private static final List<String> OTHERS =
      List.of(
          "fixed_rate/ademamix", "fixed_rate/adan", "fixed_rate/mda", "fixed_rate/spa", "fixed_rate/schedule_free_sgd",
          "fixed_rate/schedule_free_adamw", "prodigy_observe_stored/adam", "prodigy_apply_stored/adam", "prodigy_apply_accumulated/adam",
          "prodigy_apply_stored/schedule_free_adamw", "prodigy_apply_accumulated/schedule_free_adamw", "dadaptation/sgd",
          "dadaptation/adam", "dadaptation/adagrad", "dadaptation/lion", "dadaptation/adan", "distance_apply",
          "distance_apply_averaged", "momo_observe/momentum", "momo_apply/momentum", "momo_observe/adam", "momo_apply/adam",
          "momo_observe/rmsprop", "momo_apply/rmsprop", "metaoptimize_curved/sgd", "metaoptimize_curved/momentum",
          "metaoptimize_curved/rmsprop", "metaoptimize_curved/adam", "metaoptimize_curved_per_weight_adam/adam",
          "metaoptimize_curved_2x2_per_weight_sgd/lion", "metaoptimize_curved_2x2_per_weight_adam/adam", "hypergradient_observe",
          "hypergradient_apply/adam", "gradient_norm_decay", "gradagrad_average/sgd", "adagrad_norm_average/sgd", "gradagrad_diagonal/sgd",
          "gradagrad_diagonal_average/sgd", "dog_apply/sgd", "dog_apply_averaged/sgd", "dog_apply_recomputed/sgd",
          "dog_apply_recomputed_averaged/sgd", "direction/adam", "direction/lion", "direction/madgrad", "direction/supplied", "trial",
          "newton_window", "vector_products", "vector_combination", "evaluating", "training", "exponential_average");
  private static final Set<Long> SIZES_OF_OTHERS = Set.of(100_000L, 10_000_000L);

  private static final Set<String> QUICK =
      Set.of(
          "gradient_norm", "mechanic_observe", "mechanic_scale", "fixed_rate/adam", "fixed_rate/lion", "fixed_rate/sgd",
          "mechanic_apply/adam", "mechanic_accumulate/adam");

  private SweepSuite() {}

  /** What parameters and gradients are, and the state. */
  private enum Types {
    FLOAT32(DataType.FLOAT32, DataType.FLOAT32),
    BFLOAT16(DataType.BFLOAT16, DataType.FLOAT32),
    STATE_BFLOAT16(DataType.FLOAT32, DataType.BFLOAT16),
    ALL_BFLOAT16(DataType.BFLOAT16, DataType.BFLOAT16);

    final DataType model;
    final DataType state;

    Types(DataType model, DataType state) {
      this.model = model;
      this.state = state;
    }

    /** As in tables. */
    String title() {
      return name().toLowerCase(java.util.Locale.ROOT).replace('_', ' ');
    }

    /** A reference is a copy of parameters, and stored as they are. */
    Storage storage(String slot) {
      if (state == DataType.FLOAT32) return Storage.COMPUTED;
      return slot.equals("reference") ? Storage.AS_PARAMETER : Storage.BFLOAT16;
    }
  }

  /** A sweep over a rule ("" for none), and the Java rule whose coefficients it takes; null where it has its own. */
  private record Kind(String sweep, String kernel, Rule rule) {
    static Kind of(String id) {
      final int slash = id.indexOf('/');
      return slash < 0 ? new Kind(id, "", null) : new Kind(id.substring(0, slash), id.substring(slash + 1), null);
    }

    String id() {
      return kernel.isEmpty() ? sweep : sweep + "/" + kernel;
    }

    boolean wanted(Settings settings) {
      return (!settings.quick() || QUICK.contains(id())) && settings.wants("sweep/" + id());
    }
  }

  private static List<Kind> kinds() {
    final List<Kind> kinds = new ArrayList<>();
    for (String sweep : OVER_NONE) kinds.add(Kind.of(sweep));
    for (String sweep : OVER_RULES) for (Rule rule : RULES) kinds.add(new Kind(sweep, rule.kernel(), rule));
    return kinds;
  }

  /** Arrays of one contender: a plan with every slot, and every kernel bound to it. */
  private static final class Arrays implements AutoCloseable {
    final Memory parameters;
    final Plan plan;

    Arrays(Device device, Types types, long size, Memory gradients, Memory updates, List<Kind> kinds) {
      final DataType type = types.model;
      parameters = Memory.filled(type, size, 1, 1);
      final Set<String> slots = new LinkedHashSet<>();
      for (Kind kind : kinds) slots.addAll(Kernel.slotsOf(kind.sweep, kind.kernel));
      final ParameterSet set =
          ParameterSet.on(device)
              .add("x", parameters.address(), type, gradients.address(), type, updates.address(), size)
              .build();
      final Map<String, Storage> stored = new LinkedHashMap<>();
      for (String slot : slots) stored.put(slot, types.storage(slot));
      plan = new Plan(set, stored, Scope.ALL, new Precision(types.state, ParameterRounding.STOCHASTIC, 0));
      for (String slot : slots) plan.fill(slot, 0.5);
    }

    Sweep bind(Kind kind) {
      final Sweep sweep = plan.bind(kind.sweep, kind.kernel);
      for (String name : sweep.coefficients()) sweep.put(name, COEFFICIENTS.getOrDefault(name, 0.5));
      if (kind.rule != null) kind.rule.coefficients(RuleStep.of(RATE, STEP), sweep);
      sweep.set(0);
      return sweep;
    }

    @Override
    public void close() {
      plan.close();
      parameters.close();
    }
  }

  private record Pass(String name, Sweep sweep) implements Contender {
    @Override
    public void run() {
      sweep.run();
    }

    @Override
    public boolean countsAllocation() {
      return true;
    }
  }

  static void run(Settings settings, Results results) {
    for (Types types : Types.values())
      for (long size : settings.sizes()) {
        results.header("Sweeps over " + size + " elements, " + types.title());
        for (int threads : settings.threads()) {
          if (settings.quick() && types != Types.FLOAT32 && threads == 1) continue;
          sweeps(types, size, threads, settings, results);
        }
      }
  }

  private static void sweeps(Types types, long size, int threads, Settings settings, Results results) {
    sweeps(kinds(), types, size, threads, settings, results);
    // One after the other: together their state would not fit into memory.
    if (SIZES_OF_OTHERS.contains(size))
      for (String other : OTHERS) sweeps(List.of(Kind.of(other)), types, size, threads, settings, results);
  }

  private static void sweeps(List<Kind> kinds, Types types, long size, int threads, Settings settings, Results results) {
    final List<Kind> wanted = kinds.stream().filter(kind -> kind.wanted(settings)).toList();
    if (wanted.isEmpty()) return;
    try (Memory gradients = Memory.filled(types.model, size, 2, 1);
        Memory updates = Memory.filled(DataType.FLOAT32, size, 3, RATE);
        Arrays ours = new Arrays(Device.cpu(threads), types, size, gradients, updates, wanted);
        Arrays twin = new Arrays(Device.fromLibrary(Streams.twinLibrary(), threads), types, size, gradients, updates, wanted)) {
      for (Kind kind : wanted) sweep(kind, ours, twin, types, size, threads, settings, results);
    }
  }

  private static void sweep(
      Kind kind, Arrays ours, Arrays twin, Types types, long size, int threads, Settings settings, Results results) {
    final Sweep sweep = ours.bind(kind);
    final Rounds rounds = Rounds.of(List.of(new Pass(kind.id(), sweep), new Pass("twin", twin.bind(kind))), settings);
    final double time = rounds.time(0);
    results.add(
        new Row(kind.id(), size, types.title(), threads, Machine.cpu(), time, (double) sweep.words(),
            sweep.bytes() / time, rounds.ratio(1, 0), null, null, rounds.allocated(0)));
  }
}
