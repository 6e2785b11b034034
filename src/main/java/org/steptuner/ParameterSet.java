// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.nio.Buffer;
import java.nio.ByteOrder;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import org.bytedeco.javacpp.Pointer;
import org.steptuner.internal.engine.Addresses;

/**
 * The tensors that an optimizer works on: where a trainer keeps its parameters and gradients, and of what type. It owns no memory. The
 * trainer's arrays must keep their addresses, or be {@linkplain Optimizer#rebind bound again}, for as long as an optimizer uses them.
 *
 * <pre>{@code
 * ParameterSet parameters = ParameterSet.on(device)
 *     .add("encoder/kernel", weightAddress, gradientAddress, count, DataType.FLOAT32)
 *     .group("no decay")
 *     .add("encoder/bias", biasAddress, biasGradientAddress, biasCount, DataType.FLOAT32)
 *     .build();
 * }</pre>
 *
 * Tensors may be empty and may hold over 2^31 elements. Addresses must be multiples of the element's size; more alignment is not needed. On
 * the CPU, building an optimizer checks that the ranges are memory of this process.
 */
public final class ParameterSet {
  /** The group that tensors are in until {@link Builder#group} is called. */
  public static final String DEFAULT_GROUP = "default";

  private static final long MOST_ELEMENTS = 1L << 40;
  private static final int CHUNK = 4096; // elements whose random bits have one key

  /**
   * One tensor.
   *
   * @param name unique in its set
   * @param group the parameter group
   * @param parameterAddress first parameter, on the device
   * @param parameterType type of the parameters
   * @param gradientAddress first gradient, on the device; 0 where only a supplied update is used
   * @param gradientType type of the gradients
   * @param updateAddress first element of the caller's update (or curvature, for MetaOptimize), of the parameters' state type; 0 where
   *     there is none
   * @param count number of elements
   * @param whole the tensor that it is a piece of; its own name where it is not one, see {@link Builder#pieceOf}
   * @param firstElement the number of its first element in that tensor
   */
  public record Tensor(
      String name,
      String group,
      long parameterAddress,
      DataType parameterType,
      long gradientAddress,
      DataType gradientType,
      long updateAddress,
      long count,
      String whole,
      long firstElement) {
    /** A tensor that is a whole one. */
    public Tensor(
        String name,
        String group,
        long parameterAddress,
        DataType parameterType,
        long gradientAddress,
        DataType gradientType,
        long updateAddress,
        long count) {
      this(name, group, parameterAddress, parameterType, gradientAddress, gradientType, updateAddress, count, name, 0);
    }
  }

  private final Device device;
  private final List<Tensor> tensors;
  private final List<String> groups;
  private final List<Object> owners;

  private ParameterSet(Builder builder) {
    device = builder.device;
    tensors = List.copyOf(builder.tensors);
    final List<String> used = new ArrayList<>();
    for (Tensor tensor : tensors) if (!used.contains(tensor.group)) used.add(tensor.group);
    groups = Collections.unmodifiableList(used);
    owners = List.copyOf(builder.owners);
  }

  private ParameterSet(ParameterSet before, List<Tensor> moved) {
    device = before.device;
    tensors = List.copyOf(moved);
    groups = before.groups;
    owners = before.owners;
  }

  /**
   * The same tensors at other addresses. The buffers at the old addresses stay reachable too.
   *
   * @param parameterAddresses one per tensor, in the order in which tensors were added
   * @param gradientAddresses likewise
   * @throws IllegalArgumentException if the arrays are not of one address per tensor, or the parameters of a tensor overlap other memory of
   *     the set
   */
  public ParameterSet at(long[] parameterAddresses, long[] gradientAddresses) {
    return at(parameterAddresses, gradientAddresses, tensors.stream().mapToLong(Tensor::updateAddress).toArray());
  }

  /**
   * The same with other addresses of updates too.
   *
   * @param parameterAddresses one per tensor, in the order in which tensors were added
   * @param gradientAddresses likewise
   * @param updateAddresses likewise; 0 where there is none
   */
  public ParameterSet at(long[] parameterAddresses, long[] gradientAddresses, long[] updateAddresses) {
    for (long[] addresses : new long[][] {parameterAddresses, gradientAddresses, updateAddresses})
      if (addresses.length != tensors.size())
        throw new IllegalArgumentException(
            "there must be an address for each of " + tensors.size() + " tensors, not " + parameterAddresses.length + ", "
                + gradientAddresses.length + " and " + updateAddresses.length);
    final List<Tensor> moved = new ArrayList<>();
    for (int t = 0; t < tensors.size(); ++t) {
      final Tensor old = tensors.get(t);
      moved.add(
          new Tensor(
              old.name, old.group, parameterAddresses[t], old.parameterType, gradientAddresses[t], old.gradientType, updateAddresses[t],
              old.count, old.whole, old.firstElement));
    }
    Addresses.check(moved);
    return new ParameterSet(this, moved);
  }

  /**
   * Begins a set on a device.
   *
   * @param device the device in whose memory the tensors are
   */
  public static Builder on(Device device) {
    return new Builder(Objects.requireNonNull(device, "device"));
  }

  /** The device that the tensors are on. */
  public Device device() {
    return device;
  }

  /** The tensors, in the order in which they were added. */
  public List<Tensor> tensors() {
    return tensors;
  }

  /** The groups that have tensors, in the order of their first tensors. */
  public List<String> groups() {
    return groups;
  }

  /** The number of elements of all tensors together. */
  public long elements() {
    return tensors.stream().mapToLong(Tensor::count).sum();
  }

  /** Collects the tensors of a set. */
  public static final class Builder {
    private final Device device;
    private final List<Tensor> tensors = new ArrayList<>();
    private final List<Object> owners = new ArrayList<>();
    private final Set<String> names = new HashSet<>();
    private String group = DEFAULT_GROUP;

    private Builder(Device device) {
      this.device = device;
    }

    /**
     * Puts the tensors added from now on into a group, which can have hyperparameters of its own.
     *
     * @param name of a new group, or of one to go on with
     */
    public Builder group(String name) {
      group = Objects.requireNonNull(name, "name");
      return this;
    }

    /**
     * Adds a tensor whose parameters and gradients have one type.
     *
     * @param name unique in this set
     * @param parameterAddress address of the first parameter
     * @param gradientAddress address of the first gradient
     * @param count number of elements, 0 or more
     * @param type of parameters and gradients
     */
    public Builder add(String name, long parameterAddress, long gradientAddress, long count, DataType type) {
      return add(name, parameterAddress, type, gradientAddress, type, count);
    }

    /**
     * Adds a tensor whose gradients have a type of their own.
     *
     * @param name unique in this set
     * @param parameterAddress address of the first parameter
     * @param parameterType type of the parameters
     * @param gradientAddress address of the first gradient
     * @param gradientType type of the gradients
     * @param count number of elements, 0 or more
     */
    public Builder add(
        String name, long parameterAddress, DataType parameterType, long gradientAddress, DataType gradientType, long count) {
      return add(name, parameterAddress, parameterType, gradientAddress, gradientType, 0, count);
    }

    /**
     * Adds a tensor with a buffer into which the caller writes before each {@link Optimizer#step}: the step of the caller's own base
     * algorithm ({@link org.steptuner.rule.SuppliedUpdate}), or a {@link org.steptuner.tuner.MetaCurvature}.
     *
     * @param name unique in this set
     * @param parameterAddress address of the first parameter
     * @param parameterType type of the parameters
     * @param gradientAddress address of the first gradient; it may be 0 if there is a buffer
     * @param gradientType type of the gradients
     * @param updateAddress address of the buffer: {@code count} elements of {@link DataType#stateType()}; 0 for none
     * @param count number of elements, from 0 to 2^40
     * @throws IllegalArgumentException if the name is in use, or an address is not a multiple of the size of an element, or is 0 and needed
     */
    public Builder add(
        String name,
        long parameterAddress,
        DataType parameterType,
        long gradientAddress,
        DataType gradientType,
        long updateAddress,
        long count) {
      Objects.requireNonNull(name, "name");
      Objects.requireNonNull(parameterType, "parameterType of tensor '" + name + "'");
      Objects.requireNonNull(gradientType, "gradientType of tensor '" + name + "'");
      if (count < 0) throw new IllegalArgumentException("count of tensor '" + name + "' must be 0 or more, not " + count);
      checkAddress(name, "parameterAddress", parameterAddress, parameterType, count, true);
      checkAddress(name, "gradientAddress", gradientAddress, gradientType, count, updateAddress == 0);
      checkAddress(name, "updateAddress", updateAddress, parameterType.stateType(), count, false);
      if (!names.add(name)) throw new IllegalArgumentException("tensor '" + name + "' is there already");
      tensors.add(
          new Tensor(name, group, parameterAddress, parameterType, gradientAddress, gradientType, updateAddress, count));
      return this;
    }

    /**
     * Adds a tensor at JavaCPP pointers (at their positions), such as those of a trainer that uses bytedeco's presets. The set keeps the
     * pointers reachable. It cannot keep memory that the caller frees explicitly.
     *
     * @param name unique in this set
     * @param parameters pointer to the first parameter
     * @param gradients pointer to the first gradient
     * @param count number of elements; a pointer may not know how many it has
     * @param type of parameters and gradients
     */
    public Builder add(String name, Pointer parameters, Pointer gradients, long count, DataType type) {
      add(name, address(name, "parameters", parameters), address(name, "gradients", gradients), count, type);
      owners.add(parameters);
      owners.add(gradients);
      return this;
    }

    /**
     * Adds a float32 tensor in buffers. They must be direct and have the native byte order; their elements are those from position to
     * limit. Only for the CPU. The set keeps the buffers reachable.
     *
     * @param name unique in this set
     * @param parameters the parameters, not read-only
     * @param gradients as many gradients
     * @throws IllegalArgumentException if the name is in use, the device is a GPU, or the buffers are not as described
     */
    public Builder add(String name, FloatBuffer parameters, FloatBuffer gradients) {
      return addBuffers(
          name, parameters, parameters.isDirect(), parameters.order(), gradients, gradients.isDirect(), gradients.order(),
          DataType.FLOAT32);
    }

    /**
     * The same for float64.
     *
     * @param name unique in this set
     * @param parameters the parameters, not read-only
     * @param gradients as many gradients
     */
    public Builder add(String name, DoubleBuffer parameters, DoubleBuffer gradients) {
      return addBuffers(
          name, parameters, parameters.isDirect(), parameters.order(), gradients, gradients.isDirect(), gradients.order(),
          DataType.FLOAT64);
    }

    /**
     * The same for a 16-bit type.
     *
     * @param name unique in this set
     * @param parameters the parameters, not read-only
     * @param gradients as many gradients
     * @param type BFLOAT16 or FLOAT16
     */
    public Builder add(String name, ShortBuffer parameters, ShortBuffer gradients, DataType type) {
      if (type == null || type.bytes() != 2)
        throw new IllegalArgumentException("type of tensor '" + name + "' must be BFLOAT16 or FLOAT16, not " + type);
      return addBuffers(
          name, parameters, parameters.isDirect(), parameters.order(), gradients, gradients.isDirect(), gradients.order(), type);
    }

    /**
     * Says that the tensor added last is a piece of a larger one, of which other processes, or other tensors of this set, have the rest.
     * Where elements are {@linkplain ParameterRounding#STOCHASTIC rounded stochastically} the piece then has the random bits of the whole.
     * Otherwise it changes nothing.
     *
     * @param whole the name of the larger tensor, the same for all its pieces
     * @param firstElement the number of the piece's first element in it: a multiple of 4096, from 0 to 2^40
     * @throws IllegalStateException if no tensor has been added
     * @throws IllegalArgumentException if firstElement is none of these numbers
     */
    public Builder pieceOf(String whole, long firstElement) {
      Objects.requireNonNull(whole, "whole");
      if (tensors.isEmpty()) throw new IllegalStateException("pieceOf is about the tensor added last, and there is none");
      final int last = tensors.size() - 1;
      final Tensor of = tensors.get(last);
      if (firstElement < 0 || firstElement > MOST_ELEMENTS || firstElement % CHUNK != 0)
        throw new IllegalArgumentException(
            "firstElement of tensor '" + of.name + "', a piece of '" + whole + "', must be a multiple of " + CHUNK + " from 0 to 2^40, not "
                + firstElement);
      tensors.set(
          last, new Tensor(
              of.name, of.group, of.parameterAddress, of.parameterType, of.gradientAddress, of.gradientType, of.updateAddress, of.count,
              whole, firstElement));
      return this;
    }

    /**
     * Makes the set.
     *
     * @throws IllegalArgumentException if there is no tensor, or the parameters of one overlap other memory of the set
     */
    public ParameterSet build() {
      if (tensors.isEmpty()) throw new IllegalArgumentException("a parameter set needs at least one tensor");
      Addresses.check(tensors);
      return new ParameterSet(this);
    }

    private Builder addBuffers(
        String name, Buffer parameters, boolean direct, ByteOrder order, Buffer gradients, boolean gradientDirect,
        ByteOrder gradientOrder, DataType type) {
      if (!device.isCpu()) throw new IllegalArgumentException("buffers hold host memory, and " + device + " is not the CPU");
      if (!direct || !gradientDirect)
        throw new IllegalArgumentException("buffers of tensor '" + name + "' must be direct");
      if (order != ByteOrder.nativeOrder() || gradientOrder != ByteOrder.nativeOrder())
        throw new IllegalArgumentException("buffers of tensor '" + name + "' must have the native byte order");
      if (parameters.isReadOnly()) throw new IllegalArgumentException("parameters of tensor '" + name + "' are read-only");
      if (parameters.remaining() != gradients.remaining())
        throw new IllegalArgumentException(
            "tensor '" + name + "' has " + parameters.remaining() + " parameters but " + gradients.remaining() + " gradients");
      owners.add(parameters);
      owners.add(gradients);
      return add(name, address(parameters, type), address(gradients, type), parameters.remaining(), type);
    }

    private static long address(String tensor, String argument, Pointer pointer) {
      Objects.requireNonNull(pointer, argument + " of tensor '" + tensor + "'");
      return pointer.isNull() ? 0 : pointer.address() + pointer.position() * pointer.sizeof();
    }

    private static long address(Buffer buffer, DataType type) {
      try (Pointer pointer = new Pointer(buffer)) {
        return pointer.address() + (long) buffer.position() * type.bytes();
      }
    }

    private static void checkAddress(String tensor, String argument, long address, DataType type, long count, boolean needed) {
      if (count == 0) return;
      if (address == 0 && !needed) return;
      if (address == 0) throw new IllegalArgumentException(argument + " of tensor '" + tensor + "' is null");
      if (address % type.bytes() != 0)
        throw new IllegalArgumentException(
            argument + " of tensor '" + tensor + "' must be a multiple of " + type.bytes() + " for " + type + ", not 0x"
                + Long.toHexString(address));
      if (count > MOST_ELEMENTS)
        throw new IllegalArgumentException("count of tensor '" + tensor + "' must be at most 2^40, not " + count);
    }
  }
}
