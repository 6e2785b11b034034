// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.StateTensor;

/**
 * What an optimizer has that is about the places of its tensors: moving them, zeroing gradients, looking at the state. It also ensures that
 * only one call uses the optimizer at a time.
 */
abstract class PlacedOptimizer implements Optimizer {
  final Plan plan;
  final ExclusiveUse use = new ExclusiveUse();
  private final Map<String, Integer> tensorNumbers = new HashMap<>();

  PlacedOptimizer(Plan plan) {
    this.plan = plan;
    for (ParameterSet.Tensor tensor : plan.parameters().tensors()) tensorNumbers.put(tensor.name(), tensorNumbers.size());
  }

  /** The names of all tensors. */
  final Set<String> tensorNames() {
    return tensorNumbers.keySet();
  }

  /** Which tensors are named. */
  final boolean[] numbers(Collection<String> tensors) {
    Objects.requireNonNull(tensors, "tensors");
    final boolean[] which = new boolean[tensorNumbers.size()];
    final Set<String> unknown = new LinkedHashSet<>();
    for (String tensor : tensors) {
      final Integer number = tensorNumbers.get(tensor);
      if (number == null) unknown.add("'" + tensor + "'");
      else which[number] = true;
    }
    if (!unknown.isEmpty()) throw new IllegalArgumentException("tensors: there is no tensor " + String.join(", ", unknown));
    return which;
  }

  @Override
  public final ParameterSet parameters() {
    return plan.parameters();
  }

  @Override
  public final void setStream(long stream) {
    exclusively(() -> plan.setStream(stream));
  }

  @Override
  public final void rebind(String tensor, long parameterAddress, long gradientAddress) {
    Objects.requireNonNull(tensor, "tensor");
    use.begin();
    try {
      plan.rebinding().one(number(tensor), parameterAddress, gradientAddress);
    } finally {
      use.end();
    }
  }

  @Override
  public final void rebind(String tensor, long parameterAddress, long gradientAddress, long updateAddress) {
    Objects.requireNonNull(tensor, "tensor");
    use.begin();
    try {
      plan.rebinding().one(number(tensor), parameterAddress, gradientAddress, updateAddress);
    } finally {
      use.end();
    }
  }

  @Override
  public final void rebind(ParameterSet moved) {
    Objects.requireNonNull(moved, "moved");
    exclusively(() -> plan.rebinding().all(moved));
  }

  @Override
  public final void rebind(long[] parameterAddresses, long[] gradientAddresses) {
    rebindAll(parameterAddresses, gradientAddresses, null);
  }

  @Override
  public final void rebind(long[] parameterAddresses, long[] gradientAddresses, long[] updateAddresses) {
    checkLength("updateAddresses", updateAddresses);
    rebindAll(parameterAddresses, gradientAddresses, updateAddresses);
  }

  private void rebindAll(long[] parameterAddresses, long[] gradientAddresses, long[] updateAddresses) {
    checkLength("parameterAddresses", parameterAddresses);
    checkLength("gradientAddresses", gradientAddresses);
    use.begin(); // without a lambda: trainers call this at every step
    try {
      plan.rebinding().all(parameterAddresses, gradientAddresses, updateAddresses);
    } finally {
      use.end();
    }
  }

  private void checkLength(String argument, long[] addresses) {
    Objects.requireNonNull(addresses, argument);
    if (addresses.length != tensorNumbers.size())
      throw new IllegalArgumentException(argument + " must have one address for each of " + tensorNumbers.size() + " tensors, not "
          + addresses.length);
  }

  @Override
  public final void zeroGradients() {
    use.begin();
    try {
      plan.zeroGradients();
    } finally {
      use.end();
    }
  }

  @Override
  public final List<String> slots() {
    return plan.slots();
  }

  @Override
  public final StateTensor state(String slot, String tensor) {
    Objects.requireNonNull(slot, "slot");
    Objects.requireNonNull(tensor, "tensor");
    use.begin();
    try {
      if (!slots().contains(slot)) throw new IllegalArgumentException("no state slot '" + slot + "'; there are " + slots());
      final int number = number(tensor);
      return new StateTensor(plan.address(slot, number), plan.type(slot, number), plan.count(slot, number));
    } finally {
      use.end();
    }
  }

  /** The number of a tensor in its set. */
  final int number(String tensor) {
    final Integer number = tensorNumbers.get(tensor);
    if (number == null) throw new IllegalArgumentException("no tensor '" + tensor + "'");
    return number;
  }

  /** Does something as one call. */
  public final void exclusively(Runnable work) {
    use.begin();
    try {
      work.run();
    } finally {
      use.end();
    }
  }
}
