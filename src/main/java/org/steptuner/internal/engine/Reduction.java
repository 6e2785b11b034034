// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.Arrays;
import org.steptuner.SumReducer;

/**
 * Adds the sums of a step: over the segments of each scope, and over all processes, in one call of the trainer's {@link SumReducer}.
 *
 * <p>A term is a sum that a tuner needs, once per scope or once over everything. It is taken from a sweep, or the tuner adds it up. All
 * terms are in one array, so that one call adds them over all processes.
 */
public final class Reduction {
  private final Plan plan;
  private final SumReducer reducer; // null: one process
  private double[] values = {};
  private Term[] terms = {};

  Reduction(Plan plan, SumReducer reducer) {
    this.plan = plan;
    this.reducer = reducer;
  }

  /** A term with a value for each scope, taken from a sweep. */
  public Term perScope(Sweep.Sum source) {
    return term(plan.scopes(), source);
  }

  /** A term with a value for each scope, which the tuner adds up. */
  public Term perScope() {
    return term(plan.scopes(), null);
  }

  /** A term over everything, taken from a sweep. */
  public Term overall(Sweep.Sum source) {
    return term(1, source);
  }

  /** A term over everything, which the tuner adds up. */
  public Term overall() {
    return term(1, null);
  }

  private Term term(int count, Sweep.Sum source) {
    final Term term = new Term(values.length, count, source);
    values = Arrays.copyOf(values, values.length + count);
    terms = Arrays.copyOf(terms, terms.length + 1);
    terms[terms.length - 1] = term;
    return term;
  }

  /** Starts anew: terms of sweeps are what their segments add up to, the others are 0. The sweeps have been waited for. */
  public void collect() {
    Arrays.fill(values, 0);
    for (Term term : terms) if (term.source != null) term.collect();
  }

  /** Adds all terms over all processes, where there are several. */
  public void reduce() {
    if (reducer != null) reducer.reduce(values, values.length);
  }

  /** Whether every value is finite. */
  public boolean isFinite() {
    for (double value : values) if (!Double.isFinite(value)) return false;
    return true;
  }

  /** A sum, of each scope or over everything. */
  public final class Term {
    private final int begin;
    private final int count;
    private final Sweep.Sum source;

    private Term(int begin, int count, Sweep.Sum source) {
      this.begin = begin;
      this.count = count;
      this.source = source;
    }

    /** Of a scope. */
    public double of(int scope) {
      return values[begin + scope];
    }

    /** Over everything: the value, or what the scopes add up to. */
    public double total() {
      double sum = 0;
      for (int i = 0; i < count; ++i) sum += values[begin + i];
      return sum;
    }

    public void set(int scope, double value) {
      values[begin + scope] = value;
    }

    public void add(int scope, double value) {
      values[begin + scope] += value;
    }

    boolean in(Reduction other) {
      return Reduction.this == other;
    }

    private void collect() {
      for (int segment = 0; segment < plan.segments(); ++segment)
        values[begin + (count == 1 ? 0 : plan.scope(segment))] += source.of(segment);
    }
  }
}
