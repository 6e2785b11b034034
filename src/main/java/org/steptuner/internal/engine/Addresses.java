// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.Arrays;
import java.util.List;
import org.steptuner.ParameterSet;

/**
 * The current addresses of the tensors of an optimizer, and the check of what may overlap: a range of parameters must not overlap any other
 * range; gradients and updates are only read and may coincide.
 *
 * <p>A move is proposed, checked and then made. All tensors of a move leave their old places at once, so that two may change places.
 *
 * <p>Parameters are kept ordered by address, which is possible because they overlap nothing. So a range is checked by one search among
 * them. A move of gradients alone, which trainers make often, needs no new order and allocates nothing.
 */
public final class Addresses {
  private final List<ParameterSet.Tensor> tensors;
  private Places now;
  private Places next;

  Addresses(List<ParameterSet.Tensor> tensors) {
    this.tensors = tensors;
    now = new Places(tensors);
    next = new Places(tensors);
    now.sort(tensors);
  }

  /**
   * Checks a whole set.
   *
   * @throws IllegalArgumentException if a tensor's parameters overlap other memory of the set
   */
  public static void check(List<ParameterSet.Tensor> tensors) {
    final Addresses fresh = new Addresses(tensors);
    fresh.checkParameters(fresh.now, null);
    for (int t = 0; t < tensors.size(); ++t) fresh.checkRead(fresh.now, t, null);
  }

  /** The addresses of the parameters as proposed last. */
  long[] parameters() {
    return next.parameter;
  }

  /** The addresses of the gradients as proposed last; 0 for none. */
  long[] gradients() {
    return next.gradient;
  }

  /** The addresses of the updates as proposed last; 0 for none. */
  long[] updates() {
    return next.update;
  }

  /** The set with every tensor where it is now. */
  ParameterSet applyTo(ParameterSet set) {
    return set.at(now.parameter, now.gradient, now.update);
  }

  /** Proposes that all tensors move. An array that is null leaves its addresses as they are. */
  void propose(long[] parameters, long[] gradients, long[] updates) {
    copy(parameters == null ? now.parameter : parameters, next.parameter);
    copy(gradients == null ? now.gradient : gradients, next.gradient);
    copy(updates == null ? now.update : updates, next.update);
  }

  /** Proposes that one tensor moves. */
  void propose(int tensor, long parameter, long gradient, long update) {
    propose(null, null, null);
    next.parameter[tensor] = parameter;
    next.gradient[tensor] = gradient;
    next.update[tensor] = update;
  }

  /** The address of a tensor's update as it is now. */
  long update(int tensor) {
    return now.update[tensor];
  }

  /**
   * Checks what has been proposed.
   *
   * @return false if nothing would move
   * @throws IllegalArgumentException if a tensor's parameters would overlap other memory of the set
   */
  boolean check() {
    final boolean parametersMove = !Arrays.equals(now.parameter, next.parameter);
    if (!parametersMove && Arrays.equals(now.gradient, next.gradient) && Arrays.equals(now.update, next.update)) return false;
    if (parametersMove) {
      next.sort(tensors);
      checkParameters(next, now);
    } else {
      next.ordered = now.ordered;
    }
    for (int t = 0; t < next.parameter.length; ++t)
      if (parametersMove || next.gradient[t] != now.gradient[t] || next.update[t] != now.update[t]) checkRead(next, t, now);
    return true;
  }

  /** Makes the move that was checked last. */
  void move() {
    final Places before = now;
    now = next;
    next = before;
  }

  /** Where tensors lie. */
  private static final class Places {
    final long[] parameter;
    final long[] gradient;
    final long[] update;
    Integer[] ordered = {}; // tensors that have parameters somewhere, by their addresses

    Places(List<ParameterSet.Tensor> tensors) {
      parameter = tensors.stream().mapToLong(ParameterSet.Tensor::parameterAddress).toArray();
      gradient = tensors.stream().mapToLong(ParameterSet.Tensor::gradientAddress).toArray();
      update = tensors.stream().mapToLong(ParameterSet.Tensor::updateAddress).toArray();
    }

    void sort(List<ParameterSet.Tensor> tensors) {
      int count = 0;
      final Integer[] all = new Integer[parameter.length];
      for (int t = 0; t < parameter.length; ++t) if (tensors.get(t).count() > 0 && parameter[t] != 0) all[count++] = t;
      ordered = Arrays.copyOf(all, count);
      Arrays.sort(ordered, (a, b) -> Long.compareUnsigned(parameter[a], parameter[b]));
    }

    /** The last tensor whose parameters begin before an address; -1 if there is none. */
    int lastBefore(long end) {
      int low = 0;
      int high = ordered.length;
      while (low < high) {
        final int middle = (low + high) >>> 1;
        if (Long.compareUnsigned(parameter[ordered[middle]], end) < 0) low = middle + 1;
        else high = middle;
      }
      return low == 0 ? -1 : ordered[low - 1];
    }
  }

  private void checkParameters(Places places, Places before) {
    for (int i = 1; i < places.ordered.length; ++i) {
      final int low = places.ordered[i - 1];
      final int high = places.ordered[i];
      if (Long.compareUnsigned(places.parameter[high], parameterEnd(places, low)) < 0)
        throw overlapping(
            before != null && before.parameter[low] != places.parameter[low], low, "parameters",
            before != null && before.parameter[high] != places.parameter[high], high);
    }
  }

  /** What a tensor has that is read: its gradients and its update. */
  private void checkRead(Places places, int tensor, Places before) {
    final ParameterSet.Tensor t = tensors.get(tensor);
    if (t.count() == 0) return;
    checkRead(
        places, tensor, "gradients", places.gradient[tensor], t.gradientType().bytes(), before,
        before != null && before.gradient[tensor] != places.gradient[tensor]);
    checkRead(
        places, tensor, "update", places.update[tensor], t.parameterType().stateType().bytes(), before,
        before != null && before.update[tensor] != places.update[tensor]);
  }

  private void checkRead(Places places, int tensor, String what, long begin, int bytes, Places before, boolean isNew) {
    if (begin == 0) return;
    final int other = places.lastBefore(begin + tensors.get(tensor).count() * bytes);
    if (other < 0 || Long.compareUnsigned(parameterEnd(places, other), begin) <= 0) return;
    throw overlapping(isNew, tensor, what, before != null && before.parameter[other] != places.parameter[other], other);
  }

  private IllegalArgumentException overlapping(boolean isNew, int tensor, String what, boolean otherIsNew, int other) {
    return new IllegalArgumentException(
        (isNew ? "the new " : "the ") + what + " of tensor '" + tensors.get(tensor).name() + "' and the " + (otherIsNew ? "new " : "")
            + "parameters of tensor '" + tensors.get(other).name() + "' overlap in memory");
  }

  private long parameterEnd(Places places, int tensor) {
    final ParameterSet.Tensor t = tensors.get(tensor);
    return places.parameter[tensor] + t.count() * t.parameterType().bytes();
  }

  private static void copy(long[] from, long[] to) {
    System.arraycopy(from, 0, to, 0, to.length);
  }
}
