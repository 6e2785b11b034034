// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.HashMap;
import java.util.Map;
import org.steptuner.ParameterSet;

/** Whether two sets have the same tensors, wherever they are. */
final class SameTensors {
  private SameTensors() {}

  /** @throws IllegalArgumentException if the sets differ in more than addresses and order */
  static void check(ParameterSet bound, ParameterSet moved) {
    if (bound.device() != moved.device() && !(bound.device().isCpu() && moved.device().isCpu()))
      throw new IllegalArgumentException("the set is on " + moved.device() + ", and the optimizer on " + bound.device());
    final Map<String, ParameterSet.Tensor> others = new HashMap<>();
    for (ParameterSet.Tensor tensor : moved.tensors()) others.put(tensor.name(), tensor);
    for (ParameterSet.Tensor tensor : bound.tensors()) {
      final ParameterSet.Tensor other = others.remove(tensor.name());
      if (other == null) throw new IllegalArgumentException("the set has no tensor '" + tensor.name() + "'");
      same(tensor.name(), "count", tensor.count(), other.count());
      same(tensor.name(), "group", tensor.group(), other.group());
      same(tensor.name(), "parameterType", tensor.parameterType(), other.parameterType());
      same(tensor.name(), "gradientType", tensor.gradientType(), other.gradientType());
      same(tensor.name(), "whole", tensor.whole(), other.whole());
      same(tensor.name(), "firstElement", tensor.firstElement(), other.firstElement());
    }
    for (String name : others.keySet()) throw new IllegalArgumentException("the optimizer has no tensor '" + name + "'");
  }

  private static void same(String tensor, String what, Object bound, Object moved) {
    if (!bound.equals(moved))
      throw new IllegalArgumentException(
          "the " + what + " of tensor '" + tensor + "' is " + moved + " in the set, and " + bound + " in the optimizer");
  }
}
