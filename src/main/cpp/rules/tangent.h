// SPDX-License-Identifier: Apache-2.0
//
// The derivatives of the paper's rules (paper.h, Lion, SGD) along a direction in which x moves, at the rate 1 and without decay. With dg
// the derivative of the gradient, which is H dx, du that of the step, and a tangent for every slot, which is the slot's derivative:
//
//   SGD        du = -dg
//   momentum   du = -dm;  dm <- momentum dm + (1 - momentum) dg
//   RMSProp    dv <- discount dv + 2 g dg;  du = -(dg / sqrt(D) + u correction dv / (2 D)),  D = correction v + epsilon
//   Adam       dm <- momentum dm + dg;  dv likewise;  du as RMSProp's, with dm for dg
//   Lion       du = 0: the sign is flat, and its momentum cannot change that
//
// u and v are those after the rule's update. What is stored of a tangent is its product with `discount`. dm, dv, and dv / D are held
// within +-1e15, so that no product with 0 becomes a NaN.
#pragma once
#include "lion.h"
#include "paper.h"
#include "sgd.h"

namespace steptuner {

template <class Rule>
struct Tangent;

template <>
struct Tangent<Sgd> {
  static constexpr auto SLOTS = names();

  template <class T>
  STEPTUNER_HD static T along(T, T dg, T, const T*, T*, T, const T*) {
    return -dg;
  }
};

template <>
struct Tangent<PaperMomentum> {
  static constexpr auto SLOTS = names("momentumTrace");

  template <class T>
  STEPTUNER_HD static T along(T, T dg, T, const T*, T* tangent, T discount, const T* c) {
    const T dm = tangent[0];
    tangent[0] = discount * bounded(c[PaperMomentum::MOMENTUM] * dm + c[PaperMomentum::ONE_MINUS_MOMENTUM] * dg);
    return -dm;
  }
};

// du where u divides by the root of D.
template <class T>
STEPTUNER_HD T alongRoot(T dm, T u, T v, T dv, T correction, T epsilon) {
  const T square = correction * v + epsilon;
  return -(dm / squareRoot(square) + u * bounded(correction * dv / (square + square)));
}

template <>
struct Tangent<PaperRmsProp> {
  static constexpr auto SLOTS = names("squareTrace");

  template <class T>
  STEPTUNER_HD static T along(T g, T dg, T u, const T* state, T* tangent, T discount, const T* c) {
    using R = PaperRmsProp;
    const T dv = bounded(c[R::DISCOUNT] * tangent[0] + T(2) * g * dg);
    tangent[0] = discount * dv;
    return alongRoot(bounded(dg), u, state[R::SQUARE], dv, c[R::CORRECTION], c[R::EPSILON]);
  }
};

template <>
struct Tangent<PaperAdam> {
  static constexpr auto SLOTS = names("momentumTrace", "squareTrace");

  template <class T>
  STEPTUNER_HD static T along(T g, T dg, T u, const T* state, T* tangent, T discount, const T* c) {
    using R = PaperAdam;
    const T dm = bounded(c[R::MOMENTUM] * tangent[R::MEAN] + dg);
    const T dv = bounded(c[R::DISCOUNT] * tangent[R::SQUARE] + T(2) * g * dg);
    tangent[R::MEAN] = discount * dm;
    tangent[R::SQUARE] = discount * dv;
    return alongRoot(dm, u, state[R::SQUARE], dv, c[R::CORRECTION], c[R::EPSILON]);
  }
};

template <>
struct Tangent<Lion> {
  static constexpr auto SLOTS = names();

  template <class T>
  STEPTUNER_HD static T along(T, T, T, const T*, T*, T, const T*) {
    return T(0);
  }
};

}  // namespace steptuner
