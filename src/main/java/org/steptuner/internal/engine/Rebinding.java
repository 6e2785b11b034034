// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToLongFunction;
import org.steptuner.ParameterSet;
import org.steptuner.internal.Natives;

/** Moves the tensors of a plan to other addresses, after the checks that {@link ParameterSet} makes: all that are to move, or none. */
final class Rebinding {
  private final Plan plan;
  private final int[] position; // tensor of the set -> its place in the plan
  private final Addresses addresses;
  private final long[] sentParameters; // in the plan's order
  private final long[] sentGradients;
  private final long[] sentUpdates;
  private final ParameterSet built;
  private ParameterSet parameters; // as they are now, or as they were before the last move
  private boolean moved;
  private ParameterSet owner; // of the memory that tensors were moved to; null if they are where they were built

  Rebinding(Plan plan, ParameterSet parameters, int[] position) {
    this.plan = plan;
    this.parameters = parameters;
    built = parameters;
    this.position = position;
    addresses = new Addresses(parameters.tensors());
    sentParameters = new long[position.length];
    sentGradients = new long[position.length];
    sentUpdates = new long[position.length];
  }

  /** The tensors, with their current addresses. */
  synchronized ParameterSet parameters() {
    if (moved) parameters = addresses.applyTo(parameters);
    moved = false;
    return parameters;
  }

  /** Moves a tensor; its update stays where it is. */
  void one(int tensor, long parameterAddress, long gradientAddress) {
    one(tensor, parameterAddress, gradientAddress, addresses.update(tensor));
  }

  void one(int tensor, long parameterAddress, long gradientAddress, long updateAddress) {
    addresses.propose(tensor, parameterAddress, gradientAddress, updateAddress);
    move();
  }

  /** Moves all tensors at once. Updates stay where they are if their array is null. */
  void all(long[] parameterAddresses, long[] gradientAddresses, long[] updateAddresses) {
    addresses.propose(parameterAddresses, gradientAddresses, updateAddresses);
    move();
  }

  /** Moves all tensors to where those of another set are, which stays reachable until the next call. */
  void all(ParameterSet to) {
    SameTensors.check(built, to);
    final Map<String, ParameterSet.Tensor> byName = new HashMap<>();
    for (ParameterSet.Tensor tensor : to.tensors()) byName.put(tensor.name(), tensor);
    final List<ParameterSet.Tensor> ordered = built.tensors().stream().map(tensor -> byName.get(tensor.name())).toList();
    all(
        array(ordered, ParameterSet.Tensor::parameterAddress), array(ordered, ParameterSet.Tensor::gradientAddress),
        array(ordered, ParameterSet.Tensor::updateAddress));
    owner = to;
  }

  private static long[] array(List<ParameterSet.Tensor> tensors, ToLongFunction<ParameterSet.Tensor> address) {
    return tensors.stream().mapToLong(address).toArray();
  }

  private void move() {
    if (!addresses.check()) return;
    for (int t = 0; t < position.length; ++t) {
      sentParameters[position[t]] = addresses.parameters()[t];
      sentGradients[position[t]] = addresses.gradients()[t];
      sentUpdates[position[t]] = addresses.updates()[t];
    }
    plan.check(Natives.planRebind(plan.handle(), position.length, null, sentParameters, sentGradients, sentUpdates, 1));
    synchronized (this) {
      addresses.move();
      moved = true;
    }
  }
}
