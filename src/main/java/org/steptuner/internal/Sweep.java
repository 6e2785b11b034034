// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal;

import java.nio.DoubleBuffer;
import java.util.List;
import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.Pointer;

/** A kernel bound to a plan: coefficients in, one pass over memory, sums out. Both have one row per segment. */
public final class Sweep {
  private final Plan plan;
  private final int binding;
  private final Kernel kernel;
  private final DoubleBuffer coefficients;
  private final DoubleBuffer sums;
  private final double[] totals;

  Sweep(Plan plan, int binding, Kernel kernel) {
    this.plan = plan;
    this.binding = binding;
    this.kernel = kernel;
    coefficients = view(Natives.bindingCoefficients(plan.handle(), binding), plan.segments() * kernel.coefficients().size());
    sums = view(Natives.bindingSums(plan.handle(), binding), plan.segments() * kernel.sums().size());
    totals = new double[plan.segments() * kernel.sums().size()];
  }

  /** The names of the coefficients, by column. */
  public List<String> coefficients() {
    return kernel.coefficients();
  }

  /** The column of a coefficient. */
  public int coefficient(String name) {
    return index(kernel.coefficients(), name);
  }

  /** The column of a sum. */
  public int sum(String name) {
    return index(kernel.sums(), name);
  }

  /**
   * The column at which a rule's coefficients begin.
   *
   * @param names those of the rule: checked to be the kernel's
   */
  public int ruleColumn(List<String> names) {
    final int begin = kernel.coefficients().size() - names.size();
    if (begin < 0 || !kernel.coefficients().subList(begin, kernel.coefficients().size()).equals(names))
      throw new IllegalStateException("the native formula takes " + kernel.coefficients() + ", the Java rule gives " + names);
    return begin;
  }

  public void set(int segment, int column, double value) {
    coefficients.put(segment * kernel.coefficients().size() + column, value);
  }

  /** Sets consecutive columns from {@code column} on. */
  public void set(int segment, int column, double[] values, int count) {
    final int begin = segment * kernel.coefficients().size() + column;
    for (int i = 0; i < count; ++i) coefficients.put(begin + i, values[i]);
  }

  /** The pass over memory. */
  public void run() {
    Natives.check(Natives.sweep(plan.handle(), binding, plan.stream()));
  }

  /** The sums of the last pass, [segments][sums], once they are there. The same array every time. */
  public double[] sums() {
    Natives.check(Natives.await(plan.handle(), plan.stream()));
    sums.get(0, totals);
    return totals;
  }

  /** Bytes that a pass reads and writes in the tensors' memory. */
  public long bytes() {
    return Natives.bindingBytes(plan.handle(), binding);
  }

  /** Words that a pass reads and writes per element. */
  public int words() {
    return kernel.access().stream().mapToInt(String::length).sum();
  }

  private static int index(List<String> names, String name) {
    final int index = names.indexOf(name);
    if (index < 0) throw new IllegalArgumentException("no '" + name + "' among " + names);
    return index;
  }

  private static DoubleBuffer view(long address, int count) {
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
