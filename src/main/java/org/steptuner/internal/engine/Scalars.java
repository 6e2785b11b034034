// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.DoubleConsumer;
import java.util.function.DoubleSupplier;
import java.util.function.Function;
import java.util.function.ObjDoubleConsumer;
import java.util.function.ToDoubleFunction;

/**
 * The scalars of a tuner by name: those that make a resumed run equal an uninterrupted one. A tuner names each of them once, and says what
 * there is one for; reports, checkpoints and restoring use that.
 *
 * <p>Public names are those of the papers. Values that only the implementation uses are saved, but not shown ({@link #internal}).
 */
public final class Scalars {
  /** What there is a value for, or several values. */
  enum Kind {
    /** The optimizer. */
    WHOLE,
    /** Each scope. */
    SCOPE,
    /** Each segment: a group, or a tensor where scopes are tensors. */
    SEGMENT,
    /** Each scope, where every value was made of the one before it and the first of the last: only the last one counts then. */
    RUNNING
  }

  /**
   * Values of one name.
   *
   * @param per how many there are of each scope, or whatever the kind says
   */
  record Values(Kind kind, int per, double[] values) {}

  private record Entry(String name, boolean shown, Kind kind, int per, int count, BiConsumer<double[], Boolean> move) {}

  /** Names of numbers that checkpoints may have or lack, see {@link #optional}. */
  static final Set<String> OPTIONAL = Set.of("lossScale", "lossScaleSteps");

  private final List<Entry> entries = new ArrayList<>();
  private boolean shown = true;

  /** From now on names are for checkpoints only, and not shown. */
  public Scalars internal() {
    shown = false;
    return this;
  }

  /** One number of the optimizer. */
  public Scalars one(String name, DoubleSupplier get, DoubleConsumer set) {
    return add(name, Kind.WHOLE, 1, 1, (values, restores) -> {
      if (restores) set.accept(values[0]);
      else values[0] = get.getAsDouble();
    });
  }

  /** One number that checkpoints may lack, as those of older versions, and then is as before the first step; never shown. */
  Scalars optional(String name, DoubleSupplier get, DoubleConsumer set) {
    final boolean before = shown;
    shown = false;
    one(name, get, set);
    shown = before;
    return this;
  }

  /** A flag of the optimizer, as 1 or 0. */
  public Scalars flag(String name, BooleanSupplier get, Consumer<Boolean> set) {
    return one(name, () -> get.getAsBoolean() ? 1 : 0, value -> set.accept(value != 0));
  }

  /** An array of the optimizer, which stays the tuner's. */
  public Scalars all(String name, double[] array) {
    return array(name, Kind.WHOLE, array.length, array);
  }

  /** An array of the optimizer that is never restored, because a setting has the same numbers. */
  public Scalars given(String name, double[] array) {
    return add(name, Kind.WHOLE, array.length, array.length, (values, restores) -> {
      if (!restores) System.arraycopy(array, 0, values, 0, array.length);
    });
  }

  /** An array with a number for each scope, which stays the tuner's. */
  public Scalars perScope(String name, double[] array) {
    return array(name, Kind.SCOPE, 1, array);
  }

  /** An array with a number for each segment, which stays the tuner's. */
  public Scalars perSegment(String name, double[] array) {
    return array(name, Kind.SEGMENT, 1, array);
  }

  /** A number of each scope. */
  public <S> Scalars each(String name, S[] scopes, ToDoubleFunction<S> get, ObjDoubleConsumer<S> set) {
    return each(name, Kind.SCOPE, scopes, get, set);
  }

  /** A number of each scope, of which every one was made of the one before it. */
  public <S> Scalars running(String name, S[] scopes, ToDoubleFunction<S> get, ObjDoubleConsumer<S> set) {
    return each(name, Kind.RUNNING, scopes, get, set);
  }

  /** An array of each scope, all of one length, one behind the other. */
  public <S> Scalars eachOf(String name, S[] scopes, Function<S, double[]> array) {
    final int per = array.apply(scopes[0]).length;
    return add(name, Kind.SCOPE, per, scopes.length * per, (values, restores) -> {
      for (int i = 0; i < scopes.length; ++i) {
        final double[] own = array.apply(scopes[i]);
        System.arraycopy(restores ? values : own, restores ? i * per : 0, restores ? own : values, restores ? 0 : i * per, per);
      }
    });
  }

  private <S> Scalars each(String name, Kind kind, S[] scopes, ToDoubleFunction<S> get, ObjDoubleConsumer<S> set) {
    return add(name, kind, 1, scopes.length, (values, restores) -> {
      for (int i = 0; i < scopes.length; ++i) {
        if (restores) set.accept(scopes[i], values[i]);
        else values[i] = get.applyAsDouble(scopes[i]);
      }
    });
  }

  private Scalars array(String name, Kind kind, int per, double[] array) {
    return add(name, kind, per, array.length,
        (values, restores) -> System.arraycopy(restores ? values : array, 0, restores ? array : values, 0, array.length));
  }

  private Scalars add(String name, Kind kind, int per, int count, BiConsumer<double[], Boolean> move) {
    entries.add(new Entry(name, shown, kind, per, count, move));
    return this;
  }

  /** Those that are shown, into a map. */
  void show(Map<String, double[]> to) {
    for (Entry entry : entries) if (entry.shown) to.put(entry.name, values(entry));
  }

  /** All of them, by name. */
  Map<String, Values> save() {
    final Map<String, Values> saved = new LinkedHashMap<>();
    for (Entry entry : entries) saved.put(entry.name, new Values(entry.kind, entry.per, values(entry)));
    return saved;
  }

  /** Those of scopes and segments, and optional ones: taken before the first step, they are what a scope or a segment starts with. */
  Map<String, double[]> saveParts() {
    final Map<String, double[]> saved = new LinkedHashMap<>();
    for (Entry entry : entries) if (entry.kind != Kind.WHOLE || OPTIONAL.contains(entry.name)) saved.put(entry.name, values(entry));
    return saved;
  }

  /** Takes all of them back; they are complete and of the right lengths. */
  void restore(Map<String, double[]> from) {
    for (Entry entry : entries) entry.move.accept(from.get(entry.name), true);
  }

  /** Memory for the values as they are now, from which some can be put back. */
  Held held() {
    return new Held();
  }

  /**
   * Values as they were before a step, so that scopes and segments without a tensor in the step get back what they had: no tuner has to
   * know of them. Scalars that run from scope to scope go on.
   */
  final class Held {
    private final double[][] before = entries.stream().map(entry -> new double[entry.count]).toArray(double[][]::new);
    private final double[][] after = entries.stream().map(entry -> new double[entry.count]).toArray(double[][]::new);

    void keep() {
      for (int i = 0; i < before.length; ++i) entries.get(i).move.accept(before[i], false);
    }

    /**
     * Puts back what was kept.
     *
     * @param whole whether also what there is one of
     */
    void putBack(boolean[] scopes, boolean[] segments, boolean whole) {
      for (int i = 0; i < before.length; ++i) {
        final Entry entry = entries.get(i);
        switch (entry.kind) {
          case SCOPE -> putBack(i, scopes);
          case SEGMENT -> putBack(i, segments);
          case WHOLE, RUNNING -> {
            if (whole) entry.move.accept(before[i], true);
          }
        }
      }
    }

    /** Puts all of it back. */
    void putBackAll() {
      for (int i = 0; i < before.length; ++i) entries.get(i).move.accept(before[i], true);
    }

    private void putBack(int i, boolean[] parts) {
      final Entry entry = entries.get(i);
      entry.move.accept(after[i], false);
      for (int part = 0; part < parts.length; ++part)
        if (parts[part]) System.arraycopy(before[i], part * entry.per, after[i], part * entry.per, entry.per);
      entry.move.accept(after[i], true);
    }
  }

  private static double[] values(Entry entry) {
    final double[] values = new double[entry.count];
    entry.move.accept(values, false);
    return values;
  }
}
