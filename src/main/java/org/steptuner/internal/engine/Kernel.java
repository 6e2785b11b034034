// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.Arrays;
import java.util.List;
import org.steptuner.internal.Natives;

/**
 * The description of a native formula.
 *
 * @param number its place in the native table
 * @param operands what it reads and writes, in order
 * @param coefficients their names, in order; interned, as literals are
 * @param sums their names, in order
 */
public record Kernel(int number, List<Operand> operands, List<String> coefficients, List<String> sums) {
  /** Where an operand lies. */
  public enum Place { GRADIENT, PARAMETER, UPDATE, STATE, SELECTION }

  /**
   * What a formula reads or writes of an element.
   *
   * @param words 1 where it reads or writes, 2 where it does both, 0 where no memory holds it
   */
  public record Operand(String name, Place place, int words) {}

  /** The state slots that a rule's formula needs. */
  public static List<String> slotsOf(String rule) {
    return slotsOf("fixed_rate", rule);
  }

  /** The state slots that a sweep over a rule ("" for none) needs. */
  public static List<String> slotsOf(String sweep, String rule) {
    return find(sweep, rule).slots();
  }

  /** Whether a rule takes a buffer of the caller's instead of the gradient. */
  static boolean takesUpdates(String rule) {
    return find("fixed_rate", rule).uses(Place.UPDATE);
  }

  /** Whether there is a kernel of this sweep over a rule. */
  static boolean has(String sweep, String rule) {
    return Natives.kernelFind(sweep, rule) >= 0;
  }

  static Kernel find(String sweep, String rule) {
    final int number = Natives.kernelFind(sweep, rule);
    if (number < 0) throw new IllegalArgumentException("no kernel " + sweep + " over rule '" + rule + "'");
    final String[] parts = Natives.describeKernel(number).split("\\|", -1);
    return new Kernel(number, names(parts[2]).stream().map(Kernel::operand).toList(), names(parts[3]), names(parts[4]));
  }

  /** Whether a place is among those of the operands. */
  boolean uses(Place place) {
    return operands.stream().anyMatch(operand -> operand.place == place);
  }

  /** The names of the state slots, in order. */
  List<String> slots() {
    return operands.stream().filter(operand -> operand.place == Place.STATE).map(Operand::name).toList();
  }

  private static Operand operand(String text) {
    final String[] parts = text.split(":", -1);
    final Place place = Arrays.stream(Place.values()).filter(one -> one.name().equalsIgnoreCase(parts[1])).findFirst().orElseThrow();
    return new Operand(parts[0], place, parts[2].length());
  }

  private static List<String> names(String list) {
    return list.isEmpty() ? List.of() : Arrays.stream(list.split(",")).map(String::intern).toList();
  }
}
