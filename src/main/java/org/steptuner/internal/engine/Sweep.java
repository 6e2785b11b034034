// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.nio.DoubleBuffer;
import java.util.List;
import java.util.Map;
import java.util.function.IntToDoubleFunction;
import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.Pointer;
import org.steptuner.internal.Natives;
import org.steptuner.rule.Coefficients;

/**
 * A kernel bound to a plan: it takes coefficients, makes one pass over memory and gives sums. Both have one row per segment.
 *
 * <p>Coefficients are put by name into one row, which keeps them, and {@link #set} copies that row to a segment, so that a value which all
 * segments share is put once. {@link #sum} gives handles to the sums. Names are looked up when a sweep is bound, and when a put is not in
 * the order of the formula; otherwise a put compares two references and stores a number.
 */
public final class Sweep implements Coefficients {
  private static final int RELEASED = -1;

  private final Plan plan;
  private int binding; // none once it was released
  private final Kernel kernel;
  private final NamedNumbers row;
  private DoubleBuffer coefficients;
  private DoubleBuffer sums;
  private final double[] totals;
  private boolean complete; // every coefficient has been put

  Sweep(Plan plan, int binding, Kernel kernel) {
    this.plan = plan;
    this.binding = binding;
    this.kernel = kernel;
    row = new NamedNumbers("coefficient", this, kernel.coefficients());
    complete = row.size() == 0;
    coefficients = view(Natives.bindingCoefficients(plan.handle(), binding), plan.segments() * row.size());
    totals = new double[plan.segments() * kernel.sums().size()];
    sums = view(Natives.bindingSums(plan.handle(), binding), totals.length);
  }

  /** A sweep that multiplies a slot by a factor for each segment. */
  public static Sweep scaling(Plan plan, String slot, IntToDoubleFunction factor) {
    final Sweep scaling = plan.bind("vector_scale", "", Map.of("a", slot));
    for (int segment = 0; segment < plan.segments(); ++segment) scaling.put("factor", factor.applyAsDouble(segment)).set(segment);
    return scaling;
  }

  /** The names of the coefficients, in the formula's order. */
  public List<String> coefficients() {
    return kernel.coefficients();
  }

  @Override
  public Sweep put(String name, double value) {
    row.put(name, value);
    return this;
  }

  /**
   * Takes the coefficients whose names begin with a prefix, by what follows it: with the prefix "meta", "momentum" is the formula's
   * "metaMomentum".
   */
  public Coefficients prefixed(String prefix) {
    return row.prefixed(prefix);
  }

  /** Gives the row, as it is now, to a segment. */
  public void set(int segment) {
    if (!complete) checkComplete();
    row.copyTo(coefficients, segment);
  }

  /** Gives the row to all segments. */
  public void setAll() {
    for (int segment = 0; segment < plan.segments(); ++segment) set(segment);
  }

  /** Puts the row, as it is now, where a buffer is. */
  void copyTo(DoubleBuffer to) {
    if (!complete) checkComplete();
    row.copyTo(to);
  }

  /** Its number in the plan. */
  int binding() {
    checkBound();
    return binding;
  }

  /** The pass over memory. */
  public void run() {
    checkBound();
    plan.check(Natives.sweep(plan.handle(), binding, plan.stream()));
  }

  /** The last pass of a step that writes parameters: what is to follow it goes along. */
  public void runLast() {
    final Sweep follower = plan.takeFollower();
    if (follower == null) {
      run();
      return;
    }
    checkBound();
    follower.checkBound();
    plan.check(Natives.sweepFollowed(plan.handle(), binding, follower.binding, plan.stream()));
  }

  /**
   * Frees the coefficients and sums, for a sweep that is not needed any more. The sums of the last pass that was waited for stay; a call
   * that would use the memory throws {@link IllegalStateException}.
   */
  public void release() {
    checkBound();
    plan.check(Natives.bindingRelease(plan.handle(), binding));
    binding = RELEASED;
    complete = false;
    coefficients = null;
    sums = null;
  }

  private void checkBound() {
    if (binding == RELEASED) throw new IllegalStateException("the sweep was released: " + this);
  }

  /** Waits for the sums of the last pass; {@link Sum#of} has them from then on. */
  public void await() {
    checkBound();
    plan.check(Natives.await(plan.handle(), plan.stream()));
    sums.get(0, totals);
  }

  /** A sum by its name. */
  public Sum sum(String name) {
    final int column = kernel.sums().indexOf(name);
    if (column < 0) throw new IllegalArgumentException("no sum '" + name + "' among " + kernel.sums() + " of " + this);
    return new Sum(column);
  }

  /** Whether the formula has a sum. */
  public boolean sums(String name) {
    return kernel.sums().contains(name);
  }

  /** Bytes that a pass reads and writes in the tensors' memory. */
  public long bytes() {
    checkBound();
    return Natives.bindingBytes(plan.handle(), binding);
  }

  /** Words that a pass reads and writes per element; those of 16-bit parameters in parts count twice. */
  public int words() {
    int words = 0;
    for (Kernel.Operand operand : kernel.operands())
      words += operand.place() == Kernel.Place.PARAMETER && plan.inParts() ? 2 * operand.words() : operand.words();
    return words;
  }

  @Override
  public String toString() {
    return Natives.describeKernel(kernel.number());
  }

  /** One sum of the last pass that was waited for. */
  public final class Sum {
    private final int column;

    private Sum(int column) {
      this.column = column;
    }

    /** What a segment adds up to. */
    public double of(int segment) {
      return totals[segment * (totals.length / plan.segments()) + column];
    }

    /** What all segments add up to. */
    public double total() {
      double sum = 0;
      for (int segment = 0; segment < plan.segments(); ++segment) sum += of(segment);
      return sum;
    }
  }

  private void checkComplete() {
    checkBound();
    row.checkAll();
    complete = true;
  }

  /** Native memory as a buffer, which is not to be used when the memory has been freed. */
  static DoubleBuffer view(long address, int count) {
    return count == 0 ? DoubleBuffer.allocate(0) : new NativeDoubles(address).capacity(count).asBuffer();
  }

  /** Native memory that the plan owns and frees. */
  private static final class NativeDoubles extends DoublePointer {
    NativeDoubles(long address) {
      super((Pointer) null);
      this.address = address;
    }
  }
}
