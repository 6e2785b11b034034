// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.Arrays;
import java.util.List;
import org.steptuner.internal.Natives;

/**
 * What computes a tuner's scalars on devices, as the library describes it.
 *
 * @param settings numbers that stay the same
 * @param list the name of a list of such numbers; empty for none
 * @param state numbers of a scope
 * @param lists numbers of a scope, as many of each as the list has
 * @param row numbers of a group that depend on a step's number
 */
record Machine(int number, List<String> settings, String list, List<String> state, List<String> lists, List<String> row) {
  /** That of a tuner. */
  static Machine find(String tuner) {
    final int number = Natives.scalarsFind(tuner);
    if (number < 0) throw new IllegalArgumentException("no scalars of " + tuner + " on devices");
    final String[] parts = Natives.describeScalars(number).split("\\|", -1);
    return new Machine(number, names(parts[1]), parts[2], names(parts[3]), names(parts[4]), names(parts[7]));
  }

  private static List<String> names(String list) {
    return list.isEmpty() ? List.of() : Arrays.stream(list.split(",")).map(String::intern).toList();
  }
}
