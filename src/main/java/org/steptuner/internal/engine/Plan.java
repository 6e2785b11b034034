// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.lang.ref.Cleaner;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import org.steptuner.DataType;
import org.steptuner.ParameterSet;
import org.steptuner.Scope;
import org.steptuner.internal.Natives;

/**
 * The native side of one optimizer: tensors in the order of their segments, state slots, bound kernels.
 *
 * <p>The tensors of a segment share coefficients and sums. A segment has all tensors of a group, or one tensor if the scope is TENSOR.
 */
public final class Plan implements AutoCloseable {
  private static Cleaner cleaner; // made when first needed: it has a thread, of which there may be none left

  private ParameterSet parameters; // as they are now, or as they were before the last rebind
  private boolean moved;
  private final List<ParameterSet.Tensor> tensors; // as they were built
  private final List<String> slots; // those of the state first, then scratch
  private final List<String> stateSlots;
  private final int[] position; // tensor of the set -> its place in the plan
  private final int[] segmentOfTensor; // of the set
  private final int[] groupOfSegment;
  private final int[] scopeOfSegment;
  private final int scopes;
  private final Addresses addresses;
  private long stream;
  private final Memory memory;
  private long handle;

  /**
   * @param slots names of the state slots, which a checkpoint holds
   * @param scope the largest extent of a segment
   */
  public Plan(ParameterSet parameters, List<String> slots, Scope scope) {
    this.parameters = parameters;
    tensors = parameters.tensors();
    this.slots = new ArrayList<>(slots);
    stateSlots = List.copyOf(slots);
    addresses = new Addresses(tensors);
    final List<Integer> sorted = new ArrayList<>();
    for (int t = 0; t < tensors.size(); ++t) sorted.add(t);
    sorted.sort(Comparator.comparingInt(t -> parameters.groups().indexOf(tensors.get(t).group())));
    final int n = tensors.size();
    position = new int[n];
    for (int i = 0; i < n; ++i) position[sorted.get(i)] = i;
    final int segments = scope == Scope.TENSOR ? n : parameters.groups().size();
    segmentOfTensor = new int[n];
    groupOfSegment = new int[segments];
    scopeOfSegment = new int[segments];
    scopes = scope == Scope.ALL ? 1 : segments;
    final long[] parameterAddresses = new long[n];
    final long[] gradientAddresses = new long[n];
    final long[] updateAddresses = new long[n];
    final long[] counts = new long[n];
    final int[] parameterTypes = new int[n];
    final int[] gradientTypes = new int[n];
    final int[] segmentOf = new int[n];
    for (int i = 0; i < n; ++i) {
      final ParameterSet.Tensor tensor = tensors.get(sorted.get(i));
      final int group = parameters.groups().indexOf(tensor.group());
      parameterAddresses[i] = tensor.parameterAddress();
      gradientAddresses[i] = tensor.gradientAddress();
      updateAddresses[i] = tensor.updateAddress();
      counts[i] = tensor.count();
      parameterTypes[i] = tensor.parameterType().ordinal();
      gradientTypes[i] = tensor.gradientType().ordinal();
      segmentOf[i] = scope == Scope.TENSOR ? i : group;
      segmentOfTensor[sorted.get(i)] = segmentOf[i];
      groupOfSegment[segmentOf[i]] = group;
      scopeOfSegment[segmentOf[i]] = scope == Scope.TENSOR ? sorted.get(i) : scope == Scope.GROUP ? group : 0;
    }
    final long[] created = new long[1];
    Natives.check(
        Natives.planCreate(
            parameters.device().handle(), n, parameterAddresses, parameterTypes, gradientAddresses, gradientTypes,
            updateAddresses, counts, segmentOf, slots.size(), 1, created));
    handle = created[0];
    memory = new Memory(handle);
  }

  /** Adds a zeroed slot for values that need not be saved: no checkpoint holds it. Does nothing if there is such a slot already. */
  public void addScratch(String name) {
    if (slots.contains(name)) return;
    final int[] slot = new int[1];
    Natives.check(Natives.planAddSlot(handle(), slot));
    slots.add(name);
  }

  /** Binds the kernel of a sweep over a rule ("" for none); its state operands are the slots of the same names. */
  public Sweep bind(String sweep, String rule) {
    return bind(sweep, rule, Map.of());
  }

  /**
   * The same.
   *
   * @param slotOfOperand the slots of operands whose names differ
   */
  public Sweep bind(String sweep, String rule, Map<String, String> slotOfOperand) {
    final Kernel kernel = Kernel.find(sweep, rule);
    final int[] slotOf =
        kernel.operands().stream()
            .mapToInt(operand -> slots.indexOf(slotOfOperand.getOrDefault(operand.name(), operand.name())))
            .toArray();
    final int[] binding = new int[1];
    Natives.check(Natives.planBind(handle, kernel.number(), slotOf, slotOf.length, binding));
    return new Sweep(this, binding[0], kernel);
  }

  /** The state slots that a rule's formula needs. */
  public static List<String> slotsOf(String rule) {
    return slotsOf("fixed_rate", rule);
  }

  /** The state slots that a sweep over a rule ("" for none) needs. */
  public static List<String> slotsOf(String sweep, String rule) {
    return Kernel.find(sweep, rule).slots();
  }

  /** Whether a rule takes a buffer of the caller's instead of the gradient. */
  static boolean takesUpdates(String rule) {
    return Kernel.find("fixed_rate", rule).uses(Kernel.Place.UPDATE);
  }

  /** Sets every element of a slot, in the order of the stream. */
  public void fill(String slot, double value) {
    Natives.check(Natives.planFill(handle(), slots.indexOf(slot), value, stream));
  }

  /** Zeroes a slot that the trainer is to write, and waits for the zeros: the trainer's work may be on another stream. */
  public void clearForTrainer(String slot) {
    fill(slot, 0);
    Natives.check(Natives.await(handle(), stream));
  }

  /** The slots that a checkpoint holds. */
  public List<String> slots() {
    return stateSlots;
  }

  /** The tensors, with their current addresses. */
  public synchronized ParameterSet parameters() {
    if (moved) parameters = addresses.applyTo(parameters);
    moved = false;
    return parameters;
  }

  public int segments() {
    return groupOfSegment.length;
  }

  /** The group of a segment, as a place in {@link ParameterSet#groups}. */
  public int group(int segment) {
    return groupOfSegment[segment];
  }

  /** The scope of a segment: scopes are numbered as groups and tensors were added. */
  public int scope(int segment) {
    return scopeOfSegment[segment];
  }

  public int scopes() {
    return scopes;
  }

  public long stream() {
    return stream;
  }

  public void setStream(long stream) {
    this.stream = stream;
  }

  /** Moves a tensor, after the checks that {@link ParameterSet} makes. */
  public void rebind(int tensor, long parameterAddress, long gradientAddress) {
    final Addresses.Move move = addresses.check(tensor, parameterAddress, gradientAddress);
    final long update = tensors.get(tensor).updateAddress();
    Natives.check(Natives.planRebind(handle(), position[tensor], parameterAddress, gradientAddress, update, 1));
    synchronized (this) {
      addresses.make(move);
      moved = true;
    }
  }

  /**
   * Sets which tensors sweeps go over from now on. The others are left as they are, and add nothing to sums.
   *
   * @param absent by tensor of the set: those that are left out
   */
  void setAbsent(boolean[] absent) {
    final int[] present = new int[position.length];
    for (int tensor = 0; tensor < absent.length; ++tensor) present[position[tensor]] = absent[tensor] ? 0 : 1;
    Natives.check(Natives.planSetPresent(handle(), present));
  }

  /** The segment of a tensor. */
  int segmentOf(int tensor) {
    return segmentOfTensor[tensor];
  }

  /** The scope of a tensor. */
  int scopeOf(int tensor) {
    return scopeOfSegment[segmentOfTensor[tensor]];
  }

  /** Whether there is a kernel of this sweep over a rule. */
  static boolean has(String sweep, String rule) {
    return Natives.kernelFind(sweep, rule) >= 0;
  }

  /** Bytes of a tensor in a slot, or in the parameters (slot null). */
  public long bytes(String slot, int tensor) {
    return Natives.planBytes(handle, slot(slot), position[tensor]);
  }

  /** The address of a tensor's elements in a slot, on the device. */
  public long address(String slot, int tensor) {
    return Natives.planAddress(handle(), slot(slot), position[tensor]);
  }

  /** The element type of a tensor in a slot, or in the parameters (slot null). */
  public DataType type(String slot, int tensor) {
    final DataType type = tensors.get(tensor).parameterType();
    return slot == null ? type : type.stateType();
  }

  /** Copies bytes of a tensor in a slot, or in the parameters (slot null), to host memory. */
  void read(String slot, int tensor, long offset, long hostAddress, long bytes) {
    Natives.check(Natives.planRead(handle(), slot(slot), position[tensor], offset, hostAddress, bytes, stream));
  }

  /** The same to the beginning of an array. */
  void read(String slot, int tensor, long offset, byte[] host, int bytes) {
    Natives.check(Natives.planRead(handle(), slot(slot), position[tensor], offset, host, bytes, stream));
  }

  /** Copies the first bytes of an array to a tensor in a slot, or in the parameters (slot null). */
  public void write(String slot, int tensor, long offset, byte[] host, int bytes) {
    Natives.check(Natives.planWrite(handle(), slot(slot), position[tensor], offset, host, bytes, stream));
  }

  @Override
  public void close() {
    if (handle != 0) memory.run();
    handle = 0;
  }

  /** Host memory of a slot as a buffer. The memory is not freed while the buffer is reachable, not even by {@link #close}. */
  ByteBuffer buffer(long address, long bytes) {
    handle();
    final ByteBuffer buffer = new NativeBytes(address).capacity(bytes).asByteBuffer().order(ByteOrder.nativeOrder());
    final Cleaner freeing = cleaner();
    memory.hold();
    freeing.register(buffer, memory);
    return buffer;
  }

  private static synchronized Cleaner cleaner() {
    if (cleaner == null) cleaner = Cleaner.create();
    return cleaner;
  }

  long handle() {
    if (handle == 0) throw new IllegalStateException("the optimizer is closed");
    return handle;
  }

  private int slot(String name) {
    return name == null ? -1 : slots.indexOf(name);
  }

  /** The native plan. It is destroyed when the plan is closed and no buffer of it is reachable any more. */
  private static final class Memory implements Runnable {
    private final long handle;
    private int holders = 1;

    Memory(long handle) {
      this.handle = handle;
    }

    synchronized void hold() {
      ++holders;
    }

    @Override
    public synchronized void run() {
      if (--holders == 0) Natives.planDestroy(handle);
    }
  }
}
