// SPDX-License-Identifier: Apache-2.0
//
// Names and rows that the compiler knows: what a kernel says about itself is a constant, which can be joined with that of a rule, counted
// and checked while compiling.
#pragma once

namespace steptuner {

// A short text. One that is too long does not compile.
struct Name {
  static constexpr int LONGEST = 47;
  char text[LONGEST + 1] = {};

  constexpr Name() = default;
  constexpr Name(const char* from) {
    for (int i = 0; from[i] != 0; ++i) text[i] = from[i];
  }
  constexpr int length() const {
    int n = 0;
    while (text[n] != 0) ++n;
    return n;
  }
};

constexpr Name operator+(Name a, const Name& b) {
  const int begin = a.length();
  for (int i = 0; b.text[i] != 0; ++i) a.text[begin + i] = b.text[i];
  return a;
}

constexpr bool operator==(const Name& a, const Name& b) {
  for (int i = 0; i < Name::LONGEST; ++i)
    if (a.text[i] != b.text[i]) return false;
  return true;
}

// "meta" and "momentum" make "metaMomentum".
constexpr Name prefixed(const Name& prefix, Name name) {
  if (name.text[0] >= 'a' && name.text[0] <= 'z') name.text[0] = static_cast<char>(name.text[0] - 'a' + 'A');
  return prefix + name;
}

template <class T, int N>
struct Row {
  static constexpr int SIZE = N;
  T at[N > 0 ? N : 1] = {};

  constexpr const T& operator[](int i) const { return at[i]; }
};

template <class T, int A, int B>
constexpr Row<T, A + B> operator+(const Row<T, A>& a, const Row<T, B>& b) {
  Row<T, A + B> all;
  for (int i = 0; i < A; ++i) all.at[i] = a.at[i];
  for (int i = 0; i < B; ++i) all.at[A + i] = b.at[i];
  return all;
}

template <class... Texts>
constexpr Row<Name, int(sizeof...(Texts))> names(Texts... texts) {
  return {{Name(texts)...}};
}

template <int N>
constexpr Row<Name, N> prefixed(const Name& prefix, const Row<Name, N>& row) {
  Row<Name, N> all;
  for (int i = 0; i < N; ++i) all.at[i] = prefixed(prefix, row.at[i]);
  return all;
}

// The row, or an empty one.
template <bool CONDITION, class T, int N>
constexpr Row<T, CONDITION ? N : 0> when(const Row<T, N>& row) {
  Row<T, CONDITION ? N : 0> all;
  for (int i = 0; i < (CONDITION ? N : 0); ++i) all.at[i] = row.at[i];
  return all;
}

constexpr const Name& nameOf(const Name& name) { return name; }

// Whether no two of a row have one name.
template <class T, int N>
constexpr bool distinct(const Row<T, N>& row) {
  for (int i = 0; i < N; ++i)
    for (int j = 0; j < i; ++j)
      if (nameOf(row.at[i]) == nameOf(row.at[j])) return false;
  return true;
}

}  // namespace steptuner
