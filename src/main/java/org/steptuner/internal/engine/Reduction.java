// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.Arrays;
import java.util.function.DoubleSupplier;

/**
 * Adds the sums of a step: over the segments of each scope, and over all processes, in one call of the trainer's {@link
 * org.steptuner.SumReducer}.
 *
 * <p>A term is a sum that a tuner needs, once per scope or once over everything. It is taken from a sweep, or the tuner adds it up. All
 * terms are in one array, so that one call adds them over all processes. Where there are several, a term per scope has a value for every
 * scope of any of them, in the same order everywhere. A tuner names only the scopes of its own process, but a total, and whether all is
 * finite, are of all scopes: what a tuner decides by them is the same in every process.
 */
public final class Reduction {
  private final Plan plan;
  private final Processes processes; // null: one process
  private Term[] terms = {};
  private double[] values; // null until the first sums are collected
  private int used; // values of terms

  Reduction(Plan plan, Processes processes) {
    this.plan = plan;
    this.processes = processes;
  }

  /** A term with a value for each scope, taken from a sweep. */
  public Term perScope(Sweep.Sum source) {
    return add(new Term(true, source, null));
  }

  /** A term with a value for each scope, which the tuner adds up. */
  public Term perScope() {
    return add(new Term(true, null, null));
  }

  /** A term over everything, taken from a sweep. */
  public Term overall(Sweep.Sum source) {
    return add(new Term(false, source, null));
  }

  /** A term over everything, which the tuner adds up. */
  public Term overall() {
    return add(new Term(false, null, null));
  }

  /** A term over everything, to which this process adds what is supplied when sums are collected. */
  public Term overall(DoubleSupplier source) {
    return add(new Term(false, null, source));
  }

  private Term add(Term term) {
    terms = Arrays.copyOf(terms, terms.length + 1);
    terms[terms.length - 1] = term;
    values = null;
    return term;
  }

  // Which scopes there are is known when the processes have agreed, which is long after terms have been made.
  private void layOut() {
    if (processes != null) processes.agree();
    final int scopes = processes == null ? plan.scopes() : processes.scopes();
    used = 0;
    for (Term term : terms) {
      term.begin = used;
      term.count = term.perScope ? scopes : 1;
      used += term.count;
    }
    values = new double[used + (processes == null ? 0 : processes.carried())];
  }

  /** Starts anew: terms of sweeps are what their segments add up to, the others are 0. The sweeps have been waited for. */
  public void collect() {
    if (values == null) layOut();
    Arrays.fill(values, 0);
    for (Term term : terms) term.collect();
  }

  /** Adds all terms over all processes, where there are several. They have been collected. */
  public void reduce() {
    if (processes != null) processes.reduce(values, used, false);
  }

  /**
   * Asks the trainer for something that goes into these sums. If it throws, the other processes, which wait for the sums, learn it with
   * them and stop too.
   */
  public double ask(DoubleSupplier trainer) {
    try {
      return trainer.getAsDouble();
    } catch (Throwable failure) {
      if (processes != null) tellFailure(failure);
      throw failure;
    }
  }

  private void tellFailure(Throwable failure) {
    try {
      collect();
      processes.reduce(values, used, true);
    } catch (RuntimeException | Error e) {
      if (e != failure) failure.addSuppressed(e);
    }
  }

  /** Whether every value is finite. */
  public boolean isFinite() {
    return isFinite(0, used);
  }

  private boolean isFinite(int begin, int end) {
    for (int i = begin; i < end; ++i) if (!Double.isFinite(values[i])) return false;
    return true;
  }

  /** A sum, of each scope or over everything. It has values when the sums of the step have been collected. */
  public final class Term {
    private final boolean perScope;
    private final Sweep.Sum source;
    private final DoubleSupplier supplied;
    private int begin;
    private int count;

    private Term(boolean perScope, Sweep.Sum source, DoubleSupplier supplied) {
      this.perScope = perScope;
      this.source = source;
      this.supplied = supplied;
    }

    private int at(int scope) {
      return begin + (perScope && processes != null ? processes.place(scope) : scope);
    }

    /** Of a scope. */
    public double of(int scope) {
      return values[at(scope)];
    }

    /** Over everything: the value, or what the scopes add up to, those of other processes too. */
    public double total() {
      double sum = 0;
      for (int i = 0; i < count; ++i) sum += values[begin + i];
      return sum;
    }

    /** Over everything, by process: the value itself where there is one process. */
    public double mean() {
      return processes == null ? total() : total() / processes.count();
    }

    public void set(int scope, double value) {
      values[at(scope)] = value;
    }

    public void add(int scope, double value) {
      values[at(scope)] += value;
    }

    /** Whether every value is finite, those of other processes' scopes too. */
    public boolean isFinite() {
      return Reduction.this.isFinite(begin, begin + count);
    }

    boolean in(Reduction other) {
      return Reduction.this == other;
    }

    private void collect() {
      if (supplied != null) values[begin] = supplied.getAsDouble();
      if (source == null) return;
      for (int segment = 0; segment < plan.segments(); ++segment)
        values[at(perScope ? plan.scope(segment) : 0)] += source.of(segment);
    }
  }
}
