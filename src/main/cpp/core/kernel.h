// SPDX-License-Identifier: Apache-2.0
//
// What a kernel is. A kernel is a struct without data that says once, by name, what it takes and gives, and computes one element:
//
//   static constexpr Name SWEEP, RULE;                         its name ("" where there is no rule)
//   static constexpr Row<Operand, ...> OPERANDS;               name, where it lives, access
//   static constexpr Row<Name, ...> COEFFICIENTS, SUMS;
//   template <class T> static void apply(T* r, const T* c, T* s);
//
// apply() finds the operands it reads in r, the coefficients in c, leaves the operands it writes in r, and its terms of the sums in s, each
// at its place in the row; the enums beside the rows name these places. It is a pure function of registers: it knows no memory, loop or
// thread. The harnesses move the data. Callers go by the names (st_kernel_describe).
//
// Formulas do not know where an element is. One that takes only every p-th element of a tensor into its sums has the operand
// selection(), which no memory holds: apply() finds 1 in it for elements 0, p, 2p, ... of each tensor, counted from the tensor's
// start, and 0 for the others. p is the kernel's coefficient number PERIOD, a whole number from 1 to MAX_PERIOD.
#pragma once
#include "names.h"
#include "platform.h"

namespace steptuner {

enum Place { GRADIENT, PARAMETER, UPDATE, STATE, SELECTION };
enum Access { NONE = 0, READ = 1, WRITE = 2, READ_WRITE = 3 };

struct Operand {
  Name name;
  Place place = STATE;
  Access access = NONE;
};

constexpr int MAX_OPERANDS = 14;
constexpr int MAX_COEFFICIENTS = 32;
constexpr int MAX_SUMS = 8;

constexpr const Name& nameOf(const Operand& operand) { return operand.name; }
constexpr bool reads(const Operand& o) { return (o.access & READ) != 0; }
constexpr bool writes(const Operand& o) { return (o.access & WRITE) != 0; }

constexpr Operand gradient() { return {"gradient", GRADIENT, READ}; }
constexpr Operand parameter(Access access) { return {"parameter", PARAMETER, access}; }
constexpr Operand update(const Name& name) { return {name, UPDATE, READ}; }
constexpr Operand state(const Name& name, Access access) { return {name, STATE, access}; }
constexpr Operand selection() { return {"selected", SELECTION, NONE}; }

template <class... Operands>
constexpr Row<Operand, int(sizeof...(Operands))> operands(Operands... all) {
  return {{all...}};
}

template <int N>
constexpr Row<Operand, N> states(const Row<Name, N>& row, Access access) {
  Row<Operand, N> all;
  for (int i = 0; i < N; ++i) all.at[i] = state(row.at[i], access);
  return all;
}

// What a kernel has that does not say otherwise.
struct Kernel {
  static constexpr Name RULE = "";
  static constexpr auto COEFFICIENTS = names();
  static constexpr auto SUMS = names();
  // Whether parameters go to the nearest 16-bit number although the sweep reads and writes them: it makes no step.
  static constexpr bool TO_NEAREST = false;
};

template <class K>
constexpr int OPERANDS = decltype(K::OPERANDS)::SIZE;
template <class K>
constexpr int COEFFICIENTS = decltype(K::COEFFICIENTS)::SIZE;
template <class K>
constexpr int SUMS = decltype(K::SUMS)::SIZE;

constexpr int32_t MAX_PERIOD = 1 << 30;

// The period that a coefficient stands for; anything out of range is brought into it.
STEPTUNER_HD uint32_t periodOf(double coefficient) {
  return coefficient >= 1 ? coefficient <= MAX_PERIOD ? static_cast<uint32_t>(coefficient) : static_cast<uint32_t>(MAX_PERIOD) : 1u;
}

// Which operand of a kernel is the selection; -1 for a kernel without one.
template <class K>
constexpr int selectionOperand() {
  for (int o = 0; o < OPERANDS<K>; ++o)
    if (K::OPERANDS[o].place == SELECTION) return o;
  return -1;
}
template <class K>
constexpr int SELECTION_AT = selectionOperand<K>();

// The operands that a kernel reads or writes, as bits: constants, which device code may use where it may not call.
template <class K>
constexpr unsigned operandsWith(Access access) {
  unsigned mask = 0;
  for (int o = 0; o < OPERANDS<K>; ++o)
    if (K::OPERANDS[o].access & access) mask |= 1u << o;
  return mask;
}
template <class K>
constexpr unsigned READ_MASK = operandsWith<K>(READ);
template <class K>
constexpr unsigned WRITE_MASK = operandsWith<K>(WRITE);

template <class K>
constexpr unsigned operandsAt(Place place) {
  unsigned mask = 0;
  for (int o = 0; o < OPERANDS<K>; ++o)
    if (K::OPERANDS[o].place == place) mask |= 1u << o;
  return mask;
}
template <class K>
constexpr unsigned STATE_MASK = operandsAt<K>(STATE);

// The place of a written operand among random bits, see rounding.h: state first, as mostly only that has 16 bits.
template <class K>
constexpr int roundingPlace(int operand) {
  int place = 0;
  for (int o = 0; o < OPERANDS<K>; ++o) {
    const bool isState = K::OPERANDS[o].place == STATE, ofState = K::OPERANDS[operand].place == STATE;
    if (writes(K::OPERANDS[o]) && (isState == ofState ? o < operand : isState)) ++place;
  }
  return place;
}

}  // namespace steptuner
