// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal;

import java.util.List;

/**
 * A native formula as it describes itself.
 *
 * @param number its place in the native table
 * @param operands their names, in order
 * @param access how each is used: "r", "w" or "rw"
 * @param coefficients their names, in order
 * @param sums their names, in order
 */
record Kernel(int number, List<String> operands, List<String> access, List<String> coefficients, List<String> sums) {
  static Kernel find(String sweep, String rule) {
    final int number = Natives.kernelFind(sweep, rule);
    if (number < 0) throw new IllegalArgumentException("no kernel " + sweep + " over rule '" + rule + "'");
    final String[] parts = Natives.describeKernel(number).split("\\|", -1);
    final List<String> operands = names(parts[2]);
    return new Kernel(
        number,
        operands.stream().map(o -> o.substring(0, o.indexOf(':'))).toList(),
        operands.stream().map(o -> o.substring(o.indexOf(':') + 1)).toList(),
        names(parts[3]),
        names(parts[4]));
  }

  private static List<String> names(String list) {
    return list.isEmpty() ? List.of() : List.of(list.split(","));
  }
}
