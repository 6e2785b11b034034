// SPDX-License-Identifier: Apache-2.0
//
// Steps whose scalars are computed on the device: a first sweep, the scalars, a second sweep, without a word from the host, so that a CUDA
// graph can be made of them. What is here is plain data; scalars/step.h computes with it.
#pragma once
#include "plan.h"

namespace steptuner {

constexpr int MAX_DECIDED = 24;  // coefficients of one sweep that scalars decide

// Why a step was skipped; 0: it was made.
enum class Skipped : int32_t { NOT = 0, GRADIENT = 1, LOSS = 2, NOT_PREPARED = 3 };

// What there is one of. It lives on the device, and begins as the host sends it.
struct CaptureState {
  int64_t attempts;  // steps made and skipped since capture began
  int64_t made;      // steps of the run
  int64_t skipped;
  int32_t prepared;  // the step's row is in the ring
  int32_t goFirst;   // what the sweeps look at
  int32_t goSecond;
  int32_t waiting;  // the second sweep has sums that have not been taken
  Skipped skip;
  int32_t bad;      // of the step's observations: some scope's is not finite
  int32_t moves;    // some scope needs the second sweep
  int32_t bounded;  // weight decay was lowered
  int32_t atBound;
  double gradientNorm, clipFactor, gradientScale, rate, loss;
};

// A row of the ring: these, and then for each group the coefficients of the first sweep, those of the second, and the scalars' ROW.
enum { ROW_STEP, ROW_RATE, ROW_BOUNDED, ROW_HEAD };

// A report: these, and then the learned scales and the effective rates of all scopes.
enum {
  REPORT_ATTEMPT,
  REPORT_MADE,
  REPORT_SKIPPED,
  REPORT_SKIP,
  REPORT_NORM,
  REPORT_CLIP,
  REPORT_RATE,
  REPORT_BOUNDED,
  REPORT_AT_BOUND,
  REPORT_LOSS,
  REPORT_HEAD
};
constexpr int REPORTS = 4;  // places of the ring of reports

// What the scalars read and write, but for the rows of sweeps. All of it lies in one piece, so that it can be worked on in a copy that is
// nearer: `whole` is the piece's beginning.
struct CaptureMemory {
  CaptureState* whole;
  const int32_t* firstOf;    // [scopes + 1]: where the segments of a scope begin in segmentOf
  const int32_t* segmentOf;  // [segments], scope by scope
  const int32_t* scopeOf;    // [segments]
  const int32_t* groupOf;    // [segments]
  const double* settings;    // SETTINGS, LIST
  double* state;             // [scopes][stateWidth]: STATE, LISTS, the effective rate
  double* scratch;           // [scopes][scratchWidth]: sums, late sums, SCRATCH
  double* kept;              // [segments][KEPT]
  double* firstSumRows;      // [segments][firstSums]
  double* secondSumRows;     // [segments][secondSums]

  STEPTUNER_HD CaptureMemory in(void* copy) const {
    const auto moved = [&](auto* at) {
      return reinterpret_cast<decltype(at)>(static_cast<char*>(copy) +
                                            (reinterpret_cast<const char*>(at) - reinterpret_cast<char*>(whole)));
    };
    return {moved(whole), moved(firstOf), moved(segmentOf), moved(scopeOf),      moved(groupOf),      moved(settings),
            moved(state), moved(scratch), moved(kept),      moved(firstSumRows), moved(secondSumRows)};
  }
};

// What the scalars of a step are computed from. Pointers are to the device's memory, but for the reports.
struct CaptureTables {
  int32_t segments, scopes, groups;
  int32_t length;    // of the machine's list
  int32_t capacity;  // rows of the ring
  int32_t firstCoefficients, secondCoefficients, firstSums, secondSums;
  int32_t rowWidth, stateWidth, scratchWidth, reportWidth;  // in doubles
  bool observes;                                            // there is a first sweep
  bool checks;                                              // what is not finite is skipped
  double multiplier, clipNorm;
  CaptureMemory memory;
  int64_t memoryBytes;  // of that piece
  double* ring;         // [capacity][rowWidth]
  double* firstRows;    // [segments][firstCoefficients]
  double* secondRows;   // [segments][secondCoefficients]
  int64_t* arrived;     // host memory: the newest report, and before it nothing
  double* reports;      // host memory: [REPORTS][reportWidth]
  const void* loss;     // on the device; null where there is none
  int32_t lossType;
  int8_t inputAt[MAX_SUMS];     // which sum of the first sweep an input is
  int8_t lateAt[MAX_SUMS];      // which sum of the second
  int8_t firstAt[MAX_DECIDED];  // which coefficient; -1: the sweep has none of that name
  int8_t secondAt[MAX_DECIDED];
};

// What the tables lie in: one piece of device memory, and its image on the host.
struct Capture {
  int32_t scalars = -1;      // the machine's number
  Binding* first = nullptr;  // null where nothing is observed
  Binding* second = nullptr;
  CaptureTables tables = {};
  char* memory = nullptr;  // on the device
  char* image = nullptr;   // host memory of the device: the same up to `imageBytes`, then reports
  int64_t memoryBytes = 0, imageBytes = 0;
  double* firstChunkSums = nullptr;  // on the device
  double* secondChunkSums = nullptr;
  bool decidesFirst = false;  // the first sweep has coefficients
};

}  // namespace steptuner
