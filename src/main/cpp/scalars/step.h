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

// Where the numbers of a step are while it is computed: in the tables' own memory, or in a copy that is nearer.
struct CaptureMemory {
  CaptureState* whole;
  double* state;
  double* scratch;
  double* firstSumRows;
  double* secondSumRows;
};

STEPTUNER_HD CaptureMemory memoryOf(const CaptureTables& t) { return {t.whole, t.state, t.scratch, t.firstSumRows, t.secondSumRows}; }

template <class M>
struct CaptureScalars {
  static constexpr int INPUTS = decltype(M::INPUTS)::SIZE, LATE = decltype(M::LATE)::SIZE, LISTS = decltype(M::LISTS)::SIZE;
  static constexpr int STATE = decltype(M::STATE)::SIZE, SETTINGS = decltype(M::SETTINGS)::SIZE, ROW = decltype(M::ROW)::SIZE;
  static constexpr int FIRST = decltype(M::FIRST)::SIZE, SECOND = decltype(M::SECOND)::SIZE, KEPT = decltype(M::KEPT)::SIZE;
  static constexpr int MOST = FIRST > SECOND ? FIRST : SECOND;
  static_assert(MOST <= MAX_DECIDED && INPUTS <= MAX_SUMS && LATE <= MAX_SUMS, "raise the limits of capture.h");

  const CaptureTables& t;
  const CaptureMemory& memory;
  CaptureState& whole;
  const StepNumbers step;

  STEPTUNER_HD CaptureScalars(const CaptureTables& tables, const CaptureMemory& at)
      : t(tables), memory(at), whole(*at.whole), step{whole.made + 1,      whole.rate,         tables.multiplier,
                                                      whole.gradientScale, whole.gradientNorm, whole.loss} {}

  STEPTUNER_HD ScopeView scopeView(int scope) const {
    double* const state = memory.state + int64_t(scope) * t.stateWidth;
    double* const scratch = memory.scratch + int64_t(scope) * t.scratchWidth;
    return {step, t.settings, t.settings + SETTINGS, t.length, state, state + STATE, scratch, scratch + INPUTS, scratch + INPUTS + LATE};
  }

  // Of the step that was made last.
  STEPTUNER_HD double& effectiveRate(int scope) const { return memory.state[int64_t(scope) * t.stateWidth + t.stateWidth - 1]; }

  STEPTUNER_HD int groupWidth() const { return t.firstCoefficients + t.secondCoefficients + ROW; }

  STEPTUNER_HD const double* groupRow(int segment) const {
    return t.ring + whole.row * t.rowWidth + ROW_HEAD + int64_t(t.groupOf[segment]) * groupWidth();
  }

  STEPTUNER_HD SegmentView segmentView(int segment, const double* sums) const {
    const double* const row = whole.row < 0 ? nullptr : groupRow(segment) + t.firstCoefficients + t.secondCoefficients;
    return {row, sums, t.kept + int64_t(segment) * KEPT};
  }

  STEPTUNER_HD void findRow() const {
    ++whole.attempts;
    const int64_t row = step.number % t.capacity;
    const double* const head = t.ring + row * t.rowWidth;
    const bool there = head[ROW_STEP] == static_cast<double>(step.number);
    whole.row = there ? row : -1;
    whole.rate = there ? head[ROW_RATE] : NAN;
    whole.goFirst = there;
    whole.bad = whole.moves = whole.atBound = 0;
    whole.bounded = there && head[ROW_BOUNDED] != 0;
    whole.gradientNorm = NAN;
    whole.clipFactor = 1;
    whole.gradientScale = t.multiplier;
    whole.loss = !t.loss ? NAN : load<double>(t.loss, t.lossType, 0);
    whole.skip = there ? Skipped::NOT : Skipped::NOT_PREPARED;
  }

  STEPTUNER_HD void settle(int scope) const {
    const ScopeView view = scopeView(scope);
    for (int i = 0; i < LATE; ++i) view.late[i] = 0;
    for (int32_t at = t.firstOf[scope]; at < t.firstOf[scope + 1]; ++at) {
      const int32_t segment = t.segmentOf[at];
      double sums[LATE + 1];
      for (int i = 0; i < LATE; ++i) sums[i] = memory.secondSumRows[int64_t(segment) * t.secondSums + t.lateAt[i]];
      M::late(view, {nullptr, sums, t.kept + int64_t(segment) * KEPT}, LATE);
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
    if (whole.row < 0) return;
    const ScopeView scope = scopeView(t.scopeOf[segment]);
    const SegmentView view = segmentView(segment, nullptr);
    putRow<FIRST>(groupRow(segment), t.firstRows + int64_t(segment) * t.firstCoefficients, t.firstCoefficients, t.firstAt,
                  [&](double* decided) { M::first(scope, view, decided); });
  }

  STEPTUNER_HD void collect(int scope) const {
    const ScopeView view = scopeView(scope);
    for (int i = 0; i < INPUTS; ++i) view.sums[i] = 0;
    if (whole.row < 0) return;
    for (int32_t at = t.firstOf[scope]; at < t.firstOf[scope + 1]; ++at) {
      const int32_t segment = t.segmentOf[at];
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
    if (whole.row < 0) return;
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
    if (whole.skip == Skipped::NOT && t.observes && !M::observe(scopeView(scope))) whole.bad = 1;
  }

  STEPTUNER_HD void choose() const {
    if (whole.skip == Skipped::NOT && t.checks && whole.bad) whole.skip = Skipped::GRADIENT;
  }

  STEPTUNER_HD void update(int scope) const {
    if (whole.skip != Skipped::NOT) return;
    const ScopeView view = scopeView(scope);
    M::update(view);
    effectiveRate(scope) = M::effectiveRate(view, M::learnedScale(view));
    if (M::moves(view)) whole.moves = 1;
    if (M::atBound(view)) whole.atBound = 1;
  }

  STEPTUNER_HD void putSecond(int segment) const {
    if (whole.skip != Skipped::NOT) return;
    const ScopeView scope = scopeView(t.scopeOf[segment]);
    const SegmentView view = segmentView(segment, nullptr);
    putRow<SECOND>(groupRow(segment) + t.firstCoefficients, t.secondRows + int64_t(segment) * t.secondCoefficients, t.secondCoefficients,
                   t.secondAt, [&](double* decided) {
                     if (M::second(scope, view, decided)) whole.bounded = 1;
                   });
  }

  STEPTUNER_HD double* reportPlace() const { return t.reports + (whole.attempts % REPORTS) * t.reportWidth; }

  STEPTUNER_HD void reportScope(int scope) const {
    double* const report = reportPlace() + REPORT_HEAD + scope;
    report[0] = M::learnedScale(scopeView(scope));
    report[t.scopes] = effectiveRate(scope);
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

  // One phase by one of `threads` threads.
  STEPTUNER_HD static void run(int phase, const CaptureTables& tables, const CaptureMemory& memory, int thread, int threads) {
    const CaptureScalars of(tables, memory);
    const bool alone = thread == 0;
    switch (phase) {
      case Phase::FIND_ROW:
        if (alone) of.findRow();
        break;
      case Phase::BEGIN_SCOPES:
        for (int scope = thread; scope < tables.scopes; scope += threads) of.beginScope(scope);
        break;
      case Phase::PUT_FIRST:
        if (alone) of.whole.waiting = 0;
        for (int segment = thread; segment < tables.segments && tables.firstCoefficients > 0; segment += threads) of.putFirst(segment);
        break;
      case Phase::COLLECT:
        for (int scope = thread; scope < tables.scopes && tables.observes; scope += threads) of.collect(scope);
        break;
      case Phase::GUARD:
        if (alone) of.guard();
        break;
      case Phase::OBSERVE:
        for (int scope = thread; scope < tables.scopes; scope += threads) of.observe(scope);
        break;
      case Phase::CHOOSE:
        if (alone) of.choose();
        break;
      case Phase::UPDATE:
        for (int scope = thread; scope < tables.scopes; scope += threads) of.update(scope);
        break;
      case Phase::PUT_SECOND:
        for (int segment = thread; segment < tables.segments; segment += threads) of.putSecond(segment);
        for (int scope = thread; scope < tables.scopes; scope += threads) of.reportScope(scope);
        break;
      case Phase::REPORT:
        if (alone) of.report();
        break;
      case Phase::SETTLE:
        for (int scope = thread; scope < tables.scopes && of.whole.waiting && LATE > 0; scope += threads) of.settle(scope);
        break;
      default:
        if (alone) of.whole.waiting = 0;
        break;
    }
  }
};

}  // namespace steptuner
