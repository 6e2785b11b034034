// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.steptuner.SumReducer;

/**
 * The processes that train together, as one of them knows them. Before their first sums are added they agree on what they are and on the
 * scopes that they have together. From then on every call of the reducer carries a check: whether all processes are at the same place of
 * the same step and have the same learned scales.
 *
 * <p>What a call carries behind its sums: of each scope of any process two numbers, which tell whether its owners agree, and then {@link
 * #CHECK} numbers of the process.
 */
final class Processes {
  /** What must be the same everywhere when sums are added. */
  enum Now {
    STEPS("steps made"), CALL("sums added in this step before"), PART("part of the data"), MULTIPLIER("gradient multiplier"),
    RATE("rate with its schedule"), MOMENTUM("factor on the momentum"), DECAY("factor on the weight decay"), SCALE("learned scale");

    private final String text;

    Now(String text) {
      this.text = text;
    }
  }

  private static final Now[] ALL = Now.values();
  private static final int PIECES = 2;
  private static final int CHECK = 2 * PIECES + 3; // the check, the loss, how many losses are bad, and how many processes have failed
  private static final long MARKS = 0xFFFF; // so many that sums of their squares can be multiplied in a long

  private final SumReducer reducer;
  private final Agreement agreement;
  private final Map<String, String> facts;
  private final List<String> scopes; // of this process; empty if there is one scope of all tensors
  private final long[] marks; // by scope of this process: its hash of what all its owners have in common
  private final double[] scales; // by scope of this process
  private final double[] now = new double[ALL.length];
  private double loss;
  private boolean bad;
  private double meanLoss = Double.NaN;
  private boolean anyBad;
  private int count; // of processes; 0 before the agreement
  private int[] places; // of the scopes of this process among all
  private int[] holders; // of each scope of all

  /**
   * @param facts what all processes must have in common
   * @param scopes the names of this process's scopes; empty if there is one scope of all tensors
   * @param groups the group that each scope belongs to, if it must be the same everywhere
   */
  Processes(SumReducer reducer, Map<String, String> facts, List<String> scopes, List<String> groups) {
    this.reducer = reducer;
    this.facts = Map.copyOf(facts);
    this.scopes = List.copyOf(scopes);
    agreement = new Agreement(reducer);
    marks = new long[scopes.size()];
    for (int i = 0; i < groups.size(); ++i) marks[i] = Agreement.hash(groups.get(i));
    scales = new double[scopes.size()];
  }

  /** Begins a step, whose loss is known. */
  void begin(double lossOfStep, boolean badLoss) {
    loss = lossOfStep;
    bad = badLoss;
    meanLoss = Double.NaN;
    anyBad = badLoss;
    now[Now.CALL.ordinal()] = 0;
  }

  /** Notes something that must be the same everywhere in this step. */
  void note(Now what, double value) {
    now[what.ordinal()] = value;
  }

  /** Notes the learned scale of a scope, before the step. */
  void noteScale(int scope, double value) {
    if (scopes.isEmpty()) note(Now.SCALE, value);
    else scales[scope] = value;
  }

  /**
   * Lets the processes agree, unless they have.
   *
   * @throws IllegalStateException in all of them, if they do not; nothing has changed then, and the next call tries again
   */
  void agree() {
    if (count > 0) return;
    final Map<String, String> all = new LinkedHashMap<>(new TreeMap<>(facts));
    all.putAll(present());
    final int processes = agreement.check(all);
    if (!scopes.isEmpty()) {
      final Agreement.Union union = agreement.union(scopes);
      holders = union.holders();
      places = scopes.stream().mapToInt(union::place).toArray();
      compareScopes();
    }
    count = processes;
  }

  // Before anything has changed: whether those that have a scope have it in the same group, and at the same scale.
  private void compareScopes() {
    final double[] sums = new double[2 * holders.length];
    putScopes(sums, 0);
    reducer.reduce(sums, sums.length);
    checkScopes(sums, 0);
  }

  private Map<String, String> present() {
    final Map<String, String> present = new LinkedHashMap<>();
    for (Now what : ALL) {
      final double value = now[what.ordinal()];
      present.put(what.text, value == Math.rint(value) && Math.abs(value) < 1e15 ? String.valueOf((long) value) : String.valueOf(value));
    }
    return present;
  }

  /** How many scopes there are in all processes; known after {@link #agree}. */
  int scopes() {
    return holders == null ? 1 : holders.length;
  }

  /** The place of a scope of this process among all. */
  int place(int scope) {
    return places == null ? 0 : places[scope];
  }

  /** How many processes there are; known after {@link #agree}. */
  int count() {
    return count;
  }

  /** The mean loss over all processes; known when the first sums of a step have been added. */
  double loss() {
    return meanLoss;
  }

  /** Whether the step must be skipped because of the loss of any process; known likewise. */
  boolean badLoss() {
    return anyBad;
  }

  /** How many numbers a call carries behind its sums; known after {@link #agree}. */
  int carried() {
    return CHECK + (holders == null ? 0 : 2 * holders.length);
  }

  /**
   * Adds sums over all processes.
   *
   * @param values the sums, and room for what is carried
   * @param sums how many sums there are
   * @param failed whether this process has failed, and only tells the others
   * @throws IllegalStateException in all processes, if they are not at the same place or one has failed
   */
  void reduce(double[] values, int sums, boolean failed) {
    final int check = values.length - CHECK;
    final long place = hashOfPresent();
    putScopes(values, sums);
    Agreement.put(values, check, place, PIECES);
    values[values.length - 3] = loss;
    values[values.length - 2] = bad ? 1 : 0;
    values[values.length - 1] = failed ? 1 : 0;
    reducer.reduce(values, values.length);
    if (!Agreement.same(values, check, place, PIECES, count)) tellWhatDiffers();
    checkScopes(values, sums);
    if (values[values.length - 1] != 0)
      throw new IllegalStateException("the trainer of another process has thrown an exception in this step, which no process makes");
    meanLoss = values[values.length - 3] / count;
    anyBad = values[values.length - 2] != 0;
    now[Now.CALL.ordinal()]++;
  }

  // All processes have seen that something differs, so all of them are here.
  private void tellWhatDiffers() {
    agreement.check(present());
    throw new IllegalStateException(
        "the sums of the processes that train together do not fit together: the sum reducer must give every process the exact sums of all, "
            + "the same bits in each");
  }

  private long hashOfPresent() {
    long hash = 0;
    for (double value : now) hash = mixed(hash, value);
    return hash >>> 24;
  }

  private void putScopes(double[] to, int at) {
    for (int scope = 0; scope < scopes.size(); ++scope) {
      final long mark = mark(scope);
      to[at + 2 * places[scope]] = mark;
      to[at + 2 * places[scope] + 1] = mark * mark;
    }
  }

  // Of k numbers with the sum a and the sum of squares b, all are equal if k b = a^2. Every process looks at the scopes of all.
  private void checkScopes(double[] sums, int at) {
    if (holders == null) return;
    for (int place = 0; place < holders.length; ++place) {
      final double sum = sums[at + 2 * place];
      if (sum > 0 && holders[place] * (long) sums[at + 2 * place + 1] == (long) sum * (long) sum) continue;
      String which = "which this one does not have";
      for (int scope = 0; scope < places.length; ++scope)
        if (places[scope] == place) which = "'" + scopes.get(scope) + "', whose learned scale is " + scales[scope] + " here";
      throw new IllegalStateException(
          "the processes that train together do not agree on a scope, " + which
              + ": it has another learned scale in another process, or belongs to another group there");
    }
  }

  // 1 to 65535.
  private long mark(int scope) {
    return (mixed(marks[scope], scales[scope]) >>> 24) % MARKS + 1;
  }

  private static long mixed(long hash, double value) {
    final long mixed = (hash ^ Double.doubleToLongBits(value)) * 0x2545F4914F6CDD1DL;
    return (mixed ^ mixed >>> 29) * 0x9E3779B97F4A7C15L;
  }
}
