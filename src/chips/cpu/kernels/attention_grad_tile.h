// The products inside attention's gradient: tiles of R rows by V vectors, by the f32 rule and by the bf16 rule. Both
// operands may lie along the chain in any stride: the left one gives a number (or a pair of bf16) to a row, the right
// one has lanes. Rules are those of attention_tile.h.
//
// Under the bf16 rules 32 elements of a chain are 16 dwords (cache_layout.h). With f32 fma a dword of the left operand
// is taken apart into two floats, `pair` apart: the upper half and the lower.
#pragma once

#include "chips/cpu/kernels/attention_tile.h"

namespace naru::cpu::NARU_LEVEL {

#if defined(NARU_LEVEL_baseline)
constexpr int kGradRows = 1, kGradVectors = 1;
#elif defined(NARU_DCHECKS)
constexpr int kGradRows = 2, kGradVectors = 2;
#elif defined(NARU_LEVEL_avx2)
constexpr int kGradRows = 4, kGradVectors = 1;
#else
constexpr int kGradRows = 8, kGradVectors = 2;
#endif
constexpr int64_t kRowsPadded = 8;  // rows of operands are padded to a multiple of this, and of kGradRows with it
static_assert(kRowsPadded % kGradRows == 0);

// Strides of a left operand, in its elements.
struct LeftStrides {
  int64_t row;
  int64_t chain;     // from one element of the chain, or one dword of it, to the next
  int64_t pair = 0;  // FmaRule: from the upper half of a dword to the lower
};

// acc[r * V + v] takes n elements of the chain.
template <int R, int V>
NARU_INLINE void chain_f32(const float* left, const LeftStrides& strides, int64_t n, const float* right,
                           int64_t right_stride, F32x16 (&acc)[R * V]) {
  for (int64_t k = 0; k < n; ++k) {
    F32x16 b[V];
    unroll<V>([&](auto v) { b[v] = load(right + k * right_stride + v * 16); });
    unroll<R>([&](auto r) {
      const F32x16 a = splat(left[r * strides.row + k * strides.chain]);
      unroll<V>([&](auto v) { acc[r * V + v] = fma(a, b[v], acc[r * V + v]); });
    });
  }
}

// One dword of the chain under a bf16 rule.
template <typename Rule, int R, int V>
NARU_INLINE void chain_dword(const typename Rule::Operand* left, const LeftStrides& strides, const uint32_t* right,
                             F32x16 (&acc)[R * V]) {
  typename Rule::Right b[V];
  unroll<V>([&](auto v) { b[v] = Rule::load_right(right + v * 16); });
  if constexpr (std::is_same_v<typename Rule::Operand, uint32_t>) {
    Rule::template step<R, V>(left, strides.row, b, acc);
  } else {
    unroll<R>([&](auto r) {
      const F32x16 a = splat(left[r * strides.row]);
      unroll<V>([&](auto v) { acc[r * V + v] = fma(a, b[v].upper, acc[r * V + v]); });
    });
    unroll<R>([&](auto r) {
      const F32x16 a = splat(left[r * strides.row + strides.pair]);
      unroll<V>([&](auto v) { acc[r * V + v] = fma(a, b[v].lower, acc[r * V + v]); });
    });
  }
}

// acc[r * V + v] = acc + (e + o) of one block of 32, by the dwords that have elements [begin, end): all others count as
// +0.
template <typename Rule, int R, int V>
NARU_INLINE void chain_bf16(const typename Rule::Operand* left, const LeftStrides& strides, int64_t begin, int64_t end,
                            const uint32_t* right, int64_t right_stride, F32x16 (&acc)[R * V]) {
  const int64_t first = begin / 4, last = (end + 3) / 4;  // of each chain
  F32x16 even[R * V], odd[R * V];
  unroll<R * V>([&](auto i) { even[i] = zero(), odd[i] = zero(); });
  const auto step = [&](int64_t j, F32x16(&chain)[R * V]) __attribute__((always_inline)) {
    chain_dword<Rule, R, V>(left + j * strides.chain, strides, right + j * right_stride, chain);
  };
  if constexpr (R * V <= 4) {
    for (int64_t j = first; j < last; ++j) {
      step(j, even);
      step(j + 8, odd);
    }
  } else {
    for (int64_t j = first; j < last; ++j) step(j, even);
    for (int64_t j = 8 + first; j < 8 + last; ++j) step(j, odd);
  }
  unroll<R * V>([&](auto i) { acc[i] = add(acc[i], add(even[i], odd[i])); });
}

// What operands are made of, and the strides of each left operand.
template <typename Rule>
struct GradForm {
  using Left = typename Rule::Operand;
  using Right = std::conditional_t<Rule::kIsBF16, uint32_t, float>;
  static constexpr bool kIsDot = std::is_same_v<Left, uint32_t>;
  static constexpr int64_t kChain = Rule::kIsBF16 ? kPageDwords : 32;  // dwords or elements of a block of 32
  static constexpr int64_t kLeftOfChain = !Rule::kIsBF16 || kIsDot ? kChain : 2 * kChain;
  static constexpr int64_t kPlanes = kLeftOfChain / kChain;

  // Rows are 32 lanes of a key form (its planes one after the other).
  static constexpr LeftStrides key_form() { return {1, kPlanes * 32, 32}; }
  // Rows are columns of a value form.
  static constexpr LeftStrides value_form(int64_t columns) { return {1, kPlanes * columns, columns}; }
  // A row is a block of 32 along the chain, as Rule::store_block writes it.
  static constexpr LeftStrides blocks() { return {kLeftOfChain, kPlanes, 1}; }

  // Elements [begin, end) of one block of 32 (under the f32 rule of any number).
  template <int R, int V>
  NARU_INLINE static void chain(const Left* left, const LeftStrides& strides, int64_t begin, int64_t end,
                                const Right* right, int64_t right_stride, F32x16 (&acc)[R * V]) {
    if constexpr (Rule::kIsBF16) {
      chain_bf16<Rule, R, V>(left, strides, begin, end, right, right_stride, acc);
    } else {
      chain_f32<R, V>(left + begin * strides.chain, strides, end - begin, right + begin * right_stride, right_stride,
                      acc);
    }
  }
};

}  // namespace naru::cpu::NARU_LEVEL
