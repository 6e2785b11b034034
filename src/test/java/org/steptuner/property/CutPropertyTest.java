// SPDX-License-Identifier: Apache-2.0
package org.steptuner.property;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Assume;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import org.steptuner.Device;
import org.steptuner.Scope;
import org.steptuner.property.Run.Piece;
import org.steptuner.property.Trial.Call;

/** How a model's elements are dealt to tensors is of no account where tensors share a scale. */
class CutPropertyTest {
  private static final int CHUNK = 4096;

  @Provide
  Arbitrary<Trial> anyTypes() {
    return Trial.any(Action.STEP, Action.MULTIPLIER, Action.FREEZE);
  }

  @Provide
  Arbitrary<Trial> float64() {
    return Trial.inFloat64(Action.STEP, Action.MULTIPLIER, Action.FREEZE);
  }

  /** Cuts tensors at multiples of {@code unit}, here and there. */
  private static List<Piece> cut(Trial trial, Random random, int unit) {
    final List<Piece> cut = new ArrayList<>();
    for (Piece whole : Run.whole(trial)) {
      int begin = 0;
      while (true) {
        final int most = (whole.count() - begin) / unit;
        final int end = most == 0 || random.nextInt(3) == 0 ? whole.count() : begin + unit * random.nextInt(most + 1);
        cut.add(whole.part(begin, end - begin).named("piece " + cut.size()));
        begin = end;
        if (end == whole.count()) break;
      }
    }
    return cut;
  }

  private static Run run(Trial trial, List<Piece> pieces) {
    return new Run(pieces, trial::builder, trial.seed(), Device.cpu(2));
  }

  // The first element of each tensor counts, so every cut is seen.
  private static void assumeNotSliced(Trial trial) {
    Assume.that(!trial.formName().contains("sliced"));
  }

  private static Trial sharing(Trial trial) {
    return trial.scope() == Scope.TENSOR
        ? new Trial(trial.tensors(), trial.form(), Scope.GROUP, trial.clips(), trial.averages(), trial.seed(), trial.calls()) : trial;
  }

  private static void train(Trial trial, Run one, Run other) {
    for (Call call : trial.calls()) {
      call.action().on(one, call.choice());
      call.action().on(other, call.choice());
    }
    one.step();
    other.step();
  }

  private static void assertSameBits(Run one, Run other, String what) {
    assertArrayEquals(one.byElement(), other.byElement(), what);
    assertArrayEquals(one.scales(), other.scales(), what);
    assertEquals(one.optimizer().report().gradientNorm(), other.optimizer().report().gradientNorm(), what);
    final Map<String, double[]> scalars = other.optimizer().scalars();
    one.optimizer().scalars().forEach((name, values) -> assertArrayEquals(values, scalars.get(name), what + ": " + name));
  }

  /**
   * Chunks are counted from a tensor's start: cut at a multiple of 4096, and with empty tensors in between, sums have the same bits. So do
   * elements that are rounded, since pieces have the random bits of the whole.
   */
  @Property(seed = "3")
  void cutsBetweenChunksChangeNoBit(@ForAll("anyTypes") Trial drawn, @ForAll long choices) {
    final Trial trial = sharing(drawn);
    assumeNotSliced(trial);
    try (Run one = new Run(trial, Device.cpu(1)); Run other = run(trial, cut(trial, new Random(choices), CHUNK))) {
      train(trial, one, other);
      assertSameBits(one, other, trial.formName());
    }
  }

  /** The library sorts tensors by group: how groups are interleaved when tensors are added changes no bit. */
  @Property(seed = "4")
  void interleavingGroupsChangesNoBit(@ForAll("anyTypes") Trial drawn, @ForAll long choices) {
    final Trial trial = sharing(drawn);
    final Random random = new Random(choices);
    // The first tensor of each group keeps its place among the others of these, and so do all within a group.
    final Map<Integer, Deque<Piece>> waiting = new LinkedHashMap<>();
    for (Piece piece : Run.whole(trial)) waiting.computeIfAbsent(piece.spec().group(), group -> new ArrayDeque<>()).add(piece);
    final List<Deque<Piece>> groups = List.copyOf(waiting.values());
    final List<Piece> order = new ArrayList<>();
    int begun = 0;
    while (order.size() < trial.tensors().size()) {
      final int group = random.nextInt(Math.min(begun + 1, groups.size()));
      if (groups.get(group).isEmpty()) continue;
      order.add(groups.get(group).remove());
      if (group == begun) ++begun;
    }
    try (Run one = new Run(trial, Device.cpu(1)); Run other = run(trial, order)) {
      train(trial, one, other);
      assertSameBits(one, other, trial.formName());
    }
  }

  /** Cut anywhere, or in another order, sums differ by rounding. */
  @Property(seed = "5")
  void anyCutAndOrderIsTheSameUpToRounding(@ForAll("float64") Trial drawn, @ForAll long choices) {
    final Trial trial = sharing(drawn);
    assumeNotSliced(trial);
    final Random random = new Random(choices);
    final List<Piece> pieces = cut(trial, random, 1);
    Collections.shuffle(pieces, random);
    try (Run one = new Run(trial, Device.cpu(1)); Run other = run(trial, pieces)) {
      train(trial, one, other);
      final double[] expected = one.byElement();
      final double most = Arrays.stream(expected).map(Math::abs).max().orElse(0);
      assertArrayEquals(expected, other.byElement(), 1e-9 * Math.max(1, most), trial.formName());
      final double[] scales = one.scales();
      final double[] others = other.scales();
      Arrays.sort(scales); // groups may come in another order
      Arrays.sort(others);
      for (int scope = 0; scope < scales.length; ++scope)
        assertEquals(scales[scope], others[scope], 1e-8 * Math.abs(scales[scope]), trial.formName());
    }
  }
}
