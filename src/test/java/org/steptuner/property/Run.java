// SPDX-License-Identifier: Apache-2.0
package org.steptuner.property;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.IntFunction;
import java.util.function.Supplier;
import org.steptuner.Device;
import org.steptuner.MemoryFolder;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.SavedState;
import org.steptuner.StepReport;
import org.steptuner.TestArray;
import org.steptuner.TestTensors;
import org.steptuner.property.Trial.Spec;
import org.steptuner.tuner.TunerBuilder;

/**
 * A trainer that makes the calls of a {@link Trial}. It has two places for each tensor, so that tensors can move: where a tensor is not,
 * there is NaN. The gradient of an element leads it to a point of its own, with noise; it depends on the seed, the step, the element's
 * number and the parameter alone.
 */
final class Run implements AutoCloseable {
  private static final int CHUNK = 4096; // pieces that begin at a multiple of it have the random bits of the whole

  private final List<Piece> pieces;
  private final Supplier<TunerBuilder<?>> builder;
  private final Device device;
  private final long seed;
  private TestTensors[] homes;
  private int[] home; // by tensor: where its parameters and gradients are
  private int[] updateHome; // by tensor: where its update is, for rules that take one
  private Optimizer optimizer;
  private double multiplier = 1;
  private Consumer<double[]> onStep; // mostly null
  int steps;
  int skipped;

  /**
   * A tensor, whole or a part of one.
   *
   * @param first the number of its first element among those of the trial
   * @param whole the tensor that it is a part of
   * @param begin the number of its first element in that
   */
  record Piece(String name, Spec spec, long first, String whole, int begin) {
    /** Elements of this one. */
    Piece part(int from, int count) {
      return new Piece(
          name, new Spec(count, spec.type(), spec.gradientType(), spec.offset(), spec.group()), first + from, whole, begin + from);
    }

    Piece named(String other) {
      return new Piece(other, spec, first, whole, begin);
    }

    int count() {
      return spec.count();
    }
  }

  Run(Trial trial, Device device) {
    this(whole(trial), trial::builder, trial.seed(), device);
  }

  Run(List<Piece> pieces, Supplier<TunerBuilder<?>> builder, long seed, Device device) {
    this.pieces = List.copyOf(pieces);
    this.builder = builder;
    this.device = device;
    this.seed = seed;
    homes = homes();
    home = new int[pieces.size()];
    updateHome = new int[pieces.size()];
    for (int t = 0; t < pieces.size(); ++t) {
      final long first = pieces.get(t).first;
      parameters(t).fill(i -> noise(0, first + i));
    }
    optimizer = builder.get().build(homes[0].on(device));
  }

  /** The tensors of a trial as they are. */
  static List<Piece> whole(Trial trial) {
    final List<Piece> pieces = new ArrayList<>();
    long first = 0;
    for (Spec spec : trial.tensors()) {
      final String name = "t" + pieces.size();
      pieces.add(new Piece(name, spec, first, name, 0));
      first += spec.count();
    }
    return pieces;
  }

  private TestTensors[] homes() {
    final TestTensors[] places = {new TestTensors(), new TestTensors()};
    for (Piece piece : pieces) {
      final Spec spec = piece.spec;
      for (int place = 0; place < 2; ++place) {
        places[place]
            .group(spec.groupName())
            .add(piece.name, spec.type(), spec.gradientType(), spec.count(), (spec.offset() + place) % 34);
        if (piece.begin % CHUNK == 0) places[place].pieceOf(piece.whole, piece.begin);
      }
    }
    for (TestTensors place : places) place.parameters(i -> Double.NaN).gradients(i -> Double.NaN);
    return places;
  }

  Optimizer optimizer() {
    return optimizer;
  }

  int tensors() {
    return pieces.size();
  }

  String name(int tensor) {
    return pieces.get(tensor).name;
  }

  TestArray parameters(int tensor) {
    return homes[home[tensor]].parameters(tensor);
  }

  TestArray gradients(int tensor) {
    return homes[home[tensor]].gradients(tensor);
  }

  private TestArray updates(int tensor) {
    return homes[updateHome[tensor]].updates(tensor);
  }

  /** A tensor that has elements, or -1. */
  int tensorWithElements(int choice) {
    for (int k = 0; k < pieces.size(); ++k) {
      final int t = (choice + k) % pieces.size();
      if (pieces.get(t).count() > 0) return t;
    }
    return -1;
  }

  /** From -1 to 1, by step and element. */
  private double noise(int step, long element) {
    long z = seed * 0x9e3779b97f4a7c15L + step * 0xd1342543de82ef95L + element * 0xaf251af3b0f025b5L;
    z = (z ^ z >>> 32) * 0xd6e8feb86659fd93L;
    z = (z ^ z >>> 32) * 0xd6e8feb86659fd93L;
    return (z >> 11) * 0x1p-52;
  }

  /** Writes the gradients of the coming step, times what the optimizer will take back. */
  void writeGradients() {
    for (int t = 0; t < pieces.size(); ++t) {
      final TestArray x = parameters(t);
      final TestArray g = gradients(t);
      final long first = pieces.get(t).first;
      g.fill(i -> (x.get(i) - noise(-1, first + i) + 0.4 * noise(steps + 1, first + i)) / multiplier);
      updates(t).fill(i -> -g.get(i));
    }
  }

  double loss() {
    return 1 + steps % 3 * 0.5;
  }

  /** Tells of each step's gradients, by the numbers of their elements, as the multiplier makes them. */
  void onStep(Consumer<double[]> listener) {
    onStep = listener;
  }

  /** A step that is made. */
  void step() {
    stepAside();
    if (onStep == null) return;
    final double[] g = byElement(this::gradients);
    for (int i = 0; i < g.length; ++i) g[i] *= multiplier;
    onStep.accept(g);
  }

  /** A step that is made and will be taken back. */
  void stepAside() {
    writeGradients();
    final StepReport report = optimizer.step(loss());
    ++steps;
    assertEquals(StepReport.Skip.NONE, report.skip());
    assertEquals(steps, report.step());
  }

  /** A step that must be skipped. */
  void refusedStep(double loss, StepReport.Skip why) {
    final StepReport report = optimizer.step(loss);
    ++skipped;
    assertEquals(why, report.skip());
    assertEquals(steps, report.step());
    assertEquals(skipped, report.skippedSteps());
  }

  void multiply(double value) {
    multiplier = value;
    optimizer.setGradientMultiplier(value);
  }

  /** Goes on with the settings that there are. */
  void changeNothing() {
    builder.get().applyTo(optimizer);
  }

  /** Takes a tensor to its other place, with its update or without. */
  void move(int tensor, boolean withUpdate) {
    carry(tensor, withUpdate);
    if (withUpdate)
      optimizer.rebind(name(tensor), parameters(tensor).address(), gradients(tensor).address(), updates(tensor).address());
    else
      optimizer.rebind(name(tensor), parameters(tensor).address(), gradients(tensor).address());
  }

  /** Takes some tensors to their other places, those whose bit is set, in one call over all. */
  void moveTogether(int bits, boolean withUpdates) {
    carryAll(bits, withUpdates);
    final long[] parameters = addresses(this::parameters);
    final long[] gradients = addresses(this::gradients);
    if (withUpdates) optimizer.rebind(parameters, gradients, addresses(this::updates));
    else optimizer.rebind(parameters, gradients);
  }

  /** The same with a set of the tensors as they are then. */
  void moveToSet(int bits) {
    carryAll(bits, true);
    final ParameterSet.Builder set = ParameterSet.on(device);
    for (int t = 0; t < pieces.size(); ++t) {
      final Spec spec = pieces.get(t).spec;
      set.group(spec.groupName()).add(
          name(t), parameters(t).address(), spec.type(), gradients(t).address(), spec.gradientType(), updates(t).address(), spec.count());
    }
    optimizer.rebind(set.build());
  }

  private long[] addresses(IntFunction<TestArray> arrays) {
    final long[] addresses = new long[pieces.size()];
    Arrays.setAll(addresses, t -> arrays.apply(t).address());
    return addresses;
  }

  private void carryAll(int bits, boolean withUpdates) {
    for (int t = 0; t < pieces.size(); ++t) if ((bits >> t & 1) != 0) carry(t, withUpdates);
  }

  // NaN stays behind.
  private void carry(int tensor, boolean withUpdate) {
    final TestArray[] before = {parameters(tensor), gradients(tensor), updates(tensor)};
    home[tensor] ^= 1;
    if (withUpdate) updateHome[tensor] ^= 1;
    final TestArray[] after = {parameters(tensor), gradients(tensor), updates(tensor)};
    for (int array = 0; array < before.length; ++array) {
      if (before[array] == after[array]) continue;
      after[array].copyFrom(before[array]);
      before[array].fill(i -> Double.NaN);
    }
  }

  /** Ends this process, so to say, and goes on in another one, from a file. */
  void resume(Path file) {
    optimizer.close();
    for (TestTensors place : homes) place.close();
    homes = homes();
    home = new int[pieces.size()];
    updateHome = new int[pieces.size()];
    for (int t = 0; t < pieces.size(); ++t) parameters(t).fill(i -> 0.5);
    optimizer = builder.get().build(homes[0].on(device));
    optimizer.restore(file);
    optimizer.setGradientMultiplier(multiplier); // files do not hold it
  }

  /** Gives a file in memory to some work, and deletes it. */
  static void withFile(Consumer<Path> work) {
    try {
      final Path file = MemoryFolder.file();
      try {
        work.accept(file);
      } finally {
        Files.deleteIfExists(file);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Fails where a parameter has other bits. */
  void assertSameParameters(Run expected, String what) {
    for (int t = 0; t < pieces.size(); ++t) TestTensors.assertSameBits(expected.parameters(t), parameters(t), what + ", tensor " + t);
  }

  /** Fails where anything that a trainer can see or save differs, but for the count of skipped steps. */
  void assertSame(Run expected, String what) {
    assertSameParameters(expected, what);
    final StepReport one = expected.optimizer.report();
    final StepReport other = optimizer.report();
    for (int scope = 0; scope < one.scopes(); ++scope)
      assertEquals(one.learnedScale(scope), other.learnedScale(scope), what + ": scale " + scope);
    final Map<String, double[]> scalars = optimizer.scalars();
    expected.optimizer.scalars().forEach((name, values) -> assertArrayEquals(values, scalars.get(name), what + ": " + name));
    SavedState.of(expected.optimizer).assertUnchanged(SavedState.of(optimizer), what);
    for (TestTensors place : homes) place.assertFencesStand(what);
  }

  /** The parameters of all tensors, by the numbers of their elements. */
  double[] byElement() {
    return byElement(this::parameters);
  }

  private double[] byElement(IntFunction<TestArray> arrays) {
    final double[] values = new double[pieces.stream().mapToInt(Piece::count).sum()];
    collect(arrays, values);
    return values;
  }

  /** Puts the parameters where their elements have their numbers; the pieces may be a part of all. */
  void collect(double[] to) {
    collect(this::parameters, to);
  }

  private void collect(IntFunction<TestArray> arrays, double[] to) {
    for (int t = 0; t < pieces.size(); ++t)
      for (int i = 0; i < pieces.get(t).count(); ++i) to[(int) pieces.get(t).first + i] = arrays.apply(t).get(i);
  }

  double[] scales() {
    final double[] scales = new double[optimizer.report().scopes()];
    Arrays.setAll(scales, optimizer.report()::learnedScale);
    return scales;
  }

  @Override
  public void close() {
    optimizer.close();
    for (TestTensors place : homes) place.close();
  }
}
