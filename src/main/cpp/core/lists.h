// SPDX-License-Identifier: Apache-2.0
//
// Lists of types: of rules, of kernels.
#pragma once
#include <type_traits>

namespace steptuner {

template <class... Types>
struct List {
  static constexpr int SIZE = sizeof...(Types);
};

template <class... Lists>
struct Join;
template <class... A>
struct Join<List<A...>> {
  using type = List<A...>;
};
template <class... A, class... B, class... Rest>
struct Join<List<A...>, List<B...>, Rest...> : Join<List<A..., B...>, Rest...> {};

template <class... Lists>
using join = typename Join<Lists...>::type;

// Sweep over each of the rules.
template <template <class> class Sweep, class Rules>
struct Over;
template <template <class> class Sweep, class... R>
struct Over<Sweep, List<R...>> {
  using type = List<Sweep<R>...>;
};
template <template <class> class Sweep, class Rules>
using over = typename Over<Sweep, Rules>::type;

// Those of a list of which a test is true.
template <template <class> class Test, class L>
struct Those;
template <template <class> class Test, class... T>
struct Those<Test, List<T...>> {
  using type = join<List<>, typename std::conditional<Test<T>::value, List<T>, List<>>::type...>;
};
template <template <class> class Test, class L>
using those = typename Those<Test, L>::type;

}  // namespace steptuner
