// The products inside attention: tiles of R rows by V vectors of columns, by the f32 rule and by the bf16 rule. The
// left operand (queries, probabilities) is rows in thread memory, the right one (a cache page) has columns as lanes.
//
// A rule is a struct: Operand, an element of the left operand; block_operands(), of 32 elements along the chain; and
// store_block(), which writes 32 of them. Under the bf16 rules blocks are 16 dwords (cache_layout.h): with VDPBF16PS a
// dword of the left operand is a pair of bf16, with f32 fma it is two f32 and the right operand's halves are taken
// apart in registers.
#pragma once

#include <string_view>
#include <type_traits>
#include <utility>

#include "chips/cpu/cache_layout.h"
#include "chips/cpu/kernels/simd.h"

namespace naru::cpu::NARU_LEVEL {

#if defined(NARU_LEVEL_baseline)
constexpr int kTileRows = 1, kTileVectors = 1;
#elif defined(NARU_DCHECKS)  // sanitizers and debug builds: the same loops, a tenth of the code to compile
constexpr int kTileRows = 2, kTileVectors = 2;
#elif defined(NARU_LEVEL_avx2)
constexpr int kTileRows = 4, kTileVectors = 1;
#else
constexpr int kTileRows = 6, kTileVectors = 2;
#endif

template <int N>
using Constant = std::integral_constant<int, N>;

// body(Constant<0>) ... body(Constant<N - 1>): indices known to the compiler, so that arrays become registers.
template <int N, typename Body>
NARU_INLINE void unroll(const Body& body) {
  [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) __attribute__((always_inline)) {
    (body(Constant<kIndex>{}), ...);
  }
  (std::make_integer_sequence<int, N>{});
}

// body(Constant<R>, i) for runs of R <= kMax that cover [begin, end).
template <int kMax, typename Body>
NARU_INLINE void for_tiles(int64_t begin, int64_t end, const Body& body) {
  for (; begin + kMax <= end; begin += kMax) body(Constant<kMax>{}, begin);
  if constexpr (kMax > 1) {
    if (begin < end) for_tiles<kMax - 1>(begin, end, body);
  }
}

struct F32Rule {
  static constexpr bool kIsBF16 = false;
  static constexpr std::string_view kName = "attention_f32", kListName = "attention_selected_f32";
  using Operand = float;
  static constexpr int64_t kBlockOperands = 32;
  NARU_INLINE static void store_block(Operand* out, F32x16 first, F32x16 second) {
    store(out, first);
    store(out + 16, second);
  }
};

struct FmaRule {
  static constexpr bool kIsBF16 = true;
  static constexpr std::string_view kName = "attention_bf16_fma", kListName = "attention_selected_bf16_fma";
  using Operand = float;
  static constexpr int64_t kBlockOperands = 32;
  struct Right {
    F32x16 upper, lower;
  };
  NARU_INLINE static Right load_right(const uint32_t* p) {
    const I32x16 dwords = load_i32(p);
    return {upper_halves(dwords), lower_halves(dwords)};
  }
  // acc[r * V + v] takes dword `j` of row r by right[v].
  template <int R, int V>
  NARU_INLINE static void step(const Operand* left, int64_t stride, const Right (&right)[V], F32x16 (&acc)[R * V]) {
    unroll<R>([&](auto r) {
      const F32x16 a = splat(left[r * stride]);
      unroll<V>([&](auto v) { acc[r * V + v] = fma(a, right[v].upper, acc[r * V + v]); });
    });
    unroll<R>([&](auto r) {
      const F32x16 a = splat(left[r * stride + 1]);
      unroll<V>([&](auto v) { acc[r * V + v] = fma(a, right[v].lower, acc[r * V + v]); });
    });
  }
  NARU_INLINE static void store_block(Operand* out, F32x16 first, F32x16 second) {
    F32x16 even, odd;
    deinterleave(first, second, even, odd);
    store(out, even);
    store(out + 16, odd);
  }
};

#if defined(NARU_LEVEL_avx512vnni)
// By the intrinsic itself: as an operation of simd.h, GCC 12 allots the registers of these loops in another way than
// the one that was measured.
struct DotRule {
  static constexpr bool kIsBF16 = true;
  static constexpr std::string_view kName = "attention_bf16_dot", kListName = "attention_selected_bf16_dot";
  using Operand = uint32_t;
  static constexpr int64_t kBlockOperands = 16;
  struct Right {
    __m512i v;
  };
  NARU_INLINE static Right load_right(const uint32_t* p) { return {_mm512_loadu_si512(p)}; }
  template <int R, int V>
  NARU_INLINE static void step(const Operand* left, int64_t stride, const Right (&right)[V], F32x16 (&acc)[R * V]) {
    unroll<R>([&](auto r) {
      const __m512i a = _mm512_set1_epi32(static_cast<int32_t>(left[r * stride]));
      unroll<V>([&](auto v) {  // NOLINTNEXTLINE: the only cast that these types have
        acc[r * V + v].v = _mm512_dpbf16_ps(acc[r * V + v].v, (__m512bh)a, (__m512bh)right[v].v);
      });
    });
  }
  NARU_INLINE static void store_block(Operand* out, F32x16 first, F32x16 second) {
    F32x16 even, odd;
    deinterleave(first, second, even, odd);
    store_bf16_pairs(out, even);
    store_bf16_pairs(out + 8, odd);
  }
};
#endif

// acc[r * V + v] = acc + (e + o) for each block of the n elements in turn. Block b of row r lies at a + r * a_stride +
// b * kBlockOperands; dword j of block b of the right operand is the row of dwords at block_at(b) + j * b_stride. Of
// the last block dwords that have no element are not read: products with +0 change no bit.
template <typename Rule, int R, int V, typename BlockAt>
NARU_INLINE void multiply_blocks(const typename Rule::Operand* a, int64_t a_stride, int64_t n, const BlockAt& block_at,
                                 int64_t b_stride, F32x16 (&acc)[R * V]) {
  constexpr int64_t kPerDword = Rule::kBlockOperands / kPageDwords;
  for (int64_t block = 0; block * 32 < n; ++block) {
    const uint32_t* b = block_at(block);
    const int64_t n_dwords = n - block * 32 < 32 ? (n - block * 32 + 3) / 4 : 8;  // of each chain
    const typename Rule::Operand* left = a + block * Rule::kBlockOperands;
    F32x16 even[R * V], odd[R * V];
    unroll<R * V>([&](auto i) { even[i] = zero(), odd[i] = zero(); });
    const auto step = [&](int64_t j, F32x16(&chain)[R * V]) __attribute__((always_inline)) {
      typename Rule::Right right[V];
      unroll<V>([&](auto v) { right[v] = Rule::load_right(b + j * b_stride + v * 16); });
      Rule::template step<R, V>(left + j * kPerDword, a_stride, right, chain);
    };
    if constexpr (R * V <= 4) {  // few chains: both at once, to hide the latency of fma
      for (int64_t j = 0; j < n_dwords; ++j) {
        step(j, even);
        step(j + 8, odd);
      }
    } else {  // many: one after the other, to stay within the registers
      for (int64_t j = 0; j < n_dwords; ++j) step(j, even);
      for (int64_t j = 8; j < 8 + n_dwords; ++j) step(j, odd);
    }
    unroll<R * V>([&](auto i) { acc[i] = add(acc[i], add(even[i], odd[i])); });
  }
}

// acc[r * V + v] = fma chain over n elements: a + r * a_stride + k, and the row of the right operand at b + k *
// b_stride.
template <int R, int V>
NARU_INLINE void multiply_f32(const float* a, int64_t a_stride, int64_t n, const float* b, int64_t b_stride,
                              F32x16 (&acc)[R * V]) {
  for (int64_t k = 0; k < n; ++k) {
    F32x16 right[V];
    unroll<V>([&](auto v) { right[v] = load(b + k * b_stride + v * 16); });
    unroll<R>([&](auto r) {
      const F32x16 left = splat(a[r * a_stride + k]);
      unroll<V>([&](auto v) { acc[r * V + v] = fma(left, right[v], acc[r * V + v]); });
    });
  }
}

}  // namespace naru::cpu::NARU_LEVEL
