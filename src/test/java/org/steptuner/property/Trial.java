// SPDX-License-Identifier: Apache-2.0
package org.steptuner.property;

import java.util.ArrayList;
import java.util.List;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import org.steptuner.DataType;
import org.steptuner.Scope;
import org.steptuner.TestOptimizers;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.tuner.TunerBuilder;

/**
 * A made-up training: tensors, an optimizer, and what its trainer calls. Everything else follows from the seed.
 *
 * @param form a place in {@link #FORMS}
 */
record Trial(List<Spec> tensors, int form, Scope scope, boolean clips, boolean averages, long seed, List<Call> calls) {
  /** Every rule at a fixed rate, every form of Mechanic, every other tuner. */
  static final List<Configuration> FORMS = forms();

  /** One tensor; the offset is in elements from a 64-byte boundary. */
  record Spec(int count, DataType type, DataType gradientType, int offset, int group) {
    String groupName() {
      return "group " + group;
    }
  }

  /** What a trainer calls; an action finds in the choice whatever it has to choose. */
  record Call(Action action, int choice) {}

  private static List<Configuration> forms() {
    final List<Configuration> forms = new ArrayList<>(TestOptimizers.some());
    forms.addAll(TestOptimizers.others());
    return forms;
  }

  String formName() {
    return FORMS.get(form).name();
  }

  TunerBuilder<?> builder() {
    final TunerBuilder<?> builder = FORMS.get(form).builder().get();
    TestOptimizers.scope(builder, scope);
    if (clips) builder.clipNorm(5);
    if (averages) builder.exponentialAverage(0.9);
    return isNarrow() ? TestOptimizers.narrow(builder) : builder;
  }

  /** Whether state has 16 bits: every other time, where that can be. */
  private boolean isNarrow() {
    return seed % 2 == 0 && tensors.stream().noneMatch(tensor -> tensor.type() == DataType.FLOAT64);
  }

  /** Any trainings with calls of these actions. */
  static Arbitrary<Trial> any(Action... actions) {
    return of(tensors(anyTypes()), actions);
  }

  /** The same in float64, where sums in another order are nearly the same. */
  static Arbitrary<Trial> inFloat64(Action... actions) {
    return of(tensors(Arbitraries.just(new DataType[] {DataType.FLOAT64, DataType.FLOAT64})), actions);
  }

  private static Arbitrary<Trial> of(Arbitrary<List<Spec>> tensors, Action... actions) {
    final Arbitrary<Call> call = Combinators.combine(Arbitraries.of(actions), Arbitraries.integers().between(0, 999)).as(Call::new);
    return Combinators
        .combine(
            tensors, Arbitraries.integers().between(0, FORMS.size() - 1), Arbitraries.of(Scope.class), Arbitraries.of(false, true),
            Arbitraries.of(false, true),
            Arbitraries.longs().between(0, 1_000_000), call.list().ofMinSize(1).ofMaxSize(12))
        .as(Trial::new);
  }

  private static Arbitrary<DataType[]> anyTypes() {
    return Combinators.combine(Arbitraries.of(DataType.class), Arbitraries.of(DataType.class)).as((x, g) -> new DataType[] {x, g});
  }

  // The sizes at which something begins: a vector, a lane, a strip, a chunk.
  private static Arbitrary<List<Spec>> tensors(Arbitrary<DataType[]> types) {
    final Arbitrary<Integer> counts =
        Arbitraries.oneOf(Arbitraries.of(0, 1, 7, 127, 128, 129, 511, 513, 4095, 4096, 4097, 8191, 8192, 8193), Arbitraries.integers()
            .between(0, 3000));
    return Combinators
        .combine(counts, types, Arbitraries.integers().between(0, 33), Arbitraries.integers().between(0, 2))
        .as((count, type, offset, group) -> new Spec(count, type[0], type[1], offset, group))
        .list()
        .ofMinSize(1)
        .ofMaxSize(6);
  }
}
