// SPDX-License-Identifier: Apache-2.0
//
// The scalars of a captured step, by any machine: the same code on the host and on a GPU, in phases between which all threads meet.
// Sums of segments are there when the phases begin.
#pragma once
#include "../core/capture.h"
#include "scalars.h"

namespace steptuner {

// Those of BEGIN come before a first sweep with coefficients, those of DECIDE after it; where it has none, all come after it. SETTLE is no
// part of a step.
struct Phase {
  enum {
    FIND_ROW,
    BEGIN_SCOPES,
    PUT_FIRST,
    BEGIN_END,
    COLLECT = BEGIN_END,
    GUARD,
    OBSERVE,
    CHOOSE,
    UPDATE,
    PUT_SECOND,
    REPORT,
    STEP_END,
    SETTLE = STEP_END,
    SETTLED,
    END
  };
};

// The ring's place for the step after `made` others. It holds another step's row if this step's has not been prepared.
STEPTUNER_HD const double* rowOf(const CaptureTables& t, int64_t made) { return t.ring + (made + 1) % t.capacity * t.rowWidth; }

template <class M>
struct CaptureScalars {
  static constexpr int INPUTS = decltype(M::INPUTS)::SIZE, LATE = decltype(M::LATE)::SIZE, LISTS = decltype(M::LISTS)::SIZE;
  static constexpr int STATE = decltype(M::STATE)::SIZE, SETTINGS = decltype(M::SETTINGS)::SIZE, ROW = decltype(M::ROW)::SIZE;
  static constexpr int FIRST = decltype(M::FIRST)::SIZE, SECOND = decltype(M::SECOND)::SIZE, KEPT = decltype(M::KEPT)::SIZE;
  static constexpr int MOST = FIRST > SECOND ? FIRST : SECOND;
  static_assert(MOST <= MAX_DECIDED && INPUTS <= MAX_SUMS && LATE <= MAX_SUMS, "raise the limits of capture.h");

  const CaptureTables& t;
  const CaptureMemory& memory;  // the tables' own, or a copy
  const double* const ringRow;  // likewise
  CaptureState& whole;
  const StepNumbers step;

  STEPTUNER_HD CaptureScalars(const CaptureTables& tables, const CaptureMemory& at, const double* row)
      : t(tables), memory(at), ringRow(row), whole(*at.whole), step{whole.made + 1,      whole.rate,         tables.multiplier,
                                                                    whole.gradientScale, whole.gradientNorm, whole.loss} {}

  STEPTUNER_HD ScopeView scopeView(int scope) const {
    double* const state = memory.state + int64_t(scope) * t.stateWidth;
    double* const scratch = memory.scratch + int64_t(scope) * t.scratchWidth;
    return {step,    memory.settings,  memory.settings + SETTINGS, t.length, state, state + STATE,
            scratch, scratch + INPUTS, scratch + INPUTS + LATE};
  }

  // For a flag that threads raise at the same time.
  STEPTUNER_HD static void raise(int32_t& flag) {
#if defined(__CUDA_ARCH__)
    *static_cast<volatile int32_t*>(&flag) = 1;
#else
    __atomic_store_n(&flag, 1, __ATOMIC_RELAXED);
#endif
  }

  // Of the step that was made last.
  STEPTUNER_HD double& effectiveRate(int scope) const { return memory.state[int64_t(scope) * t.stateWidth + t.stateWidth - 1]; }

  STEPTUNER_HD int groupWidth() const { return t.firstCoefficients + t.secondCoefficients + ROW; }

  STEPTUNER_HD const double* groupRow(int segment) const { return ringRow + ROW_HEAD + int64_t(memory.groupOf[segment]) * groupWidth(); }

  STEPTUNER_HD SegmentView segmentView(int segment, const double* sums) const {
    const double* const row = whole.prepared ? groupRow(segment) + t.firstCoefficients + t.secondCoefficients : nullptr;
    return {row, sums, memory.kept + int64_t(segment) * KEPT};
  }

  STEPTUNER_HD void findRow() const {
    ++whole.attempts;
    const bool there = ringRow[ROW_STEP] == static_cast<double>(step.number);
    whole.prepared = there;
    whole.rate = there ? ringRow[ROW_RATE] : NAN;
    whole.goFirst = there;
    whole.bad = whole.moves = whole.atBound = 0;
    whole.bounded = there && ringRow[ROW_BOUNDED] != 0;
    whole.gradientNorm = NAN;
    whole.clipFactor = 1;
    whole.gradientScale = t.multiplier;
    whole.loss = !t.loss ? NAN : load<double>(t.loss, t.lossType, 0);
    whole.skip = there ? Skipped::NOT : Skipped::NOT_PREPARED;
  }

  STEPTUNER_HD void settle(int scope) const {
    const ScopeView view = scopeView(scope);
    for (int i = 0; i < LATE; ++i) view.late[i] = 0;
    for (int32_t at = memory.firstOf[scope]; at < memory.firstOf[scope + 1]; ++at) {
      const int32_t segment = memory.segmentOf[at];
      double sums[LATE + 1];
      for (int i = 0; i < LATE; ++i) sums[i] = memory.secondSumRows[int64_t(segment) * t.secondSums + t.lateAt[i]];
      M::late(view, {nullptr, sums, memory.kept + int64_t(segment) * KEPT}, LATE);
    }
    M::settle(view);
  }

  STEPTUNER_HD void beginScope(int scope) const {
    if (LATE > 0 && whole.waiting) settle(scope);
    M::begin(scopeView(scope));
  }

  // The loads of some numbers go ahead of their stores, which could be to the same memory for all that a compiler knows.
  STEPTUNER_HD static void copyNumbers(const double* from, double* to, int count) {
    constexpr int AHEAD = 8;
    for (int begin = 0; begin < count; begin += AHEAD) {
      double some[AHEAD];
      for (int i = 0; i < AHEAD; ++i) some[i] = begin + i < count ? from[begin + i] : 0;
      for (int i = 0; i < AHEAD; ++i)
        if (begin + i < count) to[begin + i] = some[i];
    }
  }

  // Java's coefficients of the segment's group, and what the machine puts in their place.
  template <int COUNT, class Put>
  STEPTUNER_HD static void putRow(const double* from, double* to, int coefficients, const int8_t* places, Put put) {
    copyNumbers(from, to, coefficients);
    double decided[COUNT + 1] = {};
    for (int i = 0; i < COUNT; ++i)
      if (places[i] >= 0) decided[i] = from[places[i]];
    put(decided);
    for (int i = 0; i < COUNT; ++i)
      if (places[i] >= 0) to[places[i]] = decided[i];
  }

  STEPTUNER_HD void putFirst(int segment) const {
    if (!whole.prepared) return;
    const ScopeView scope = scopeView(memory.scopeOf[segment]);
    const SegmentView view = segmentView(segment, nullptr);
    putRow<FIRST>(groupRow(segment), t.firstRows + int64_t(segment) * t.firstCoefficients, t.firstCoefficients, t.firstAt,
                  [&](double* decided) { M::first(scope, view, decided); });
  }

  STEPTUNER_HD void collect(int scope) const {
    const ScopeView view = scopeView(scope);
    for (int i = 0; i < INPUTS; ++i) view.sums[i] = 0;
    if (!whole.prepared) return;
    for (int32_t at = memory.firstOf[scope]; at < memory.firstOf[scope + 1]; ++at) {
      const int32_t segment = memory.segmentOf[at];
      double sums[INPUTS + 1];
      for (int i = 0; i < INPUTS; ++i) sums[i] = memory.firstSumRows[int64_t(segment) * t.firstSums + t.inputAt[i]];
      M::collect(view, segmentView(segment, sums), INPUTS);
    }
  }

  // In their order; the loads of some go ahead of the additions.
  STEPTUNER_HD static double addUp(const double* from, int64_t stride, int count) {
    constexpr int AHEAD = 16;
    double sum = 0;
    for (int begin = 0; begin < count; begin += AHEAD) {
      double some[AHEAD];
      for (int i = 0; i < AHEAD; ++i) some[i] = begin + i < count ? from[(begin + i) * stride] : 0;
      for (int i = 0; i < AHEAD; ++i)
        if (begin + i < count) sum = sum + some[i];
    }
    return sum;
  }

  // GradientGuard.accept in Java.
  STEPTUNER_HD void guard() const {
    if (!whole.prepared) return;
    if (t.loss && t.checks && !java::isFinite(whole.loss)) {
      whole.skip = Skipped::LOSS;
      return;
    }
    if (!t.observes) return;
    const double square =
        M::BY_SCOPE ? addUp(memory.scratch, t.scratchWidth, t.scopes) : addUp(memory.firstSumRows + t.inputAt[0], t.firstSums, t.segments);
    whole.gradientNorm = java::sqrt(square) * java::abs(t.multiplier);
    if (t.checks && !java::isFinite(whole.gradientNorm)) {
      whole.skip = Skipped::GRADIENT;
      return;
    }
    whole.clipFactor = java::min(1, t.clipNorm / (whole.gradientNorm + 1e-6));
    whole.gradientScale = t.multiplier * whole.clipFactor;
  }

  STEPTUNER_HD void observe(int scope) const {
    if (whole.skip == Skipped::NOT && t.observes && !M::observe(scopeView(scope))) raise(whole.bad);
  }

  STEPTUNER_HD void choose() const {
    if (whole.skip == Skipped::NOT && t.checks && whole.bad) whole.skip = Skipped::GRADIENT;
  }

  STEPTUNER_HD void update(int scope) const {
    if (whole.skip != Skipped::NOT) return;
    const ScopeView view = scopeView(scope);
    M::update(view);
    effectiveRate(scope) = M::effectiveRate(view, M::learnedScale(view));
    if (M::moves(view)) raise(whole.moves);
    if (M::atBound(view)) raise(whole.atBound);
  }

  STEPTUNER_HD void putSecond(int segment) const {
    if (whole.skip != Skipped::NOT) return;
    const ScopeView scope = scopeView(memory.scopeOf[segment]);
    const SegmentView view = segmentView(segment, nullptr);
    putRow<SECOND>(groupRow(segment) + t.firstCoefficients, t.secondRows + int64_t(segment) * t.secondCoefficients, t.secondCoefficients,
                   t.secondAt, [&](double* decided) {
                     if (M::second(scope, view, decided)) raise(whole.bounded);
                   });
  }

  STEPTUNER_HD double* reportPlace() const { return t.reports + (whole.attempts % REPORTS) * t.reportWidth; }

  STEPTUNER_HD void reportScope(int scope) const {
    double* const report = reportPlace() + REPORT_HEAD + scope;
    report[0] = M::learnedScale(scopeView(scope));
    report[t.scopes] = effectiveRate(scope);
  }

  STEPTUNER_HD static bool isOfOne(int phase) {
    return phase == Phase::FIND_ROW || phase == Phase::GUARD || phase == Phase::CHOOSE || phase == Phase::REPORT || phase == Phase::SETTLED;
  }

  // The last phase: what the next step finds, and the report, but for the number that says that it has arrived.
  STEPTUNER_HD void report() const {
    const bool made = whole.skip == Skipped::NOT;
    if (made)
      ++whole.made;
    else
      ++whole.skipped;
    whole.goSecond = made && whole.moves;
    if (whole.goSecond) whole.waiting = LATE > 0;
    double* const report = reportPlace();
    report[REPORT_ATTEMPT] = static_cast<double>(whole.attempts);
    report[REPORT_MADE] = static_cast<double>(whole.made);
    report[REPORT_SKIPPED] = static_cast<double>(whole.skipped);
    report[REPORT_SKIP] = static_cast<double>(whole.skip);
    report[REPORT_NORM] = whole.gradientNorm;
    report[REPORT_CLIP] = whole.clipFactor;
    report[REPORT_RATE] = whole.rate;
    report[REPORT_BOUNDED] = made && whole.bounded;
    report[REPORT_AT_BOUND] = made && whole.atBound;
    report[REPORT_LOSS] = whole.loss;
  }

  // One phase by one of `threads` threads. What `whole` has for all scopes, one thread alone writes, in a phase of its own: the others must
  // not even read it then, as the constructor does.
  STEPTUNER_HD static void run(int phase, const CaptureTables& tables, const CaptureMemory& memory, const double* row, int thread,
                               int threads) {
    if (thread > 0 && isOfOne(phase)) return;
    const CaptureScalars of(tables, memory, row);
    switch (phase) {
      case Phase::FIND_ROW: of.findRow(); break;
      case Phase::BEGIN_SCOPES:
        for (int scope = thread; scope < tables.scopes; scope += threads) of.beginScope(scope);
        break;
      case Phase::PUT_FIRST:
        if (thread == 0) of.whole.waiting = 0;
        for (int segment = thread; segment < tables.segments && tables.firstCoefficients > 0; segment += threads) of.putFirst(segment);
        break;
      case Phase::COLLECT:
        for (int scope = thread; scope < tables.scopes && tables.observes; scope += threads) of.collect(scope);
        break;
      case Phase::GUARD: of.guard(); break;
      case Phase::OBSERVE:
        for (int scope = thread; scope < tables.scopes; scope += threads) of.observe(scope);
        break;
      case Phase::CHOOSE: of.choose(); break;
      case Phase::UPDATE:
        for (int scope = thread; scope < tables.scopes; scope += threads) of.update(scope);
        break;
      case Phase::PUT_SECOND:
        for (int segment = thread; segment < tables.segments; segment += threads) of.putSecond(segment);
        for (int scope = thread; scope < tables.scopes; scope += threads) of.reportScope(scope);
        break;
      case Phase::REPORT: of.report(); break;
      case Phase::SETTLE:
        for (int scope = thread; scope < tables.scopes && of.whole.waiting && LATE > 0; scope += threads) of.settle(scope);
        break;
      default: of.whole.waiting = 0; break;
    }
  }
};

}  // namespace steptuner
