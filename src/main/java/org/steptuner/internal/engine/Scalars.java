// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.BiConsumer;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.DoubleConsumer;
import java.util.function.DoubleSupplier;
import java.util.function.Function;
import java.util.function.ObjDoubleConsumer;
import java.util.function.ToDoubleFunction;

/**
 * The scalars of a tuner by name: those that make a resumed run equal an uninterrupted one. A tuner names each of them once; reports,
 * checkpoints and restoring use that.
 *
 * <p>Public names are those of the papers. Values that only the implementation uses are saved, but not shown ({@link #internal}).
 */
public final class Scalars {
  private record Entry(String name, boolean shown, int count, BiConsumer<double[], Boolean> move) {}

  private final List<Entry> entries = new ArrayList<>();
  private boolean shown = true;

  /** From now on names are for checkpoints only, and not shown. */
  public Scalars internal() {
    shown = false;
    return this;
  }

  /** One number. */
  public Scalars one(String name, DoubleSupplier get, DoubleConsumer set) {
    return add(name, 1, (values, restores) -> {
      if (restores) set.accept(values[0]);
      else values[0] = get.getAsDouble();
    });
  }

  /** A flag, as 1 or 0. */
  public Scalars flag(String name, BooleanSupplier get, Consumer<Boolean> set) {
    return one(name, () -> get.getAsBoolean() ? 1 : 0, value -> set.accept(value != 0));
  }

  /** An array that stays the tuner's. */
  public Scalars all(String name, double[] array) {
    return add(name, array.length,
        (values, restores) -> System.arraycopy(restores ? values : array, 0, restores ? array : values, 0, array.length));
  }

  /** A number of each scope. */
  public <S> Scalars each(String name, S[] scopes, ToDoubleFunction<S> get, ObjDoubleConsumer<S> set) {
    return add(name, scopes.length, (values, restores) -> {
      for (int i = 0; i < scopes.length; ++i) {
        if (restores) set.accept(scopes[i], values[i]);
        else values[i] = get.applyAsDouble(scopes[i]);
      }
    });
  }

  /** An array of each scope, all of one length, one behind the other. */
  public <S> Scalars eachOf(String name, S[] scopes, Function<S, double[]> array) {
    final int count = array.apply(scopes[0]).length;
    return add(name, scopes.length * count, (values, restores) -> {
      for (int i = 0; i < scopes.length; ++i) {
        final double[] own = array.apply(scopes[i]);
        System.arraycopy(restores ? values : own, restores ? i * count : 0, restores ? own : values, restores ? 0 : i * count, count);
      }
    });
  }

  private Scalars add(String name, int count, BiConsumer<double[], Boolean> move) {
    entries.add(new Entry(name, shown, count, move));
    return this;
  }

  /** Those that are shown, into a map. */
  void show(Map<String, double[]> to) {
    for (Entry entry : entries) if (entry.shown) to.put(entry.name, values(entry));
  }

  /** All of them, by name. */
  Map<String, double[]> save() {
    final Map<String, double[]> saved = new TreeMap<>();
    for (Entry entry : entries) saved.put(entry.name, values(entry));
    return saved;
  }

  /** Takes all of them back; they are complete and of the right lengths. */
  void restore(Map<String, double[]> from) {
    for (Entry entry : entries) entry.move.accept(from.get(entry.name), true);
  }

  private static double[] values(Entry entry) {
    final double[] values = new double[entry.count];
    entry.move.accept(values, false);
    return values;
  }
}
