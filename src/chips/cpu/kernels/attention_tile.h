// The products inside attention: tiles of R rows by V vectors of columns, by the f32 rule and by the bf16 rule. The
// left operand (queries, probabilities) is rows in thread memory, the right one (a cache page) has columns as lanes.
//
// bf16 rule: blocks of 32 elements as 16 dwords (cache_layout.h). Where the level has VDPBF16PS a dword of the left
// operand is a pair of bf16; elsewhere it is two f32, and the right operand's halves are taken apart in registers.
#pragma once

#include <type_traits>
#include <utility>

#include "chips/cpu/cache_layout.h"
#include "chips/cpu/kernels/simd.h"

namespace naru::cpu::NARU_LEVEL {

#if defined(NARU_LEVEL_baseline)
constexpr int kTileRowsF32 = 1, kTileRowsBF16 = 1, kTileVectors = 1;
#elif defined(NARU_LEVEL_avx2)
constexpr int kTileRowsF32 = 4, kTileRowsBF16 = 2, kTileVectors = 1;
#else
constexpr int kTileRowsF32 = 6, kTileRowsBF16 = 4, kTileVectors = 2;
#endif

template <int N>
using Constant = std::integral_constant<int, N>;

// body(Constant<0>) ... body(Constant<N - 1>): indices known to the compiler, so that arrays become registers.
template <int N, typename Body>
NARU_SIMD void unroll(const Body& body) {
  [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) __attribute__((always_inline)) {
    (body(Constant<kIndex>{}), ...);
  }
  (std::make_integer_sequence<int, N>{});
}

// body(Constant<R>, i) for runs of R <= kMax that cover [begin, end).
template <int kMax, typename Body>
NARU_SIMD void for_tiles(int64_t begin, int64_t end, const Body& body) {
  for (; begin + kMax <= end; begin += kMax) body(Constant<kMax>{}, begin);
  if constexpr (kMax > 1) {
    if (begin < end) for_tiles<kMax - 1>(begin, end, body);
  }
}

#if defined(NARU_LEVEL_avx512vnni)

constexpr std::string_view kKernelBF16 = "attention_bf16_dp";
using PairOperand = uint32_t;
constexpr int64_t kBlockOperands = 16;

struct LeftPair {
  __m512i v;
};
using RightPair = LeftPair;
NARU_SIMD LeftPair load_left(const PairOperand* p) {
  return {_mm512_set1_epi32(static_cast<int32_t>(*p))};
}
NARU_SIMD RightPair load_right(const uint32_t* p) {
  return {_mm512_loadu_si512(p)};
}
NARU_SIMD F16 pair_fma(LeftPair a, RightPair b, F16 acc) {
  return {_mm512_dpbf16_ps(acc.v, (__m512bh)a.v, (__m512bh)b.v)};  // NOLINT: the only cast that these types have
}

// Eight dwords of a chain's sixteen elements, which are bf16 values already.
NARU_SIMD __m256i chain_dwords(F16 chain) {
  const __m512i x = as_int(chain).v;
  return _mm512_cvtepi64_epi32(_mm512_or_si512(x, _mm512_srli_epi64(x, 48)));
}
NARU_SIMD void store_block(PairOperand* out, F16 first, F16 second) {
  F16 even, odd;
  deinterleave(first, second, even, odd);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), chain_dwords(even));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 8), chain_dwords(odd));
}

#else

constexpr std::string_view kKernelBF16 = "attention_bf16_fma";
using PairOperand = float;
constexpr int64_t kBlockOperands = 32;

struct LeftPair {
  F16 upper, lower;
};
using RightPair = LeftPair;
NARU_SIMD LeftPair load_left(const PairOperand* p) {
  return {splat(p[0]), splat(p[1])};
}
NARU_SIMD RightPair load_right(const uint32_t* p) {
  const I16 dwords = load_int(p);
  return {as_float(bit_and(dwords, splat_int(static_cast<int32_t>(0xffff0000u)))), as_float(shift_left<16>(dwords))};
}
NARU_SIMD F16 pair_fma(LeftPair a, RightPair b, F16 acc) {
  return fma(a.lower, b.lower, fma(a.upper, b.upper, acc));
}
NARU_SIMD void store_block(PairOperand* out, F16 first, F16 second) {
  F16 even, odd;
  deinterleave(first, second, even, odd);
  store(out, even);
  store(out + 16, odd);
}

#endif

constexpr int64_t kOperandsPerPair = kBlockOperands / kPageDwords;

// acc[r * V + v] = acc + (e + o) for each block in turn. Block b of row r lies at a + r * a_stride + b *
// kBlockOperands; dword j of block b of the right operand is the row of dwords at block_at(b) + j * b_stride.
template <int R, int V, typename BlockAt>
NARU_SIMD void multiply_blocks(const PairOperand* a, int64_t a_stride, int64_t n_blocks, const BlockAt& block_at,
                               int64_t b_stride, F16 (&acc)[R * V]) {
  for (int64_t block = 0; block < n_blocks; ++block) {
    const uint32_t* b = block_at(block);
    const PairOperand* left = a + block * kBlockOperands;
    F16 even[R * V], odd[R * V];
    unroll<R * V>([&](auto i) { even[i] = zero(), odd[i] = zero(); });
    for (int64_t j = 0; j < 8; ++j) {
      RightPair right_even[V], right_odd[V];
      unroll<V>([&](auto v) {
        right_even[v] = load_right(b + j * b_stride + v * 16);
        right_odd[v] = load_right(b + (j + 8) * b_stride + v * 16);
      });
      unroll<R>([&](auto r) {
        const LeftPair left_even = load_left(left + r * a_stride + j * kOperandsPerPair);
        const LeftPair left_odd = load_left(left + r * a_stride + (j + 8) * kOperandsPerPair);
        unroll<V>([&](auto v) {
          even[r * V + v] = pair_fma(left_even, right_even[v], even[r * V + v]);
          odd[r * V + v] = pair_fma(left_odd, right_odd[v], odd[r * V + v]);
        });
      });
    }
    unroll<R * V>([&](auto i) { acc[i] = add(acc[i], add(even[i], odd[i])); });
  }
}

// acc[r * V + v] = fma chain over n elements: a + r * a_stride + k, and the row of the right operand at b + k *
// b_stride.
template <int R, int V>
NARU_SIMD void multiply_f32(const float* a, int64_t a_stride, int64_t n, const float* b, int64_t b_stride,
                            F16 (&acc)[R * V]) {
  for (int64_t k = 0; k < n; ++k) {
    F16 right[V];
    unroll<V>([&](auto v) { right[v] = load(b + k * b_stride + v * 16); });
    unroll<R>([&](auto r) {
      const F16 left = splat(a[r * a_stride + k]);
      unroll<V>([&](auto v) { acc[r * V + v] = fma(left, right[v], acc[r * V + v]); });
    });
  }
}

}  // namespace naru::cpu::NARU_LEVEL
