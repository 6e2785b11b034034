// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.NamedTensors.find;
import static org.steptuner.NamedTensors.make;
import static org.steptuner.NamedTensors.train;
import static org.steptuner.NamedTensors.usual;
import static org.steptuner.Refusal.assertRefused;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.NamedTensors.Spec;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.rule.ScheduleFreeAdamW;
import org.steptuner.rule.ScheduleFreeSGD;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.TunerBuilder;

/** A checkpoint in an optimizer with other tensors: state goes by name, what is new starts afresh, and nothing jumps. */
class RestoreTest extends CheckpointFileTest {
  private static final Device CPU = Device.cpu(1);

  /** Every tuner, in every scope that it can have. */
  static Stream<Configuration> scoped() {
    final List<Configuration> all = new ArrayList<>(TestOptimizers.some());
    all.addAll(TestOptimizers.others());
    final List<Configuration> scoped = new ArrayList<>();
    for (Configuration configuration : all) {
      scoped.add(configuration);
      for (Scope scope : List.of(Scope.GROUP, Scope.TENSOR)) {
        final Supplier<TunerBuilder<?>> builder = () -> TestOptimizers.scope(configuration.builder().get(), scope);
        if (builder.get() != null) scoped.add(new Configuration(configuration.name() + " by " + scope, builder));
      }
    }
    return scoped.stream();
  }

  /** Whether tensors have nothing to do with each other. */
  private static boolean byTensor(Configuration configuration) {
    return configuration.name().endsWith("by TENSOR") || configuration.builder().get() instanceof FixedRate;
  }

  /** Trains some steps and saves. */
  private SavedState save(Configuration configuration, List<Spec> specs) {
    try (TestTensors tensors = make(specs, 0); Optimizer optimizer = configuration.build(tensors.on(CPU))) {
      train(tensors, optimizer, 0, 5);
      optimizer.save(file);
      return SavedState.of(optimizer);
    }
  }

  private interface Look {
    void at(TestTensors tensors, Optimizer optimizer, Restored restored);
  }

  /** Restores into an optimizer that has done other things before, and is evaluating. */
  private void restored(Configuration configuration, List<Spec> specs, RestoreOptions options, Look look) {
    try (TestTensors tensors = make(specs, 1); Optimizer optimizer = configuration.build(tensors.on(CPU))) {
      train(tensors, optimizer, 20, 23);
      optimizer.evaluating();
      final Restored restored = optimizer.restore(file, options);
      assertFalse(optimizer.isEvaluating());
      assertEquals(restored.steps(), optimizer.steps());
      look.at(tensors, optimizer, restored);
    }
  }

  @ParameterizedTest
  @MethodSource("scoped")
  void whatIsTheSameIsExact(Configuration configuration) {
    final SavedState saved = save(configuration, usual());
    for (RestoreOptions options : List.of(RestoreOptions.strict(), RestoreOptions.lenient()))
      restored(configuration, usual(), options, (tensors, optimizer, restored) -> {
        assertTrue(restored.isExact(), restored.toString());
        saved.assertSame(SavedState.of(optimizer), "the same set");
      });
  }

  // No type that state of 16 bits cannot be beside.
  private static List<Spec> narrow() {
    final List<Spec> narrow = new ArrayList<>();
    for (Spec spec : usual())
      narrow.add(spec.type() == DataType.FLOAT64 ? new Spec(spec.name(), spec.group(), DataType.FLOAT16, spec.count()) : spec);
    return narrow;
  }

  /** State of 16 bits: in the same set, in another order, and beside a tensor that joins. */
  @ParameterizedTest
  @MethodSource("scoped")
  void stateOf16Bits(Configuration wide) {
    final Configuration configuration = wide.narrow();
    final SavedState saved = save(configuration, narrow());
    restored(configuration, narrow(), RestoreOptions.strict(), (tensors, optimizer, restored) -> {
      assertTrue(restored.isExact(), restored.toString());
      saved.assertSame(SavedState.of(optimizer), "the same set");
    });
    final List<Spec> other = narrow();
    Collections.reverse(other);
    restored(configuration, other, RestoreOptions.strict().allowOrder(), (tensors, optimizer, restored) -> optimizer.save(file));
    restored(
        configuration, narrow(), RestoreOptions.strict().allowOrder(),
        (tensors, optimizer, restored) -> saved.assertSame(SavedState.of(optimizer), "there and back"));
    save(configuration, narrow());
    final List<Spec> larger = narrow();
    larger.add(1, new Spec("added", "third", DataType.BFLOAT16, 9));
    restored(configuration, larger, RestoreOptions.strict().allowNewTensors(), (tensors, optimizer, restored) -> {
      try (TestTensors alone = make(narrow(), 1); Optimizer exact = configuration.build(alone.on(CPU))) {
        exact.restore(file);
        for (Spec spec : narrow()) assertSame(alone, exact, tensors, optimizer, spec.name(), configuration.name());
      }
      final double[] before = find(tensors, "added").parameters().toDoubles();
      train(tensors, optimizer, 5, 7);
      assertTrue(distance(before, find(tensors, "added").parameters().toDoubles()) < 1, configuration.name());
    });
  }

  /** There and back again: what comes back is what was saved, bit for bit. */
  private void assertRoundTrip(Configuration configuration, List<Spec> other, RestoreOptions there, RestoreOptions back, Look look) {
    final SavedState saved = save(configuration, usual());
    restored(configuration, other, there, (tensors, optimizer, restored) -> {
      assertFalse(restored.newTensors().size() + restored.unusedTensors().size() > 0, restored.toString());
      look.at(tensors, optimizer, restored);
      optimizer.save(file);
    });
    restored(
        configuration, usual(), back,
        (tensors, optimizer, restored) -> saved.assertSame(SavedState.of(optimizer), "there and back"));
  }

  @ParameterizedTest
  @MethodSource("scoped")
  void anotherOrder(Configuration configuration) {
    final List<Spec> other = usual();
    Collections.reverse(other);
    Collections.swap(other, 0, 1); // b, v, w: the groups change their order as well
    final RestoreOptions order = RestoreOptions.strict().allowOrder();
    assertRoundTrip(
        configuration, other, order, order, (tensors, optimizer, restored) -> assertTrue(restored.reordered() && !restored.isExact()));
    save(configuration, usual());
    assertRefusedWith(configuration, other, RestoreOptions.strict(), "'v'", "'w'", "allowOrder");
    restored(configuration, other, order, (tensors, optimizer, restored) -> train(tensors, optimizer, 5, 7));
  }

  @ParameterizedTest
  @MethodSource("scoped")
  void otherNames(Configuration configuration) {
    final List<Spec> other = new ArrayList<>(usual());
    other.set(0, other.get(0).named("v"));
    other.set(2, other.get(2).named("new"));
    final RestoreOptions there = RestoreOptions.strict().renamed(Map.of("v", "w", "new", "v"));
    final RestoreOptions back = RestoreOptions.strict().renamed(Map.of("w", "v", "v", "new"));
    assertRoundTrip(configuration, other, there, back, (tensors, optimizer, restored) -> {
      assertTrue(restored.isExact(), restored.toString());
      assertEquals(Map.of("v", "w", "new", "v"), restored.renamed());
    });
    save(configuration, usual());
    assertRefusedWith(configuration, other, RestoreOptions.strict(), "tensor");
  }

  /** A tensor that the file lacks, before, between and behind those that it has, in a group that there is and in a new one. */
  private static List<Spec> larger(int place, String group) {
    final List<Spec> larger = usual();
    larger.add(place, new Spec("added", group, place == 1 ? DataType.FLOAT64 : DataType.FLOAT32, 9));
    return larger;
  }

  @ParameterizedTest
  @MethodSource("scoped")
  void aLargerSet(Configuration configuration) {
    for (int place = 0; place <= 3; ++place)
      for (String group : List.of("default", "third")) assertJoins(configuration, larger(place, group));
    save(configuration, usual());
    assertRefusedWith(
        configuration, larger(3, "third"),
        RestoreOptions.strict().allowSettings().allowUnusedTensors().allowOrder().allowGroups(), "[added]", "allowNewTensors");
  }

  private void assertJoins(Configuration configuration, List<Spec> larger) {
    final SavedState saved = save(configuration, usual());
    final String what = configuration + " with " + larger;
    restored(configuration, larger, RestoreOptions.strict().allowNewTensors(), (tensors, optimizer, restored) -> {
      assertEquals(List.of("added"), restored.newTensors());
      assertFalse(restored.isExact());
      final TestTensors.Tensor added = find(tensors, "added");
      // The old tensors have what the file has; the new one has kept its parameters, also where an average is evaluated.
      try (TestTensors alone = make(usual(), 1); Optimizer exact = configuration.build(alone.on(CPU))) {
        exact.restore(file);
        for (Spec spec : usual()) assertSame(alone, exact, tensors, optimizer, spec.name(), what);
        final double[] before = added.parameters().toDoubles();
        for (double x : before) assertTrue(x >= 0.5, what + ": training parameters " + Arrays.toString(before));
        optimizer.evaluating();
        assertArrayEquals(before, added.parameters().toDoubles(), 1e-6, what + ": evaluated");
        optimizer.training();
        assertArrayEquals(before, added.parameters().toDoubles(), 0, what);
        // Nothing jumps: the first steps of the new tensor are of the size of the others, or of those of a first step.
        final double[][] old = usual().stream().map(spec -> find(tensors, spec.name()).parameters().toDoubles()).toArray(double[][]::new);
        train(tensors, optimizer, 5, 7);
        double size = firstSteps(configuration, larger);
        for (int i = 0; i < old.length; ++i)
          size = Math.max(size, distance(old[i], find(tensors, usual().get(i).name()).parameters().toDoubles()));
        final double moved = distance(before, added.parameters().toDoubles());
        assertTrue(moved <= 10 * size + 1e-12, what + ": moved by " + moved + " where others move by " + size);
        // Where scopes are tensors the old ones do not notice that there is another.
        train(alone, exact, 5, 7);
        if (byTensor(configuration))
          for (Spec spec : usual()) assertSame(alone, exact, tensors, optimizer, spec.name(), what + ", two steps on");
      }
      optimizer.save(file);
    });
    // And back: the new tensor is left out, and what it has changed is but the scalars that it shared.
    restored(configuration, usual(), RestoreOptions.strict().allowUnusedTensors(), (tensors, optimizer, restored) -> {
      assertEquals(List.of("added"), restored.unusedTensors());
      train(tensors, optimizer, 7, 9);
      for (double x : tensors.values()) assertTrue(Double.isFinite(x), what);
    });
    assertTrue(saved.entries().size() > 1);
  }

  /** How far the steps of a new run go that has the tensors from its beginning. */
  private static double firstSteps(Configuration configuration, List<Spec> specs) {
    try (TestTensors tensors = make(specs, 1); Optimizer optimizer = configuration.build(tensors.on(CPU))) {
      final double[] before = tensors.values();
      train(tensors, optimizer, 5, 7);
      return distance(before, tensors.values());
    }
  }

  static double distance(double[] from, double[] to) {
    double most = 0;
    for (int i = 0; i < from.length; ++i) {
      assertTrue(Double.isFinite(to[i]), "a parameter is " + to[i]);
      most = Math.max(most, Math.abs(to[i] - from[i]));
    }
    return most;
  }

  private static void assertSame(
      TestTensors expected, Optimizer of, TestTensors actual, Optimizer optimizer, String name, String what) {
    TestTensors.assertSameBits(find(expected, name).parameters(), find(actual, name).parameters(), what + ": " + name);
    for (String slot : of.slots())
      assertArrayEquals(bytes(of.state(slot, name)), bytes(optimizer.state(slot, name)), what + ": " + slot + " of " + name);
  }

  static byte[] bytes(StateTensor state) {
    final byte[] bytes = new byte[(int) (state.count() * state.type().bytes())];
    new BytePointer((Pointer) null) {
      {
        address = state.address();
      }
    }.get(bytes);
    return bytes;
  }

  @ParameterizedTest
  @MethodSource("scoped")
  void aSmallerSet(Configuration configuration) {
    final List<Spec> smaller = List.of(usual().get(2), usual().get(0));
    save(configuration, usual());
    assertRefusedWith(configuration, smaller, RestoreOptions.strict().allowOrder(), "[b]", "allowUnusedTensors");
    restored(configuration, smaller, RestoreOptions.strict().allowOrder().allowUnusedTensors(), (tensors, optimizer, restored) -> {
      assertEquals(List.of("b"), restored.unusedTensors());
      try (TestTensors whole = make(usual(), 1); Optimizer exact = configuration.build(whole.on(CPU))) {
        exact.restore(file);
        for (Spec spec : smaller) assertSame(whole, exact, tensors, optimizer, spec.name(), "restored");
        train(whole, exact, 5, 7);
        train(tensors, optimizer, 5, 7);
        if (byTensor(configuration))
          for (Spec spec : smaller) assertSame(whole, exact, tensors, optimizer, spec.name(), "two steps on");
        for (double x : tensors.values()) assertTrue(Double.isFinite(x));
      }
    });
  }

  /** A tensor that has come to another group keeps its parameters and moves as the others do. */
  @ParameterizedTest
  @MethodSource("scoped")
  void otherGroups(Configuration configuration) {
    final List<Spec> other = usual();
    other.set(2, other.get(2).in("bias"));
    save(configuration, usual());
    assertRefusedWith(configuration, other, RestoreOptions.strict(), "'v'", "'default'", "'bias'", "allowGroups");
    final boolean byGroup = configuration.name().endsWith("by GROUP");
    restored(configuration, other, RestoreOptions.strict().allowGroups(), (tensors, optimizer, restored) -> {
      assertEquals(List.of("v"), restored.regrouped());
      assertEquals(byGroup ? List.of("v") : List.of(), restored.restarted());
      final double[] before = tensors.values();
      try (TestTensors whole = make(usual(), 1); Optimizer exact = configuration.build(whole.on(CPU))) {
        exact.restore(file);
        assertArrayEquals(whole.values(), before);
        train(whole, exact, 5, 7);
        train(tensors, optimizer, 5, 7);
        final double size = Math.max(firstSteps(configuration, other), distance(before, whole.values()));
        assertTrue(distance(before, tensors.values()) <= 10 * size + 1e-12);
      }
    });
    // A group that has another name is the same group.
    final List<Spec> renamed = usual().stream().map(spec -> spec.group().equals("bias") ? spec.in("biases") : spec).toList();
    restored(configuration, renamed, RestoreOptions.strict().allowGroups(), (tensors, optimizer, restored) -> {
      assertEquals(List.of(), restored.restarted());
      try (TestTensors whole = make(usual(), 1); Optimizer exact = configuration.build(whole.on(CPU))) {
        exact.restore(file);
        train(whole, exact, 5, 7);
        train(tensors, optimizer, 5, 7);
        tensors.assertSameParameters(whole, "under another name of the group");
      }
    });
  }

  /** Groups that become one: an average goes on with its weight, and does not begin again. */
  @Test
  void groupsThatBecomeOne() {
    for (Rule rule : List.of(ScheduleFreeSGD.defaults(), ScheduleFreeAdamW.defaults())) {
      final Configuration configuration = new Configuration("", () -> FixedRate.of(0.01, rule));
      save(configuration, usual());
      final List<Spec> one = usual().stream().map(spec -> spec.in("all")).toList();
      restored(configuration, one, RestoreOptions.strict().allowGroups(), (tensors, optimizer, restored) -> {
        assertEquals(List.of(), restored.restarted());
        try (TestTensors whole = make(usual(), 1); Optimizer exact = configuration.build(whole.on(CPU))) {
          exact.restore(file);
          train(whole, exact, 5, 7);
          train(tensors, optimizer, 5, 7);
          tensors.assertSameParameters(whole, rule + " in training");
          exact.evaluating();
          optimizer.evaluating();
          tensors.assertSameParameters(whole, rule + " to evaluate");
        }
      });
    }
  }

  /** The new settings count, and all else is that of the file. */
  @ParameterizedTest
  @MethodSource("scoped")
  void otherSettings(Configuration configuration) {
    final SavedState saved = save(configuration, usual());
    final Configuration clipped = new Configuration(configuration.name(), () -> configuration.builder().get().clipNorm(0.5));
    assertRefusedWith(clipped, usual(), RestoreOptions.strict(), "clipNorm is Infinity in the file and 0.5 here", "allowSettings");
    restored(clipped, usual(), RestoreOptions.strict().allowSettings(), (tensors, optimizer, restored) -> {
      assertEquals(List.of(new Restored.Setting("clipNorm", "Infinity", "0.5")), restored.settings());
      assertEquals(
          saved.manifest().replace("setting.clipNorm=Infinity", "setting.clipNorm=0.5"), SavedState.of(optimizer).manifest());
      train(tensors, optimizer, 5, 6);
      assertTrue(optimizer.report().clipFactor() < 1, "it clips");
    });
  }

  @ParameterizedTest
  @MethodSource("scoped")
  void stateAlone(Configuration configuration) {
    save(configuration, usual());
    restored(configuration, usual(), RestoreOptions.strict().keepParameters(), (tensors, optimizer, restored) -> {
      assertTrue(restored.parametersKept() && !restored.isExact());
      try (TestTensors whole = make(usual(), 1); Optimizer exact = configuration.build(whole.on(CPU))) {
        train(whole, exact, 20, 23);
        tensors.assertSameParameters(whole, "as they were in training");
        exact.restore(file);
        for (Spec spec : usual())
          for (String slot : optimizer.slots())
            if (!List.of("reference", "start", "point", "average").contains(slot)) // those are fitted to the parameters
              assertArrayEquals(
                  bytes(exact.state(slot, spec.name())), bytes(optimizer.state(slot, spec.name())), slot + " of " + spec.name());
      }
    });
  }

  /** With the weights that belong to the file, which the trainer has loaded, nothing differs. */
  @ParameterizedTest
  @MethodSource("scoped")
  void stateAloneWithTheSameParameters(Configuration configuration) {
    final SavedState saved = save(configuration, usual());
    try (TestTensors whole = make(usual(), 1); Optimizer exact = configuration.build(whole.on(CPU))) {
      exact.restore(file);
      restored(configuration, usual(), RestoreOptions.strict(), (tensors, optimizer, unused) -> {
        train(tensors, optimizer, 5, 7);
        for (TestTensors.Tensor tensor : tensors.all()) tensor.parameters().copyFrom(find(whole, tensor.name()).parameters());
        optimizer.restore(file, RestoreOptions.strict().keepParameters());
        saved.assertSame(SavedState.of(optimizer), "with the weights of the file");
      });
    }
  }

  private void assertRefusedWith(Configuration configuration, List<Spec> specs, RestoreOptions options, String... inMessage) {
    try (TestTensors tensors = make(specs, 1); Optimizer optimizer = configuration.build(tensors.on(CPU))) {
      train(tensors, optimizer, 20, 22);
      final SavedState before = SavedState.of(optimizer);
      final String message = assertRefused(CheckpointException.class, () -> optimizer.restore(file, options), inMessage).getMessage();
      assertTrue(message.contains(file.toString()), message);
      before.assertSame(SavedState.of(optimizer), "refused");
    }
  }

  private static final Configuration SMALL = new Configuration("Mechanic", () -> Mechanic.tuning(AdamW.defaults()));

  @Test
  void typesOfParameters() {
    save(SMALL, usual());
    final List<Spec> other = usual();
    other.set(0, new Spec("w", "default", DataType.FLOAT16, 41));
    assertRefusedWith(SMALL, other, RestoreOptions.lenient(), "'w'", "FLOAT32", "FLOAT16", "keepParameters");
    restored(SMALL, other, RestoreOptions.strict().keepParameters(), (tensors, optimizer, restored) -> train(tensors, optimizer, 5, 7));
    other.set(0, new Spec("w", "default", DataType.FLOAT64, 41));
    assertRefusedWith(SMALL, other, RestoreOptions.lenient().keepParameters(), "'w'", "FLOAT32", "FLOAT64", "no option");
  }

  @Test
  void whatIsNeverAccepted() {
    save(SMALL, usual());
    final RestoreOptions all = RestoreOptions.lenient().keepParameters();
    final List<Spec> other = usual();
    other.set(0, new Spec("w", "default", DataType.FLOAT32, 42));
    assertRefusedWith(SMALL, other, all, "'w'", "41", "42", "no option");
    assertRefusedWith(new Configuration("", () -> FixedRate.of(1, AdamW.defaults())), usual(), all, "Mechanic", "FixedRate", "no option");
    assertRefusedWith(new Configuration("", () -> Mechanic.tuning(SGD.defaults())), usual(), all, "rule", "AdamW", "SGD", "no option");
    assertRefusedWith(
        new Configuration("", () -> Mechanic.tuning(AdamW.defaults()).delta(Mechanic.Delta.STORED)), usual(), all, "delta", "DISCOUNTED",
        "STORED", "no option");
    assertRefusedWith(
        new Configuration("", () -> Mechanic.tuning(AdamW.defaults()).scope(Scope.TENSOR)), usual(), all, "scope", "ALL", "TENSOR");
    assertRefusedWith(SMALL, List.of(new Spec("x", "default", DataType.FLOAT32, 1)), all, "none of its tensors", "x");
  }

  @Test
  void namesThatAreNotThere() {
    save(SMALL, usual());
    assertRefusedWith(SMALL, usual(), RestoreOptions.lenient().renamed(Map.of("w", "nowhere")), "'nowhere'", "'w'");
    try (TestTensors tensors = make(usual(), 1); Optimizer optimizer = SMALL.build(tensors.on(CPU))) {
      assertRefused(
          IllegalArgumentException.class, () -> optimizer.restore(file, RestoreOptions.lenient().renamed(Map.of("nobody", "w"))),
          "'nobody'");
      assertRefused(NullPointerException.class, () -> optimizer.restore(file, null), "options");
    }
    assertRefused(IllegalArgumentException.class, () -> RestoreOptions.strict().renamed(Map.of("a", "w", "b", "w")), "'w'", "'a'", "'b'");
    assertRefused(NullPointerException.class, () -> RestoreOptions.strict().renamed(null), "nameInFile");
  }

  /** Settings of a group are compared by the group's name, and a value that is the rule's as well is said once. */
  @Test
  void settingsOfGroups() {
    save(new Configuration("", () -> FixedRate.of(1, AdamW.defaults()).group("bias", AdamW.defaults().weightDecay(0), 0.5)), usual());
    final Configuration other =
        new Configuration(
            "", () -> FixedRate.of(1, AdamW.defaults().epsilon(1e-6)).group("bias", AdamW.defaults().weightDecay(0.5).epsilon(1e-6), 2));
    restored(
        other, usual(), RestoreOptions.strict().allowSettings(),
        (tensors, optimizer, restored) -> assertEquals(
            List.of(
                new Restored.Setting("rule.epsilon", "1.0E-8", "1.0E-6"), new Restored.Setting("group 'bias': rateFactor", "0.5", "2.0"),
                new Restored.Setting("group 'bias': rule.weightDecay", "0.0", "0.5")),
            restored.settings()));
    // A group that was named with the values of all is no other optimizer.
    save(new Configuration("", () -> FixedRate.of(1, AdamW.defaults())), usual());
    restored(
        new Configuration("", () -> FixedRate.of(1, AdamW.defaults()).group("bias", AdamW.defaults())), usual(), RestoreOptions.strict(),
        (tensors, optimizer, restored) -> assertTrue(restored.isExact()));
  }

  @Test
  void reportsAndOptionsInWords() {
    save(SMALL, usual());
    restored(SMALL, larger(1, "third"), RestoreOptions.lenient(), (tensors, optimizer, restored) -> {
      for (String part : List.of("step 5", "version 3", "[added]")) assertTrue(restored.toString().contains(part), restored.toString());
    });
    assertTrue(RestoreOptions.lenient().toString().contains("settings=true"));
    assertTrue(RestoreOptions.strict().toString().contains("settings=false"));
  }
}
