// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.nio.DoubleBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.steptuner.rule.Coefficients;

/** A row of numbers that are put by name, and are in memory in the order of their names. */
final class NamedNumbers implements Coefficients {
  private final String what;
  private final Object owner;
  private final String[] names;
  private final double[] values;
  private final boolean[] given;
  private int next; // where the coming put is looked for first

  /**
   * @param what one of the numbers is called, in messages
   * @param owner whose numbers they are, in messages
   * @param names interned
   */
  NamedNumbers(String what, Object owner, List<String> names) {
    this.what = what;
    this.owner = owner;
    this.names = names.toArray(String[]::new);
    values = new double[this.names.length];
    given = new boolean[values.length];
  }

  int size() {
    return values.length;
  }

  @Override
  public Coefficients put(String name, double value) {
    int at = next;
    if (at == names.length || names[at] != name) at = place(names, name);
    store(at, value);
    return this;
  }

  /** Takes the numbers whose names begin with a prefix, by what follows it. */
  Coefficients prefixed(String prefix) {
    return new Prefixed(prefix);
  }

  /** @throws IllegalStateException if one was never put since {@link #forget} */
  void checkAll() {
    for (int i = 0; i < given.length; ++i)
      if (!given[i]) throw new IllegalStateException(what + " '" + names[i] + "' was never put: " + owner);
  }

  /** All have to be put again. */
  void forget() {
    Arrays.fill(given, false);
  }

  /** Puts the row where a buffer is. */
  void copyTo(DoubleBuffer to) {
    to.put(values, 0, values.length);
  }

  /** Puts the row where a buffer has that of a number. */
  void copyTo(DoubleBuffer to, int number) {
    to.put(number * values.length, values, 0, values.length);
  }

  private final class Prefixed implements Coefficients {
    private final String[] shortened;
    private final int[] places;
    private int following;

    Prefixed(String prefix) {
      places = IntStream.range(0, names.length).filter(i -> names[i].startsWith(prefix)).toArray();
      shortened = Arrays.stream(places).mapToObj(i -> stripped(names[i], prefix.length())).toArray(String[]::new);
    }

    @Override
    public Coefficients put(String name, double value) {
      int at = following;
      if (at == shortened.length || shortened[at] != name) at = place(shortened, name);
      following = at + 1;
      store(places[at], value);
      return this;
    }
  }

  private void store(int at, double value) {
    values[at] = value;
    given[at] = true;
    next = at + 1;
  }

  private int place(String[] among, String name) {
    for (int i = 0; i < among.length; ++i) if (among[i].equals(name)) return i;
    throw new IllegalArgumentException("no " + what + " '" + name + "' among " + Arrays.toString(among) + " of " + owner);
  }

  private static String stripped(String name, int length) {
    return (Character.toLowerCase(name.charAt(length)) + name.substring(length + 1)).intern();
  }
}
