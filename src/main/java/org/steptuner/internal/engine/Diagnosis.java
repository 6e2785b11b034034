// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.ArrayList;
import java.util.List;
import org.steptuner.DataType;
import org.steptuner.NonFiniteTensor;
import org.steptuner.ParameterSet;
import org.steptuner.Scope;

/**
 * Looks for infinities and NaNs in parameters, gradients and state, by tensor, as they are now. It makes a plan of its own over each two
 * arrays of a tensor, in which a segment is a tensor. It reads every array once, and is for the rare case that something is wrong.
 */
final class Diagnosis {
  private static final String STAND_IN = "standIn";

  private final Plan plan;
  private final List<ParameterSet.Tensor> tensors;
  private final boolean[] parameters;
  private final boolean[] gradients;
  private final List<List<String>> slots = new ArrayList<>();
  private final double[] gradientSize; // a multiple of |g|_1, over what is finite

  Diagnosis(Plan plan) {
    this.plan = plan;
    tensors = plan.parameters().tensors();
    parameters = new boolean[tensors.size()];
    gradients = new boolean[tensors.size()];
    gradientSize = new double[tensors.size()];
    for (int t = 0; t < tensors.size(); ++t) slots.add(new ArrayList<>());
    boolean some = false;
    for (int t = 0; t < tensors.size(); ++t) some |= plan.isAbsent(t);
    if (some) plan.addScratch(STAND_IN);
    try {
      look();
    } finally {
      if (some) plan.endScratch(STAND_IN);
    }
  }

  private void look() {
    try (Pair pair = new Pair(null, null)) {
      for (int t = 0; t < tensors.size(); ++t) {
        parameters[t] = pair.first(t) > 0;
        // Of tensors that sit out, nobody looks at the gradients.
        final boolean has = tensors.get(t).gradientAddress() != 0 && !plan.isAbsent(t);
        gradients[t] = has && pair.second(t) > 0;
        gradientSize[t] = has ? pair.size(t) : 0;
      }
    }
    final List<String> names = plan.slots().stream().filter(slot -> plan.storage(slot) != Storage.REST).toList();
    for (int s = 0; s < names.size(); s += 2) {
      final String one = names.get(s);
      final String other = s + 1 < names.size() ? names.get(s + 1) : null;
      try (Pair pair = new Pair(one, other)) {
        for (int t = 0; t < tensors.size(); ++t) {
          if (pair.first(t) > 0) slots.get(t).add(one);
          if (other != null && pair.second(t) > 0) slots.get(t).add(other);
        }
      }
    }
  }

  /** A look at two arrays of every tensor: slots, or the parameters (null) and the gradients (null). */
  private final class Pair implements AutoCloseable {
    private final Plan pairs;
    private final Sweep sweep;
    private final int[] segment; // by tensor

    Pair(String first, String second) {
      final ParameterSet.Builder builder = ParameterSet.on(plan.parameters().device());
      for (int t = 0; t < tensors.size(); ++t) {
        final ParameterSet.Tensor tensor = tensors.get(t);
        final long count = tensor.count();
        final long address = count == 0 ? 0 : first == null ? tensor.parameterAddress() : plan.address(first, t);
        final DataType type = first == null ? tensor.parameterType() : plan.type(first, t);
        long other = tensor.gradientAddress();
        DataType otherType = tensor.gradientType();
        if (second != null) {
          other = count == 0 ? 0 : plan.address(second, t);
          otherType = plan.type(second, t);
        } else if (plan.isAbsent(t)) { // zeros stand for it
          other = count == 0 ? 0 : plan.address(STAND_IN, t);
          otherType = plan.type(STAND_IN, t);
        } else if (other == 0) { // an update stands for it, of which nobody asks
          other = tensor.updateAddress();
          otherType = tensor.parameterType().stateType();
        }
        builder.add(tensor.name(), address, type, other, otherType, count);
      }
      pairs = new Plan(builder.build(), List.of(), Scope.TENSOR);
      try {
        pairs.setStream(plan.stream());
        sweep = pairs.bind("non_finite", "");
        sweep.run();
        sweep.await();
      } catch (RuntimeException | Error e) {
        pairs.close();
        throw e;
      }
      segment = new int[tensors.size()];
      for (int s = 0; s < pairs.segments(); ++s) segment[pairs.scope(s)] = s;
    }

    double first(int tensor) {
      return sweep.sum("parameters").of(segment[tensor]);
    }

    double second(int tensor) {
      return sweep.sum("gradients").of(segment[tensor]);
    }

    double size(int tensor) {
      return sweep.sum("gradientSize").of(segment[tensor]);
    }

    @Override
    public void close() {
      pairs.close();
    }
  }

  /** The tensors in which something is not finite. */
  List<NonFiniteTensor> tensors() {
    final List<NonFiniteTensor> found = new ArrayList<>();
    for (int t = 0; t < tensors.size(); ++t)
      if (parameters[t] || gradients[t] || !slots.get(t).isEmpty())
        found.add(new NonFiniteTensor(tensors.get(t).name(), parameters[t], gradients[t], slots.get(t)));
    return found;
  }

  /** Whether an element of the state is not finite. */
  boolean state() {
    return slots.stream().anyMatch(names -> !names.isEmpty());
  }

  /** The tensor with the largest gradients; null where all are 0. */
  String largestGradient() {
    int largest = -1;
    for (int t = 0; t < gradientSize.length; ++t)
      if (gradientSize[t] > 0 && (largest < 0 || gradientSize[t] > gradientSize[largest])) largest = t;
    return largest < 0 ? null : tensors.get(largest).name();
  }
}
