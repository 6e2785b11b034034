// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntPredicate;

/**
 * Which tensors sit out: sweeps go past them, and the scalars of scopes and segments without any other tensor are held. It brings tensors
 * that come back up to date with what has gone on without them.
 *
 * <p>Counts of steps begin when the first tensor leaves: before that, they are needed by none.
 */
public final class Attendance {
  private final Plan plan;
  private final FreshState fresh;
  private final boolean[] absent; // by tensor
  private final boolean[] absentSegments;
  private final boolean[] absentScopes; // in all processes
  private boolean some;
  private boolean every; // no tensor of any process is in a step
  private long steps;
  private final long[] scopeSteps; // by scope: steps that some of its tensors were in
  private final long[] leftAt; // by tensor: `steps` when it was up to date
  private final long[] scopeLeftAt; // likewise `scopeSteps`
  private final Map<String, boolean[]> missed = new HashMap<>(); // by slot: tensors whose parameters were to be copied to it
  private final boolean[] notSummed; // by tensor: sums that tuners keep from step to step do not have it
  private final boolean[] stale; // by scope: such sums are not those of the parameters any more

  Attendance(Plan plan, FreshState fresh) {
    this.plan = plan;
    this.fresh = fresh;
    final int tensors = plan.parameters().tensors().size();
    absent = new boolean[tensors];
    absentSegments = new boolean[plan.segments()];
    absentScopes = new boolean[plan.scopes()];
    scopeSteps = new long[plan.scopes()];
    leftAt = new long[tensors];
    scopeLeftAt = new long[tensors];
    notSummed = new boolean[tensors];
    stale = new boolean[plan.scopes()];
  }

  /** Whether any tensor sits out. */
  boolean some() {
    return some;
  }

  /** Whether all tensors of all processes sit out. */
  boolean every() {
    return every;
  }

  /** Whether all tensors of a scope sit out, in all processes: its scalars are held, whatever a tuner does to them. */
  public boolean absent(int scope) {
    return absentScopes[scope];
  }

  /** Puts scalars of scopes and segments that are not in a step back. */
  void putBack(Scalars.Held held) {
    held.putBack(absentScopes, absentSegments, every);
  }

  /**
   * Sets who sits out. With several processes it calls the reducer once.
   *
   * @param next by tensor
   */
  void change(Steps run, boolean[] next) {
    if (!run.tuned().reduces() && Arrays.equals(next, absent)) return;
    final Reduction.Term present = countPresent(run.tuned().reduction(), next);
    final boolean[] scopes = new boolean[absentScopes.length];
    for (int scope = 0; scope < scopes.length; ++scope) scopes[scope] = present.of(scope) == 0;
    every = present.total() == 0;
    if (Arrays.equals(next, absent) && Arrays.equals(scopes, absentScopes)) return;
    run.settleAndReport();
    if (run.made() > 0) bringBack(run, tensor -> absent[tensor] && !next[tensor]);
    for (int tensor = 0; tensor < next.length; ++tensor) if (!absent[tensor]) isUpToDate(tensor);
    System.arraycopy(next, 0, absent, 0, next.length);
    System.arraycopy(scopes, 0, absentScopes, 0, scopes.length);
    some = false;
    for (boolean one : absent) some |= one;
    if (some) run.prepareToHold();
    noteSegments(run.tuned().reduces());
    plan.setAbsent(absent);
    takeSums(run);
  }

  private Reduction.Term countPresent(Reduction sums, boolean[] next) {
    final Reduction.Term present = sums.perScope();
    sums.collect();
    for (int tensor = 0; tensor < next.length; ++tensor) if (!next[tensor]) present.add(plan.scopeOf(tensor), 1);
    sums.reduce();
    return present;
  }

  // A group of several processes may have a tensor in another one, where its scope has one: only scopes are counted.
  private void noteSegments(boolean severalProcesses) {
    Arrays.fill(absentSegments, true);
    for (int tensor = 0; tensor < absent.length; ++tensor)
      if (severalProcesses ? !absentScopes[plan.scopeOf(tensor)] : !absent[tensor]) absentSegments[plan.segmentOf(tensor)] = false;
  }

  /** A step has been made. */
  void made(long number) {
    if (!some) return;
    ++steps;
    for (int scope = 0; scope < scopeSteps.length; ++scope) if (!absentScopes[scope]) ++scopeSteps[scope];
    if (number == 1) for (String slot : fresh.copied()) miss(slot);
  }

  /** Runs a sweep of a step that takes the parameters into a slot. Tensors that sit out do that when they come back. */
  public void capture(Sweep sweep, String slot) {
    sweep.run();
    miss(slot);
  }

  /** A step begins to use a slot that follows the parameters: tensors that sit out do that when they come back. */
  public void miss(String slot) {
    if (!some) {
      missed.remove(slot); // what a first step that was skipped has noted
      return;
    }
    final boolean[] of = missed.computeIfAbsent(slot, name -> new boolean[absent.length]);
    System.arraycopy(absent, 0, of, 0, of.length);
  }

  /** The parameters of some tensors have been written by the trainer. */
  void moved(Steps run, boolean[] which) {
    if (run.made() == 0) return;
    run.settleAndReport();
    over(tensor -> which[tensor], run::rebase);
    for (int tensor = 0; tensor < which.length; ++tensor) {
      if (!which[tensor]) continue;
      isUpToDate(tensor);
      stale[plan.scopeOf(tensor)] = true;
    }
    takeSums(run);
  }

  /** Does something as if no tensor sat out: what is saved is that of all tensors. Those that sit out go on from their parameters then. */
  void whileAllPresent(Steps run, Runnable work) {
    if (!some) {
      work.run();
      return;
    }
    run.settleAndReport();
    final Scalars.Held own = run.newHeld();
    own.keep();
    if (run.made() > 0) bringBack(run, tensor -> absent[tensor]);
    over(tensor -> true, () -> {
      try {
        final boolean[] changed = stale.clone();
        for (int tensor = 0; tensor < absent.length; ++tensor) changed[plan.scopeOf(tensor)] |= notSummed[tensor];
        run.tensorsChanged(changed);
        work.run();
      } finally {
        own.putBackAll();
      }
    });
  }

  /** Runs sweeps over all tensors, also those that sit out: they are of the model. */
  void overAll(Runnable sweeps) {
    if (!some) {
      sweeps.run();
      return;
    }
    copyMissed(tensor -> true);
    over(tensor -> true, sweeps);
  }

  /** Parameters and state of all tensors have been restored, and scalars are about to be. */
  void forget() {
    missed.clear();
  }

  /** Scalars have been restored too, with sums over all tensors. */
  void restored(Steps run) {
    Arrays.fill(notSummed, false);
    Arrays.fill(stale, false);
    for (int tensor = 0; tensor < absent.length; ++tensor) isUpToDate(tensor);
    takeSums(run);
  }

  private void bringBack(Steps run, IntPredicate which) {
    copyMissed(which);
    over(tensor -> which.test(tensor) && scopeLeftAt[tensor] != scopeSteps[plan.scopeOf(tensor)], run::rejoin);
    over(tensor -> which.test(tensor) && leftAt[tensor] != steps, run::rejoinRule);
    for (int tensor = 0; tensor < absent.length; ++tensor) if (which.test(tensor)) isUpToDate(tensor);
  }

  private void copyMissed(IntPredicate which) {
    final List<String> slots = new ArrayList<>(missed.keySet());
    slots.retainAll(plan.slots());
    for (String slot : slots) {
      final boolean[] of = missed.get(slot);
      over(tensor -> of[tensor] && which.test(tensor), () -> fresh.copy(slot));
      for (int tensor = 0; tensor < of.length; ++tensor) if (which.test(tensor)) of[tensor] = false;
    }
  }

  private void isUpToDate(int tensor) {
    leftAt[tensor] = steps;
    scopeLeftAt[tensor] = scopeSteps[plan.scopeOf(tensor)];
  }

  /** Brings sums that tuners keep up to date where they are not those of the tensors in the coming step. Those of absent scopes wait. */
  private void takeSums(Steps run) {
    final boolean[] changed = new boolean[stale.length];
    for (int tensor = 0; tensor < absent.length; ++tensor) {
      final int scope = plan.scopeOf(tensor);
      changed[scope] |= !absentScopes[scope] && (stale[scope] || absent[tensor] != notSummed[tensor]);
    }
    for (int tensor = 0; tensor < absent.length; ++tensor)
      if (changed[plan.scopeOf(tensor)]) {
        notSummed[tensor] = absent[tensor];
        stale[plan.scopeOf(tensor)] = false;
      }
    run.tensorsChanged(changed);
    takeAbsentSums(run);
  }

  /** Other steps go on where those before them ended. */
  void goOn(Steps next) {
    if (!some) return;
    next.prepareToHold();
    takeAbsentSums(next);
  }

  private void takeAbsentSums(Steps run) {
    final AbsentSums sums = run.tuned().absentSums();
    if (sums == null) return;
    sums.clear();
    overAbsent(scope -> true, () -> run.take(sums));
  }

  /** Copies the parameters of the tensors that sweeps go over now to a slot. */
  public void follow(String slot) {
    fresh.copy(slot);
  }

  /** Runs sweeps over tensors of some scopes that sit out, while others of their scope do not. */
  public void overAbsent(IntPredicate scopes, Runnable sweeps) {
    if (!some) return;
    over(tensor -> absent[tensor] && !absentScopes[plan.scopeOf(tensor)] && scopes.test(plan.scopeOf(tensor)), sweeps);
  }

  /** Runs sweeps over some tensors only, if there are any. */
  private void over(IntPredicate which, Runnable sweeps) {
    final boolean[] others = new boolean[absent.length];
    boolean any = false;
    for (int tensor = 0; tensor < others.length; ++tensor) {
      others[tensor] = !which.test(tensor);
      any |= !others[tensor];
    }
    if (!any) return;
    plan.setAbsent(others);
    try {
      sweeps.run();
    } finally {
      plan.setAbsent(absent);
    }
  }
}
