// What an op points to, found in its members: for whoever copies an op (a chip that runs it later) or looks at all of
// its memory. A new op, or a new list in one, needs nothing here; a member that this cannot follow does not compile.
#pragma once

#include <span>
#include <type_traits>

#include "contract/ops.h"

namespace naru::contract {
namespace members {

struct Anything {
  template <typename T>
  operator T() const;  // NOLINT: only named where nothing is evaluated
};

// An array of n elements takes n initialisers and is one member.
template <typename T>
constexpr int kArrayElementsBeyondOne = 0;
template <>
inline constexpr int kArrayElementsBeyondOne<Matmul> = Matmul::kTargetsMax - 1;
template <>
inline constexpr int kArrayElementsBeyondOne<GroupedMatmul> = GroupedMatmul::kTargetsMax - 1;

// How many members a struct has: as many as it takes initialisers.
template <typename T, typename... Initialisers>
constexpr int count() {
  if constexpr (requires { T{Initialisers{}..., Anything{}}; }) {
    return count<T, Initialisers..., Anything>();
  } else {
    return sizeof...(Initialisers) - kArrayElementsBeyondOne<T>;
  }
}

// all(member...) of a struct.
template <typename T, typename All>
decltype(auto) with_members(T& t, All&& all) {
  constexpr int n = count<std::remove_const_t<T>>();
  static_assert(n >= 1 && n <= 16, "an op's struct of more members: add a line");
  // clang-format off
  if constexpr (n == 1) { auto& [a] = t; return all(a); }
  if constexpr (n == 2) { auto& [a, b] = t; return all(a, b); }
  if constexpr (n == 3) { auto& [a, b, c] = t; return all(a, b, c); }
  if constexpr (n == 4) { auto& [a, b, c, d] = t; return all(a, b, c, d); }
  if constexpr (n == 5) { auto& [a, b, c, d, e] = t; return all(a, b, c, d, e); }
  if constexpr (n == 6) { auto& [a, b, c, d, e, f] = t; return all(a, b, c, d, e, f); }
  if constexpr (n == 7) { auto& [a, b, c, d, e, f, g] = t; return all(a, b, c, d, e, f, g); }
  if constexpr (n == 8) { auto& [a, b, c, d, e, f, g, h] = t; return all(a, b, c, d, e, f, g, h); }
  if constexpr (n == 9) { auto& [a, b, c, d, e, f, g, h, i] = t; return all(a, b, c, d, e, f, g, h, i); }
  if constexpr (n == 10) { auto& [a, b, c, d, e, f, g, h, i, j] = t; return all(a, b, c, d, e, f, g, h, i, j); }
  if constexpr (n == 11) { auto& [a, b, c, d, e, f, g, h, i, j, k] = t; return all(a, b, c, d, e, f, g, h, i, j, k); }
  if constexpr (n == 12) { auto& [a, b, c, d, e, f, g, h, i, j, k, l] = t; return all(a, b, c, d, e, f, g, h, i, j, k, l); }
  if constexpr (n == 13) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m] = t; return all(a, b, c, d, e, f, g, h, i, j, k, l, m); }
  if constexpr (n == 14) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, o] = t; return all(a, b, c, d, e, f, g, h, i, j, k, l, m, o); }
  if constexpr (n == 15) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, o, p] = t; return all(a, b, c, d, e, f, g, h, i, j, k, l, m, o, p); }
  if constexpr (n == 16) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q] = t; return all(a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q); }
  // clang-format on
}

template <typename T>
constexpr bool kIsPlain = std::is_arithmetic_v<T> || std::is_enum_v<T>;

}  // namespace members

// visitor(member&) for every member of `t` that leads out of it, at any depth: whatever type the visitor takes, which
// must be all of View, CacheStream, SequencesRef, pointers to packed matrices, and spans.
template <typename T, typename Visitor>
void visit_members(T& t, Visitor& visitor) {
  using Plain = std::remove_const_t<T>;
  if constexpr (requires { visitor(t); }) {
    visitor(t);
  } else if constexpr (std::is_array_v<Plain>) {
    for (auto& element : t) visit_members(element, visitor);
  } else if constexpr (!members::kIsPlain<Plain>) {
    static_assert(std::is_aggregate_v<Plain>, "a member of an op that nobody knows how to follow");
    members::with_members(t, [&](auto&... member) { (visit_members(member, visitor), ...); });
  }
}

}  // namespace naru::contract
