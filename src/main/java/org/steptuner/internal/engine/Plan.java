// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.steptuner.DataType;
import org.steptuner.ParameterRounding;
import org.steptuner.ParameterSet;
import org.steptuner.Scope;
import org.steptuner.internal.Natives;

/**
 * The native side of one optimizer: tensors in the order of their segments, state slots, bound kernels.
 *
 * <p>The tensors of a segment share coefficients and sums. A segment has all tensors of a group, or one tensor if the scope is TENSOR.
 */
public final class Plan implements AutoCloseable {
  /** The slot of what 16-bit parameters are short of a float32. */
  static final String REST = "parameterRest";

  private static final int PARAMETERS = -1; // where a slot's number may stand
  private static final int BUFFER = 1 << 16;
  private static final DataType[] TYPES = DataType.values();
  private static final double SMALLEST_BFLOAT16 = 0x1p-133;

  private final List<ParameterSet.Tensor> tensors; // as they were built
  private final List<String> slots; // those of the state first, then scratch
  private final Set<String> lent = new HashSet<>(); // slots whose memory code outside the library may still use
  private volatile List<String> stateSlots;
  private final int[] position; // tensor of the set -> its place in the plan
  private final int[] segmentOfTensor; // of the set
  private final int[] groupOfSegment;
  private final int[] scopeOfSegment;
  private final int scopes;
  private final boolean narrow; // some tensors have a float32 state
  private final Map<String, Storage> storages = new HashMap<>(); // of the slots that are not stored as they are computed
  private final boolean inParts; // some parameters have a rest
  private Precision precision;
  private boolean rounds; // some elements are rounded by random bits
  private final Rebinding rebinding;
  private final NamesForNumbers names;
  private boolean[] absentTensors; // null: none was ever
  private final Map<String, Integer> scratchUses = new HashMap<>();
  private Owned owner; // of what is being made; mostly null
  private long stream;
  private Sweep follower; // waits for a sweep to go along with; mostly null
  private final PlanMemory memory;
  private long handle;

  /**
   * A plan whose state is stored as it is computed, and whose parameters are rounded to the nearest number.
   *
   * @param slots names of the state slots
   * @param scope the largest extent of a segment
   */
  public Plan(ParameterSet parameters, List<String> slots, Scope scope) {
    this(parameters, computed(slots), scope, Precision.PLAIN);
  }

  private static Map<String, Storage> computed(List<String> slots) {
    final Map<String, Storage> all = new LinkedHashMap<>();
    for (String slot : slots) all.put(slot, Storage.COMPUTED);
    return all;
  }

  /**
   * @param stored the state slots, which a checkpoint holds, in their order; those of parameters in parts have {@link #REST} among them
   * @param scope the largest extent of a segment
   */
  public Plan(ParameterSet parameters, Map<String, Storage> stored, Scope scope, Precision first) {
    tensors = parameters.tensors();
    slots = new ArrayList<>(stored.keySet());
    stateSlots = List.copyOf(slots);
    stored.forEach(this::note);
    inParts = first.inParts() && tensors.stream().anyMatch(tensor -> tensor.parameterType() == DataType.BFLOAT16);
    narrow = tensors.stream().anyMatch(tensor -> tensor.parameterType().stateType() == DataType.FLOAT32);
    final List<Integer> sorted = new ArrayList<>();
    for (int t = 0; t < tensors.size(); ++t) sorted.add(t);
    sorted.sort(Comparator.comparingInt(t -> parameters.groups().indexOf(tensors.get(t).group())));
    final int n = tensors.size();
    position = new int[n];
    for (int i = 0; i < n; ++i) position[sorted.get(i)] = i;
    rebinding = new Rebinding(this, parameters, position);
    names = new NamesForNumbers(tensors, position, this.slots);
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
    check(
        Natives.planCreate(
            parameters.device().handle(), n, parameterAddresses, parameterTypes, gradientAddresses, gradientTypes,
            updateAddresses, counts, segmentOf, slots.size(), stored.values().stream().mapToInt(Storage::ordinal).toArray(), 1,
            created));
    handle = created[0];
    memory = new PlanMemory(handle);
    try {
      setRounding(first);
    } catch (RuntimeException | Error e) {
      close();
      throw e;
    }
  }

  private void note(String slot, Storage storage) {
    if (storage == Storage.COMPUTED) storages.remove(slot);
    else storages.put(slot, storage);
  }

  /** How the sweeps that are bound from now on round. What fixes the slots is as it was. */
  void setRounding(Precision next) {
    final long[] keys = new long[position.length];
    final long[] begins = new long[position.length];
    for (int t = 0; t < position.length; ++t) {
      keys[position[t]] = hash(tensors.get(t).whole());
      begins[position[t]] = tensors.get(t).firstElement();
    }
    final int rounding = switch (next.rounding()) {
      case NEAREST -> 0;
      case STOCHASTIC -> 1;
      case IN_PARTS -> 2;
    };
    check(Natives.planSetRounding(handle(), rounding, next.inParts() ? slot(REST) : -1, next.seed(), keys, begins));
    precision = next;
    rounds = next.rounds(parameters());
  }

  /** Of a name, the same on every machine: FNV-1a over its bytes in UTF-8. */
  static long hash(String name) {
    long hash = 0xcbf29ce484222325L;
    for (byte one : name.getBytes(StandardCharsets.UTF_8)) hash = (hash ^ (one & 0xff)) * 0x100000001b3L;
    return hash;
  }

  /** The step whose random bits sweeps take from now on: that which is being made, or else the last one. */
  void roundAsIn(long step) {
    if (rounds) Natives.planSetStep(handle(), step);
  }

  /** Whether some parameters have a rest, which is read and written with them. */
  boolean inParts() {
    return inParts;
  }

  /**
   * The trainer has written parameters: they have no rest.
   *
   * @param which by tensor of the set: whether it was written
   */
  void clearRest(boolean[] which) {
    if (!inParts) return;
    boolean all = true;
    for (boolean one : which) all &= one;
    if (all) {
      fill(REST, 0);
      return;
    }
    byte[] zeros = null;
    for (int tensor = 0; tensor < which.length; ++tensor) {
      final long bytes = which[tensor] ? bytes(REST, tensor) : 0;
      if (bytes > 0 && zeros == null) zeros = new byte[BUFFER];
      for (long at = 0; at < bytes; at += BUFFER) write(REST, tensor, at, zeros, (int) Math.min(BUFFER, bytes - at));
    }
  }

  /** How a slot is stored. */
  Storage storage(String slot) {
    return storages.getOrDefault(slot, Storage.COMPUTED);
  }

  /** Adds a zeroed slot for values that need not be saved: no checkpoint holds it. Where there is such a slot already, both use it. */
  public void addScratch(String name) {
    if (!slots.contains(name)) addSlot(name, Storage.COMPUTED);
    scratchUses.merge(name, 1, Integer::sum);
    if (owner != null) owner.add(name);
  }

  /** Adds a zeroed slot of the state; false if there is one of that name. */
  boolean addState(String name, Storage storage) {
    if (stateSlots.contains(name)) return false;
    addSlot(name, storage);
    note(name, storage);
    final List<String> all = new ArrayList<>(stateSlots);
    all.add(name);
    stateSlots = List.copyOf(all);
    return true;
  }

  private void addSlot(String name, Storage storage) {
    slots.add(name); // before there is one, for the message that there is none
    final int status = Natives.planAddSlot(handle(), storage.ordinal(), new int[1]);
    if (Natives.succeeded(status)) return;
    final RuntimeException failure = Natives.failure(status, names::put);
    slots.remove(slots.size() - 1);
    throw failure;
  }

  /** Frees the slots of the state but some, which there are. They are the state from now on, in the order given. */
  void keepState(List<String> names) {
    for (String slot : stateSlots) if (!names.contains(slot)) release(slot);
    stateSlots = List.copyOf(names);
  }

  /** What is made from now on belongs to something; null: to nobody. Returns what it belonged to before. */
  Owned setOwner(Owned next) {
    final Owned before = owner;
    owner = next;
    return before;
  }

  /** Ends a use of a scratch slot, which is freed with the last one. */
  void endScratch(String name) {
    if (scratchUses.merge(name, -1, Integer::sum) == 0) release(name);
  }

  /**
   * Frees a slot, which then is none of {@link #slots} any more; its name may be given to a new one. Sweeps that are bound to it can no
   * longer run. The memory of a slot that a {@link SlotVector} shows stays until the plan is closed, because the trainer may hold its
   * buffers.
   */
  public void release(String slot) {
    final int number = slot(slot);
    if (!lent.contains(slot)) check(Natives.planReleaseSlot(handle(), number));
    slots.set(number, null);
    storages.remove(slot);
    stateSlots = stateSlots.stream().filter(name -> !name.equals(slot)).toList();
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
    check(Natives.planBind(handle(), kernel.number(), slotOf, slotOf.length, binding));
    final Sweep bound = new Sweep(this, binding[0], kernel);
    if (owner != null) owner.add(bound);
    return bound;
  }

  /** The same for a sweep that rounds 16-bit parameters to the nearest number, as those do that only write them. */
  public Sweep bindToNearest(String sweep, String rule) {
    final Precision usual = precision;
    if (usual.rounding() != ParameterRounding.STOCHASTIC) return bind(sweep, rule);
    setRounding(new Precision(usual.stateStorage(), ParameterRounding.NEAREST, usual.seed()));
    try {
      return bind(sweep, rule);
    } finally {
      setRounding(usual);
    }
  }

  /** Lets a sweep without sums go along with the next {@link Sweep#runLast}, in the same pass over memory where the device can. */
  void follow(Sweep by) {
    follower = by;
  }

  /** What is to follow and has not yet; nothing is from then on. */
  Sweep takeFollower() {
    final Sweep taken = follower;
    follower = null;
    return taken;
  }

  /** Sets every element of a slot, in the order of the stream. */
  public void fill(String slot, double value) {
    check(Natives.planFill(handle(), slot(slot), value, stream));
  }

  /** Zeroes a slot that the trainer is to write, and waits for the zeros: the trainer's work may be on another stream. */
  public void clearForTrainer(String slot) {
    fill(slot, 0);
    check(Natives.await(handle(), stream));
  }

  /** The slots that a checkpoint holds. */
  public List<String> slots() {
    return stateSlots;
  }

  /** The tensors, with their current addresses. */
  public ParameterSet parameters() {
    return rebinding.parameters();
  }

  /** See {@link org.steptuner.rule.RuleStep#leastEpsilon}; where some tensors have a float32 state, it is that for all. */
  double leastEpsilon() {
    if (storages.containsValue(Storage.BFLOAT16)) return Math.sqrt(SMALLEST_BFLOAT16);
    return Math.sqrt(narrow ? Float.MIN_VALUE : Double.MIN_VALUE);
  }

  /** The largest number that the sweeps of all tensors can compute with. */
  public double largestNumber() {
    return narrow ? Float.MAX_VALUE : Double.MAX_VALUE;
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

  /** What moves tensors. */
  Rebinding rebinding() {
    return rebinding;
  }

  /** Sets all gradients to 0, in the order of the stream. */
  public void zeroGradients() {
    check(Natives.planZeroGradients(handle(), stream, 1));
  }

  /** Whether sweeps leave out a tensor of the set. */
  boolean isAbsent(int tensor) {
    return absentTensors != null && absentTensors[tensor];
  }

  /**
   * Sets which tensors sweeps go over from now on. The others are left as they are, and add nothing to sums.
   *
   * @param absent by tensor of the set: those that are left out
   */
  void setAbsent(boolean[] absent) {
    absentTensors = absent.clone();
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

  /** Bytes of a tensor in a slot, or in the parameters (slot null). */
  public long bytes(String slot, int tensor) {
    return Natives.planBytes(handle(), slot(slot), position[tensor]);
  }

  /** The address of a tensor's elements in a slot, on the device. */
  public long address(String slot, int tensor) {
    return Natives.planAddress(handle(), slot(slot), position[tensor]);
  }

  /** The element type of a tensor in a slot, or in the parameters (slot null). BFLOAT16 for a rest, whose elements are no numbers. */
  public DataType type(String slot, int tensor) {
    return TYPES[Natives.planType(handle(), slot(slot), position[tensor])];
  }

  /** How many elements a tensor has in a slot: none in a rest that it does not need. */
  long count(String slot, int tensor) {
    return bytes(slot, tensor) / type(slot, tensor).bytes();
  }

  /** Copies bytes of a tensor in a slot, or in the parameters (slot null), to host memory. */
  void read(String slot, int tensor, long offset, long hostAddress, long bytes) {
    check(Natives.planRead(handle(), slot(slot), position[tensor], offset, hostAddress, bytes, stream));
  }

  /** The same to the beginning of an array. */
  void read(String slot, int tensor, long offset, byte[] host, int bytes) {
    check(Natives.planRead(handle(), slot(slot), position[tensor], offset, host, bytes, stream));
  }

  /** Copies the first bytes of an array to a tensor in a slot, or in the parameters (slot null). */
  public void write(String slot, int tensor, long offset, byte[] host, int bytes) {
    check(Natives.planWrite(handle(), slot(slot), position[tensor], offset, host, bytes, stream));
  }

  @Override
  public void close() {
    if (handle != 0) memory.free();
    handle = 0;
  }

  /** Where the elements of all tensors lie in a slot that the trainer is to use; the slot keeps its memory until the plan is closed. */
  long[] lend(String slot) {
    final long[] begins = new long[tensors.size()];
    for (int t = 0; t < begins.length; ++t) begins[t] = address(slot, t);
    lent.add(slot);
    return begins;
  }

  /** Host memory of a slot as a buffer. The memory is not freed while the buffer is reachable, not even by {@link #close}. */
  ByteBuffer buffer(long address, long bytes) {
    handle();
    return memory.buffer(address, bytes);
  }

  long handle() {
    if (handle == 0) throw new IllegalStateException("the optimizer is closed");
    return handle;
  }

  /** Turns a status into the exception that it stands for, with the names of tensors and slots for their numbers. */
  void check(int status) {
    if (!Natives.succeeded(status)) throw Natives.failure(status, names::put);
  }

  private int slot(String name) {
    if (name == null) return PARAMETERS;
    final int number = slots.indexOf(name);
    if (number < 0) throw new IllegalArgumentException("no slot '" + name + "'");
    return number;
  }
}
