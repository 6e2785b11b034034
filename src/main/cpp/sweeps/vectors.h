// SPDX-License-Identifier: Apache-2.0
//
// Vectors of the size of the parameters, kept in slots: what several tuners and the instruments of curvature need.
//
// Words per element: reference 2; trial 3; vector_scale 2; vector_products 2; vector_combination 4; vector_precondition 3;
// evaluating 4; training 2; non_finite 2; exponential_average 3, of which 2 are new to the cache where it follows a sweep over x.
#pragma once
#include "../core/kernel.h"
#include "../core/lists.h"
#include "../math/number.h"

namespace steptuner {

// reference <- x.
struct Reference : Kernel {
  static constexpr Name SWEEP = "reference";
  enum { X, REFERENCE };
  static constexpr auto OPERANDS = operands(parameter(READ), state("reference", WRITE));

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T*) {
    r[REFERENCE] = r[X];
  }
};

// x <- reference + rate u; at a rate of 0 the reference itself, whatever u is and with the sign of its zeros.
struct Trial : Kernel {
  static constexpr Name SWEEP = "trial";
  enum { X, REFERENCE, DIRECTION };
  static constexpr auto OPERANDS = operands(parameter(WRITE), state("reference", READ), state("direction", READ));
  enum { RATE };
  static constexpr auto COEFFICIENTS = names("rate");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T moved = r[REFERENCE] + c[RATE] * r[DIRECTION];
    r[X] = select(c[RATE] > T(0), moved, select(c[RATE] < T(0), moved, r[REFERENCE]));
  }
};

// training <- x;  x <- parameterWeight x + averageWeight average, the point that is to be evaluated. Where a weight is 0, what it would
// multiply leaves no trace.
struct Evaluating : Kernel {
  static constexpr Name SWEEP = "evaluating";
  enum { X, TRAINING, AVERAGE };
  static constexpr auto OPERANDS = operands(parameter(READ_WRITE), state("training", WRITE), state("average", READ));
  static constexpr bool TO_NEAREST = true;
  enum { PARAMETER_WEIGHT, AVERAGE_WEIGHT };
  static constexpr auto COEFFICIENTS = names("parameterWeight", "averageWeight");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T x = c[PARAMETER_WEIGHT] * r[X];
    const T average = c[AVERAGE_WEIGHT] * r[AVERAGE];
    const T mixed = select(absolute(c[AVERAGE_WEIGHT]) > T(0), x + average, x);
    r[TRAINING] = r[X];
    r[X] = select(absolute(c[PARAMETER_WEIGHT]) > T(0), mixed, average);
  }
};

// x <- training.
struct Training : Kernel {
  static constexpr Name SWEEP = "training";
  enum { X, TRAINING };
  static constexpr auto OPERANDS = operands(parameter(WRITE), state("training", READ));

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T*) {
    r[X] = r[TRAINING];
  }
};

// a <- factor a.
struct VectorScale : Kernel {
  static constexpr Name SWEEP = "vector_scale";
  enum { A };
  static constexpr auto OPERANDS = operands(state("a", READ_WRITE));
  enum { FACTOR };
  static constexpr auto COEFFICIENTS = names("factor");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    r[A] = c[FACTOR] * r[A];
  }
};

// a <- a + intake (x - a), that is (1 - intake) a + intake x: an average that x is equal to stays as it is, which two weights that are
// rounded each for itself would not give.
struct ExponentialAverage : Kernel {
  static constexpr Name SWEEP = "exponential_average";
  enum { X, AVERAGE };
  static constexpr auto OPERANDS = operands(parameter(READ), state("exponentialAverage", READ_WRITE));
  enum { INTAKE };
  static constexpr auto COEFFICIENTS = names("intake");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    r[AVERAGE] = r[AVERAGE] + c[INTAKE] * (r[X] - r[AVERAGE]);
  }
};

// How many parameters and gradients are infinite or not a number, and a small multiple of |g|_1 over the finite ones, which cannot
// overflow. 2 words per element.
struct NonFinite : Kernel {
  static constexpr Name SWEEP = "non_finite";
  enum { G, X };
  static constexpr auto OPERANDS = operands(gradient(), parameter(READ));
  enum { PARAMETERS, GRADIENTS, GRADIENT_SIZE };
  static constexpr auto SUMS = names("parameters", "gradients", "gradientSize");

  // 0 of a finite number, and NaN of the others, which no comparison holds for.
  template <class T>
  STEPTUNER_HD static T count(T value) {
    return select(value - value < T(1), T(0), T(1));
  }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T* s) {
    const T gradients = count(r[G]);
    s[PARAMETERS] = count(r[X]);
    s[GRADIENTS] = gradients;
    s[GRADIENT_SIZE] = select(gradients > T(0), T(0), absolute(r[G]) * T(0x1p-40));
  }
};

// <a, b>, |a|^2, |b|^2.
struct VectorProducts : Kernel {
  static constexpr Name SWEEP = "vector_products";
  enum { A, B };
  static constexpr auto OPERANDS = operands(state("a", READ), state("b", READ));
  enum { PRODUCT, A_SQUARE, B_SQUARE };
  static constexpr auto SUMS = names("product", "aSquare", "bSquare");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T* s) {
    s[PRODUCT] = r[A] * r[B];
    s[A_SQUARE] = r[A] * r[A];
    s[B_SQUARE] = r[B] * r[B];
  }
};

// c <- x a + y b + z c; sums |c|^2.
struct VectorCombination : Kernel {
  static constexpr Name SWEEP = "vector_combination";
  enum { A, B, C };
  static constexpr auto OPERANDS = operands(state("a", READ), state("b", READ), state("c", READ_WRITE));
  enum { X, Y, Z };
  static constexpr auto COEFFICIENTS = names("x", "y", "z");
  enum { SQUARE };
  static constexpr auto SUMS = names("square");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    r[C] = c[X] * r[A] + c[Y] * r[B] + c[Z] * r[C];
    s[SQUARE] = r[C] * r[C];
  }
};

// b <- a / sqrt(P) with P = factor (sqrt(square + epsilonInside) rootCorrection + epsilonOutside), what RMSProp or Adam divides by.
struct VectorPrecondition : Kernel {
  static constexpr Name SWEEP = "vector_precondition";
  enum { A, B, SQUARE };
  static constexpr auto OPERANDS = operands(state("a", READ), state("b", WRITE), state("square", READ));
  enum { FACTOR, ROOT_CORRECTION, EPSILON_INSIDE, EPSILON_OUTSIDE };
  static constexpr auto COEFFICIENTS = names("factor", "rootCorrection", "epsilonInside", "epsilonOutside");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T root = squareRoot(r[SQUARE] + c[EPSILON_INSIDE]) * c[ROOT_CORRECTION] + c[EPSILON_OUTSIDE];
    r[B] = r[A] / squareRoot(c[FACTOR] * root);
  }
};

namespace families {
using vectors = List<Reference, Trial, Evaluating, Training, ExponentialAverage, NonFinite, VectorScale, VectorProducts, VectorCombination,
                     VectorPrecondition>;
}

}  // namespace steptuner
