// SPDX-License-Identifier: Apache-2.0
//
// What the scalars of a tuner are, where they are computed beside the sweeps: on the device, without the host (step.h has the step that
// they are part of). A machine is a struct without data that says once, by name, what it takes and gives:
//
//   static constexpr Name TUNER;         its name
//   static constexpr Row<Name, ...>
//     SETTINGS    numbers that stay the same
//     LIST        one name, or none: a list of numbers that stay the same, such as the discounts of n learners
//     STATE       numbers of a scope
//     LISTS       numbers of a scope, as many of each as LIST has
//     INPUTS      sums that the first sweep, or the guard's, gives in this step, by the names that the kernel has for them. The first one
//                 is "gradientSquare", or there are none at all
//     KEPT        numbers of a segment that second() puts, for late() in a later step
//     LATE        sums that the second sweep gave in the last step that ran it
//     ROW         numbers of a group that depend on the step's number alone: Java prepares them ahead
//     FIRST       coefficients of the first sweep that it decides
//     SECOND      coefficients of the second sweep that it decides. All others, of both sweeps, are prepared ahead by Java
//   static constexpr int SCRATCH         numbers of a scope that nobody else sees; they live from begin() to the next begin()
//   static constexpr bool BY_SCOPE       whether |g|^2 is added scope by scope, as a sum per scope is; otherwise segment by segment
//
// and has the functions of Machine, below, in the order in which they are called. The enums beside the rows name places in them. What a
// machine computes has the bits of the Java class of its tuner: + - * /, comparison, and math/java.h, in the same order. exp and pow are not
// among them: what is a power of the step's number is in ROW.
//
// The driver adds sums, finds the norm of the gradients, clips, skips, counts, and reports. Functions for scopes run side by side: a scope
// must not look at another one.
#pragma once
#include "../core/names.h"
#include "../math/java.h"

namespace steptuner {

// What all scopes share in a step.
struct StepNumbers {
  int64_t number;        // of the step, from 1
  double rate;           // the tuner's base rate times the schedule
  double multiplier;     // the trainer's, on every gradient
  double gradientScale;  // that times clipping; known from observe() on
  double gradientNorm;   // after the multiplier; likewise
  double loss;           // NaN where there is none
};

// One scope in a step.
struct ScopeView {
  const StepNumbers& step;
  const double* settings;  // SETTINGS
  const double* list;      // LIST
  int length;              // of the list, and of each of LISTS
  double* state;           // STATE
  double* lists;           // LISTS: number i of list l is lists[l * length + i]
  double* sums;            // INPUTS, added over the scope's segments by collect(); known from observe() on
  double* late;            // LATE, added over the segments by late(); known in settle() alone
  double* scratch;         // SCRATCH
};

// One segment of a scope.
struct SegmentView {
  const double* row;   // ROW, of its group
  const double* sums;  // INPUTS of this segment in collect(), LATE in late()
  double* kept;        // KEPT; in late() and second()
};

// What a machine has that does not say otherwise.
struct Machine {
  static constexpr auto SETTINGS = names();
  static constexpr auto LIST = names();
  static constexpr auto STATE = names();
  static constexpr auto LISTS = names();
  static constexpr auto INPUTS = names();
  static constexpr auto KEPT = names();
  static constexpr auto LATE = names();
  static constexpr auto ROW = names();
  static constexpr auto FIRST = names();
  static constexpr auto SECOND = names();
  static constexpr int SCRATCH = 0;
  static constexpr bool BY_SCOPE = false;

  // Adds a segment's late sums to those of the scope, which are 0 at first: segments come in their order. There is no row. `sums` is how
  // many LATE there are.
  STEPTUNER_HD static void late(const ScopeView& scope, const SegmentView& segment, int sums) {
    for (int i = 0; i < sums; ++i) scope.late[i] = scope.late[i] + segment.sums[i];
  }
  // Takes the sums of the step before, where there are any: before anything else, also if this step will be skipped.
  STEPTUNER_HD static void settle(const ScopeView&) {}
  // Before the first sweep.
  STEPTUNER_HD static void begin(const ScopeView&) {}
  // Puts FIRST for a segment, which has Java's values in it.
  STEPTUNER_HD static void first(const ScopeView&, const SegmentView&, double*) {}
  // After the first sweep. Adds a segment's sums to those of the scope, which are 0 at first: segments come in their order. `inputs` is how
  // many INPUTS there are.
  STEPTUNER_HD static void collect(const ScopeView& scope, const SegmentView& segment, int inputs) {
    for (int i = 0; i < inputs; ++i) scope.sums[i] = scope.sums[i] + segment.sums[i];
  }
  // What the step observed, when the norm of the gradients is known to be finite. Changes sums and scratch, and no state.
  // False: what the gradients brought is not finite, and the step is skipped, unless nothing is checked.
  STEPTUNER_HD static bool observe(const ScopeView&) { return true; }
  // The step is made: the state after it.
  STEPTUNER_HD static void update(const ScopeView&) {}
  // Whether the second sweep has anything to do for the scope. It runs if it has for one of them; the step is made in any case.
  STEPTUNER_HD static bool moves(const ScopeView&) { return true; }
  // Puts SECOND for a segment, which has Java's values in it. True: weight decay was lowered.
  STEPTUNER_HD static bool second(const ScopeView&, const SegmentView&, double*) { return false; }
  // For the report: the scale after the step, also after one that was skipped.
  STEPTUNER_HD static double learnedScale(const ScopeView&) { return 1; }
  // What the step that was made multiplied the rule's direction by; `learned` is the scale after it.
  STEPTUNER_HD static double effectiveRate(const ScopeView& scope, double learned) { return scope.step.rate * learned; }
  // Whether the step stood still because the loss, or a model of it, is at its bound.
  STEPTUNER_HD static bool atBound(const ScopeView&) { return false; }
};

// A shrinkage that a machine computes itself, lowered to 1 if it is more: ScheduledStep.bounded in Java.
STEPTUNER_HD double lowerShrinkage(double shrinkage, bool bounds, bool& lowered) {
  if (!bounds || shrinkage <= 1) return shrinkage;
  lowered = true;
  return 1;
}

// Decoupled decay that is lowered where it would turn parameters around: the coefficient `shrinkage` of a rule, which is its rate times its
// decay, when the rule's step is multiplied. False: it stays as it is. ScheduledStep in Java says the same.
STEPTUNER_HD bool boundShrinkage(double rate, double multiplier, double decay, double& shrinkage) {
  const double by = rate * multiplier;
  const double whole = by * decay;
  if (!(whole > 1 || whole < 0)) return false;
  shrinkage = rate * (by > 0 ? java::max(0, java::nextDown(1 / by)) : 0);
  return true;
}

}  // namespace steptuner
