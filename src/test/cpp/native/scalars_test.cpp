// SPDX-License-Identifier: Apache-2.0
//
// Scalars that are written in Java and in C++: over the same made numbers both come to the same bits. The file of the hashes is
// named by STEPTUNER_DIGESTS.
#include "scalars/dadaptation.h"
#include "scalars/metaoptimize.h"
#include "scalars/momo.h"
#include "scalars/prodigy.h"
#include "twins.h"
#include <stdlib.h>

using namespace steptuner;
using twins::Twins;

namespace {

void checkExponential() {
  Twins twins(1);
  for (int i = 0; i < 1000000; ++i) twins.take(exponential(twins.uniform(-760, 720)));
  for (int i = 0; i < 1000000; ++i) twins.take(exponential(twins.uniform(-1, 1)));
  for (int i = 0; i < 10000; ++i) twins.take(exponential(twins.number(4)));
  twins.check("exponential");
}

constexpr double LN2 = 0x1.62e42fefa39efp-1;  // the double that is nearest to it

// One scope of a machine, by itself. Segments have the same row.
template <class M>
struct Bench {
  double settings[decltype(M::SETTINGS)::SIZE + 1] = {}, state[decltype(M::STATE)::SIZE + 1] = {}, row[decltype(M::ROW)::SIZE + 1] = {};
  double sums[decltype(M::INPUTS)::SIZE + 1] = {}, late[decltype(M::LATE)::SIZE + 1] = {}, scratch[M::SCRATCH + 1] = {};
  StepNumbers step = {1, 1, 1, 1, 1, NAN};

  ScopeView scope() { return {step, settings, nullptr, 0, state, nullptr, sums, late, scratch}; }

  void clearLate() {
    for (double& one : late) one = 0;
  }

  void takeState(Twins& twins) const {
    for (int i = 0; i < decltype(M::STATE)::SIZE; ++i) twins.take(state[i]);
  }
};

// The loops are those of ScalarTwinsTest.
template <MetaRule META>
void runMetaOptimize(Twins& twins, bool packaged) {
  using M = MetaOptimizeMachine<META>;
  for (int form = 0; form < 4; ++form) {  // bounded or not; the epsilon inside or outside
    Bench<M> bench;
    const bool bounded = form % 2 == 1, inside = form >= 2 && META == MetaRule::RMSPROP;
    const double settings[] = {double(packaged),
                               0.9,
                               0.8,
                               0.95,
                               inside ? 1e-8 : 0,
                               inside ? 0 : 1e-8,
                               0.25,
                               1e-8,
                               bounded ? -2 * LN2 : -HUGE_VAL,
                               bounded ? 2 * LN2 : HUGE_VAL,
                               bounded ? LN2 : HUGE_VAL,
                               1,
                               1};
    memcpy(bench.settings, settings, sizeof settings);
    bench.state[M::BETA] = -LN2;
    for (int step = 0; step < 400; ++step) {
      double kept[] = {twins.uniform(0.1, 1), twins.uniform(0.1, 1)};
      const double z = twins.number(12);
      bench.clearLate();
      M::late(bench.scope(), {nullptr, &z, kept}, 1);
      M::settle(bench.scope());
      bench.takeState(twins);
      twins.take(M::learnedScale(bench.scope()));
    }
  }
}

void checkMetaOptimize() {
  Twins twins(2);
  for (const bool packaged : {false, true}) {
    runMetaOptimize<MetaRule::SGD>(twins, packaged);
    runMetaOptimize<MetaRule::RMSPROP>(twins, packaged);
    runMetaOptimize<MetaRule::ADAM>(twins, packaged);
    runMetaOptimize<MetaRule::LION>(twins, packaged);
  }
  twins.check("metaoptimize");
}

void checkMoMo() {
  using M = MoMoMachine;
  Twins twins(3);
  for (int form = 0; form < 8; ++form)
    for (int run = 0; run < 40; ++run) {
      Bench<M> bench;
      const bool estimates = form % 2 == 1, corrected = form / 2 % 2 == 1, optax = form >= 4;
      bench.settings[M::ESTIMATE_BOUND] = estimates;
      bench.state[M::BOUND] = bench.settings[M::LEAST_BOUND] = estimates ? -2 : 0.5;
      bench.settings[M::LEAST_LENGTH] = optax ? 0x1p-52 : 0;
      bench.state[M::LIMIT] = NAN;
      double kept = 1;
      for (int step = 1; step <= 40; ++step) {
        kept *= 0.5;
        const bool starts = step == 1 && !corrected;
        const double row[] = {starts ? 0 : 0.5, starts ? 1 : 0.5, corrected ? 1 - kept : 1, twins.uniform(0, 0.1)};
        bench.step.rate = twins.uniform(0, 2);
        bench.step.loss = twins.number(40);
        double inputs[4] = {1, twins.number(40), twins.number(40), twins.size(20)};
        for (double& sum : bench.sums) sum = 0;
        M::collect(bench.scope(), {row, inputs, nullptr}, 4);
        M::update(bench.scope());
        bench.takeState(twins);
        twins.take(M::atBound(bench.scope()));
        twins.take(M::effectiveRate(bench.scope(), M::learnedScale(bench.scope())));
      }
    }
  twins.check("momo");
}

void checkProdigy() {
  using M = ProdigyMachine;
  Twins twins(4);
  for (int form = 0; form < 4; ++form)
    for (int run = 0; run < 40; ++run) {
      Bench<M> bench;
      const double settings[] = {sqrt(0.999), 0.001, 0.5, form % 2 == 1 ? 1.25 : HUGE_VAL, form >= 2 ? 8 : HUGE_VAL};
      memcpy(bench.settings, settings, sizeof settings);
      bench.state[M::D] = bench.state[M::LARGEST] = bench.state[M::ESTIMATE] = 0.001;
      for (int step = 0; step < 40; ++step) {
        M::begin(bench.scope());
        const double row[] = {1, 0, 0, 0, 0};
        const double inputs[] = {1, twins.number(30), twins.size(30)};
        for (double& sum : bench.sums) sum = 0;
        M::collect(bench.scope(), {row, inputs, nullptr}, 3);
        twins.take(bench.scratch[M::OLD_WEIGHT]);
        twins.take(bench.sums[M::PROGRESS]);
        M::update(bench.scope());
        bench.takeState(twins);
      }
    }
  twins.check("prodigy");
}

template <class M>
void checkDAdaptation(const char* name, uint64_t seed, double retention) {
  constexpr int SUMS = decltype(M::LATE)::SIZE;
  Twins twins(seed);
  for (int form = 0; form < 4; ++form)
    for (int run = 0; run < 40; ++run) {
      Bench<M> bench;
      const double settings[] = {form % 2 == 1 ? 1.25 : HUGE_VAL, form >= 2 ? 8 : HUGE_VAL, retention, 1};
      memcpy(bench.settings, settings, sizeof settings);
      bench.state[M::D] = 0.001;
      for (int step = 0; step < 40; ++step) {
        M::begin(bench.scope());
        bench.clearLate();
        for (int segment = 0; segment < 2; ++segment) {
          double kept[] = {twins.uniform() < 0.2 ? 0 : twins.size(0), twins.uniform() < 0.5 ? 1 : 0.5};
          double sums[SUMS] = {twins.number(30)};
          for (int i = 1; i < SUMS; ++i) sums[i] = twins.size(30);
          M::late(bench.scope(), {nullptr, sums, kept}, SUMS);
        }
        M::settle(bench.scope());
        bench.takeState(twins);
      }
    }
  twins.check(name);
}

}  // namespace

int main() {
  const char* const file = getenv("STEPTUNER_DIGESTS");
  CHECK(file && twins::read(file));
  checkExponential();
  checkMetaOptimize();
  checkMoMo();
  checkProdigy();
  checkDAdaptation<DAdaptationSgdMachine>("dadaptation_sgd", 6, 0);
  checkDAdaptation<DAdaptationAdamMachine>("dadaptation_adam", 7, sqrt(0.999));
  checkDAdaptation<DAdaptationLionMachine>("dadaptation_lion", 8, sqrt(0.99));
  checkDAdaptation<DAdaptationAdaGradMachine>("dadaptation_adagrad", 9, 0);
  checkDAdaptation<DAdaptationAdanMachine>("dadaptation_adan", 10, 0.97);
  return report("scalars_test");
}
