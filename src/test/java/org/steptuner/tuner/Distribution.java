// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.Ranks;
import org.steptuner.SumReducer;
import org.steptuner.StepReport;
import org.steptuner.tuner.Training.Piece;

/** A way to give the tensors of a {@link Training} to processes, by rank. Tensors are of two groups in turn. */
enum Distribution {
  /** Whole tensors; each rank lacks a group of the other. */
  BY_GROUP(List.of(List.of(whole(0), whole(2)), List.of(whole(1), whole(3)))),
  /** Whole tensors, one rank has three of four. */
  UNEVEN(List.of(List.of(whole(0), whole(1), whole(3)), List.of(whole(2)))),
  /** Two tensors are divided. */
  DIVIDED(List.of(List.of(part(0, 0, 1155), part(1, 0, 1155), whole(2)), List.of(part(0, 1155, 1200), part(1, 1155, 2350), whole(3)))),
  /** One rank begins the groups, and numbers its tensors, the other way round. */
  OTHER_ORDER(List.of(List.of(whole(3), whole(0)), List.of(whole(2), whole(1)))),
  /** Three ranks, of which one has nothing but an empty tensor, in a group of its own. */
  ONE_EMPTY(List.of(List.of(whole(1), part(0, 0, 1155)), List.of(new Piece(-1, 0, 0)), List.of(part(0, 1155, 1200), whole(3), whole(2))));

  /** Tensors are divided where slices of 3, 5, 7 and 11 elements begin anew. */
  static final int[] SIZES = {1200, 2350, 50, 60};
  private static final double TOLERANCE = 1e-10;

  private final List<List<Piece>> ranks;

  Distribution(List<List<Piece>> ranks) {
    this.ranks = ranks;
  }

  private static Piece whole(int tensor) {
    return new Piece(tensor, 0, -1);
  }

  private static Piece part(int tensor, int begin, int end) {
    return new Piece(tensor, begin, end);
  }

  int count() {
    return ranks.size();
  }

  /** What a rank has. */
  ParameterSet of(int rank, Training training) {
    return training.on(Device.cpu(1), ranks.get(rank));
  }

  /** An optimizer for each rank, all made in this thread. */
  List<Optimizer> build(Supplier<TunerBuilder<?>> builder, Training training, Ranks threads) {
    final List<Optimizer> optimizers = new ArrayList<>();
    for (int rank = 0; rank < count(); ++rank) {
      final SumReducer reducer = threads.reducer(rank);
      optimizers.add(builder.get().sumReducer(reducer).build(of(rank, training)));
    }
    return optimizers;
  }

  /** The part of a loss that a rank is told: the mean is the loss. */
  double loss(double loss, int rank) {
    final double difference = loss / 4;
    if (rank < 2) return rank == 0 ? loss + difference : loss - difference;
    return loss;
  }

  /** Trains one process and several, and compares scales, norms and parameters. Both skip a step that one rank has to skip. */
  void assertIsAsOne(String name, Supplier<TunerBuilder<?>> builder, int steps) throws Exception {
    final String what = name + ", " + this;
    final Supplier<TunerBuilder<?>> clipped = () -> {
      final TunerBuilder<?> one = builder.get();
      return one.clipNorm(20).gradientL1(true);
    };
    final List<Optimizer> shares = new ArrayList<>();
    try (Ranks threads = new Ranks(count());
        Training whole = new Training(DataType.FLOAT64, 0.5, SIZES);
        Training shared = new Training(DataType.FLOAT64, 0.5, SIZES);
        Optimizer one = clipped.get().build(whole.on(Device.cpu(1)))) {
      shares.addAll(build(clipped, shared, threads));
      for (int step = 1; step <= steps; ++step) {
        one.step(whole.backward(step));
        final double loss = shared.backward(step);
        if (step == 3) skipTogether(threads, shares, shared, loss, what);
        shared.backward(step);
        step(threads, shares, loss);
        final StepReport expected = one.report();
        for (int rank = 0; rank < count(); ++rank) {
          final StepReport actual = shares.get(rank).report();
          final String where = what + ", step " + step + ", rank " + rank;
          assertNear(expected.gradientNorm(), actual.gradientNorm(), where + ": norm");
          assertNear(expected.gradientL1(), actual.gradientL1(), where + ": |g|_1");
          assertNear(expected.clipFactor(), actual.clipFactor(), where + ": clipping");
          assertEquals(loss(loss, rank), actual.loss(), where);
          compareScales(one, shares.get(rank), where);
        }
      }
      assertArrayEquals(whole.values(), shared.values(), TOLERANCE, what);
      assertTrue(one.steps() == steps, what);
    } finally {
      shares.forEach(Optimizer::close);
    }
  }

  private void skipTogether(Ranks threads, List<Optimizer> shares, Training shared, double loss, String what) throws Exception {
    shared.setGradient(3, Double.NaN); // only one rank sees it
    step(threads, shares, loss);
    for (Optimizer share : shares) assertEquals(StepReport.Skip.NON_FINITE_GRADIENT, share.report().skip(), what);
    shared.backward(3);
    final int last = count() - 1;
    threads.all(rank -> () -> shares.get(rank).step(rank == last ? Double.NaN : loss));
    for (Optimizer share : shares) {
      assertEquals(StepReport.Skip.NON_FINITE_LOSS, share.report().skip(), what);
      assertEquals(2, share.report().skippedSteps(), what);
      assertEquals(2, share.steps(), what);
    }
  }

  void step(Ranks threads, List<Optimizer> shares, double loss) throws Exception {
    threads.all(rank -> () -> shares.get(rank).step(loss(loss, rank)));
  }

  private static void compareScales(Optimizer one, Optimizer share, String where) {
    final List<String> names = scopes(one, one.report().scopes());
    final List<String> own = scopes(share, names.size());
    int compared = 0;
    for (int scope = 0; scope < own.size(); ++scope) {
      final int same = names.indexOf(own.get(scope));
      if (same < 0) continue; // of an empty tensor
      assertNear(one.report().learnedScale(same), share.report().learnedScale(scope), where + ", scope " + own.get(scope));
      assertNear(one.report().effectiveRate(same), share.report().effectiveRate(scope), where + ", rate of scope " + own.get(scope));
      ++compared;
    }
    assertTrue(compared > 0 || share.parameters().elements() == 0, where);
  }

  // One process has 4 tensors in 2 groups: the number of its scopes says what they are.
  private static List<String> scopes(Optimizer optimizer, int scopesOfOne) {
    if (scopesOfOne == 1) return List.of("all");
    if (scopesOfOne == 2) return optimizer.parameters().groups();
    return optimizer.parameters().tensors().stream().map(ParameterSet.Tensor::name).toList();
  }

  private static void assertNear(double expected, double actual, String what) {
    assertEquals(expected, actual, TOLERANCE * Math.abs(expected), what);
  }
}
