// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.steptuner.ParameterSet;

/**
 * The current addresses of the tensors of an optimizer, and the check of what may overlap: a range of parameters must not overlap any other
 * range; gradients and updates are only read and may coincide.
 *
 * <p>Parameters are kept ordered by address, which is possible because they overlap nothing. So checking a move of gradients, which
 * trainers make often, takes one look-up.
 */
public final class Addresses {
  /** A move that has been checked. */
  record Move(int tensor, long parameter, long gradient) {}

  private final List<ParameterSet.Tensor> tensors;
  private final long[] parameter;
  private final long[] gradient;
  private final TreeMap<Long, Integer> byParameter = new TreeMap<>(Long::compareUnsigned);

  Addresses(List<ParameterSet.Tensor> tensors) {
    this.tensors = tensors;
    parameter = tensors.stream().mapToLong(ParameterSet.Tensor::parameterAddress).toArray();
    gradient = tensors.stream().mapToLong(ParameterSet.Tensor::gradientAddress).toArray();
    for (int t = 0; t < parameter.length; ++t) if (tensors.get(t).count() > 0) byParameter.put(parameter[t], t);
  }

  /**
   * Checks a whole set.
   *
   * @throws IllegalArgumentException if a tensor's parameters overlap other memory of the set
   */
  public static void check(List<ParameterSet.Tensor> tensors) {
    record Range(long begin, long end, boolean written, String what) {}
    final List<Range> ranges = new ArrayList<>();
    for (ParameterSet.Tensor t : tensors) {
      if (t.count() == 0) continue;
      final String name = " of tensor '" + t.name() + "'";
      ranges.add(new Range(t.parameterAddress(), parameterEnd(t, t.parameterAddress()), true, "the parameters" + name));
      if (t.gradientAddress() != 0)
        ranges.add(new Range(t.gradientAddress(), gradientEnd(t, t.gradientAddress()), false, "the gradients" + name));
      if (t.updateAddress() != 0) ranges.add(new Range(t.updateAddress(), updateEnd(t), false, "the update" + name));
    }
    ranges.sort((a, b) -> Long.compareUnsigned(a.begin, b.begin));
    Range reach = null;
    Range writtenReach = null;
    for (Range range : ranges) {
      final Range clash = range.written ? reach : writtenReach;
      if (clash != null && Long.compareUnsigned(range.begin, clash.end) < 0)
        throw new IllegalArgumentException(clash.what + " and " + range.what + " overlap in memory");
      if (reach == null || Long.compareUnsigned(range.end, reach.end) > 0) reach = range;
      if (range.written && (writtenReach == null || Long.compareUnsigned(range.end, writtenReach.end) > 0)) writtenReach = range;
    }
  }

  /** The set with every tensor where it is now. */
  ParameterSet applyTo(ParameterSet set) {
    return set.at(parameter, gradient);
  }

  /** @throws IllegalArgumentException if a tensor's parameters would overlap other memory of the set */
  Move check(int moved, long newParameter, long newGradient) {
    final ParameterSet.Tensor tensor = tensors.get(moved);
    if (tensor.count() == 0) return new Move(moved, newParameter, newGradient);
    final long gradientEnd = gradientEnd(tensor, newGradient);
    final long parameterEnd = parameterEnd(tensor, newParameter);
    if (newGradient != 0) {
      refuseParametersIn(newGradient, gradientEnd, moved, "the new gradients");
      if (overlap(newGradient, gradientEnd, newParameter, parameterEnd)) throw overlapping("the new gradients", moved, "parameters", moved);
    }
    if (newParameter != parameter[moved]) {
      refuseParametersIn(newParameter, parameterEnd, moved, "the new parameters");
      for (int t = 0; t < parameter.length; ++t) {
        final ParameterSet.Tensor other = tensors.get(t);
        if (other.count() == 0) continue;
        if (t != moved && gradient[t] != 0
            && overlap(newParameter, parameterEnd, gradient[t], gradientEnd(other, gradient[t])))
          throw overlapping("the new parameters", moved, "gradients", t);
        final long update = other.updateAddress();
        if (update != 0 && overlap(newParameter, parameterEnd, update, updateEnd(other)))
          throw overlapping("the new parameters", moved, "update", t);
      }
    }
    return new Move(moved, newParameter, newGradient);
  }

  void make(Move move) {
    if (tensors.get(move.tensor).count() > 0) {
      byParameter.remove(parameter[move.tensor]);
      byParameter.put(move.parameter, move.tensor);
    }
    parameter[move.tensor] = move.parameter;
    gradient[move.tensor] = move.gradient;
  }

  private void refuseParametersIn(long begin, long end, int moved, String what) {
    Map.Entry<Long, Integer> before = byParameter.lowerEntry(end);
    if (before != null && before.getValue() == moved) before = byParameter.lowerEntry(before.getKey());
    if (before == null) return;
    final ParameterSet.Tensor other = tensors.get(before.getValue());
    if (overlap(begin, end, before.getKey(), parameterEnd(other, before.getKey())))
      throw overlapping(what, moved, "parameters", before.getValue());
  }

  private IllegalArgumentException overlapping(String what, int moved, String whose, int other) {
    return new IllegalArgumentException(
        what + " of tensor '" + tensors.get(moved).name() + "' and the " + whose + " of tensor '" + tensors.get(other).name()
            + "' overlap in memory");
  }

  private static long parameterEnd(ParameterSet.Tensor tensor, long address) {
    return address + tensor.count() * tensor.parameterType().bytes();
  }

  private static long gradientEnd(ParameterSet.Tensor tensor, long address) {
    return address + tensor.count() * tensor.gradientType().bytes();
  }

  private static long updateEnd(ParameterSet.Tensor tensor) {
    return tensor.updateAddress() + tensor.count() * tensor.parameterType().stateType().bytes();
  }

  private static boolean overlap(long begin, long end, long otherBegin, long otherEnd) {
    return Long.compareUnsigned(begin, otherEnd) < 0 && Long.compareUnsigned(otherBegin, end) < 0;
  }
}
