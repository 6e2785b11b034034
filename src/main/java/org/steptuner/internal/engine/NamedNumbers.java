// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.nio.DoubleBuffer;
import java.util.Arrays;
import java.util.List;
import org.steptuner.rule.Coefficients;

/** Numbers that are put by name, and go to memory in the order of their names when all are there. */
final class NamedNumbers implements Coefficients {
  private final String[] names;
  private final double[] values;
  private final boolean[] given;
  private int next; // where the coming put is looked for first

  NamedNumbers(List<String> names) {
    this.names = names.toArray(String[]::new);
    values = new double[this.names.length];
    given = new boolean[values.length];
  }

  @Override
  public Coefficients put(String name, double value) {
    int at = next;
    if (at == names.length || !names[at].equals(name)) at = place(name);
    values[at] = value;
    given[at] = true;
    next = at + 1;
    return this;
  }

  private int place(String name) {
    for (int i = 0; i < names.length; ++i) if (names[i].equals(name)) return i;
    throw new IllegalArgumentException("no number '" + name + "' among " + Arrays.toString(names));
  }

  /** Puts all of them where a buffer is, and begins anew. */
  void moveTo(DoubleBuffer to) {
    for (int i = 0; i < given.length; ++i) if (!given[i]) throw new IllegalStateException("'" + names[i] + "' was never put");
    Arrays.fill(given, false);
    to.put(values, 0, values.length);
  }
}
