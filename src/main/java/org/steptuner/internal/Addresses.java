// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.steptuner.ParameterSet;

/**
 * Where the tensors of an optimizer are now, so that a move onto another tensor's memory is refused. Parameters overlap nothing, so
 * they are ordered by address and a move of gradients, which trainers make often, costs a look-up.
 */
final class Addresses {
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

  /** @throws IllegalArgumentException if a tensor's parameters would overlap other memory of the set */
  Move check(int moved, long newParameter, long newGradient) {
    final ParameterSet.Tensor tensor = tensors.get(moved);
    if (tensor.count() == 0) return new Move(moved, newParameter, newGradient);
    final long gradientEnd = newGradient + tensor.count() * tensor.gradientType().bytes();
    final long parameterEnd = newParameter + tensor.count() * tensor.parameterType().bytes();
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
            && overlap(newParameter, parameterEnd, gradient[t], gradient[t] + other.count() * other.gradientType().bytes()))
          throw overlapping("the new parameters", moved, "gradients", t);
        final long update = other.updateAddress();
        if (update != 0
            && overlap(newParameter, parameterEnd, update, update + other.count() * other.parameterType().stateType().bytes()))
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
    if (overlap(begin, end, before.getKey(), before.getKey() + other.count() * other.parameterType().bytes()))
      throw overlapping(what, moved, "parameters", before.getValue());
  }

  private IllegalArgumentException overlapping(String what, int moved, String whose, int other) {
    return new IllegalArgumentException(
        what + " of tensor '" + tensors.get(moved).name() + "' and the " + whose + " of tensor '" + tensors.get(other).name()
            + "' overlap in memory");
  }

  private static boolean overlap(long begin, long end, long otherBegin, long otherEnd) {
    return Long.compareUnsigned(begin, otherEnd) < 0 && Long.compareUnsigned(otherBegin, end) < 0;
  }
}
