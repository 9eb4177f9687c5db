// Vectors of the products' kernels: kLanes outputs side by side, in the native width of the level (16 f32 in AVX-512,
// 8 in AVX2, an array of 16 in portable C++). A panel of 16 outputs is kPanelVectors of them.
//
//   Vec       f32 lanes                       VecInt   int32 lanes
//   VecBytes  u8, four a lane (weights of one group of four inputs)
//   Dots<kMax> the integer dot of one row with weights 0..kMax, four inputs a step; how the level forms it is inside
//
// The vector levels rely on flush-to-zero and denormals-are-zero in MXCSR.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(NARU_LEVEL_avx512) || defined(NARU_LEVEL_avx512vnni) || defined(NARU_LEVEL_amx)
#define NARU_LANES_512 1
#elif defined(NARU_LEVEL_avx2)
#define NARU_LANES_256 1
#endif

#if defined(NARU_LANES_512) || defined(NARU_LANES_256)
// GCC 12's own header of the intrinsics starts undefined vectors in a way that it then warns about.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include "base/float_bits.h"
#include "chips/cpu/packed.h"
#include "contract/scalar.h"
#endif
#if defined(NARU_LEVEL_avx512vnni) || defined(NARU_LEVEL_amx)
#define NARU_LANES_VNNI 1
#endif

#define NARU_INLINE __attribute__((always_inline)) inline

namespace naru::cpu::NARU_LEVEL {

#if defined(NARU_LANES_512)

constexpr int kLanes = 16;
using Vec = __m512;
using VecInt = __m512i;
using VecBytes = __m512i;

NARU_INLINE Vec v_zero() {
  return _mm512_setzero_ps();
}
NARU_INLINE Vec v_splat(const void* p) {
  return _mm512_set1_ps(*static_cast<const float*>(p));
}
NARU_INLINE Vec v_load(const void* p) {
  return _mm512_loadu_ps(p);
}
NARU_INLINE void v_store(float* p, Vec x) {
  _mm512_storeu_ps(p, x);
}
NARU_INLINE Vec v_fma(Vec a, Vec b, Vec c) {
  return _mm512_fmadd_ps(a, b, c);
}
// c + (the float at p) * b in one instruction, where v_fma(v_splat(p), b, c) would share a register with its
// neighbours: fewer instructions to issue, more loads.
NARU_INLINE Vec v_fma_splat(const std::byte* p, Vec b, Vec c) {
  using Float [[gnu::may_alias]] = float;
  __asm__("vfmadd231ps %1%{1to16%}, %2, %0" : "+v"(c) : "m"(*reinterpret_cast<const Float*>(p)), "v"(b));
  return c;
}
NARU_INLINE Vec v_fnma(Vec a, Vec b, Vec c) {
  return _mm512_fnmadd_ps(a, b, c);
}
NARU_INLINE Vec v_add(Vec a, Vec b) {
  return _mm512_add_ps(a, b);
}
NARU_INLINE Vec v_mul(Vec a, Vec b) {
  return _mm512_mul_ps(a, b);
}
NARU_INLINE Vec v_load_f16(const void* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
}
NARU_INLINE Vec v_load_bf16(const void* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
NARU_INLINE Vec v_load_u8(const void* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
}
NARU_INLINE Vec v_load_i8(const void* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
}
// The low and the high bf16 of each dword.
NARU_INLINE Vec v_low_half(const void* p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
}
NARU_INLINE Vec v_high_half(const void* p) {
  return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
}
NARU_INLINE VecInt vi_splat(const void* p) {
  return _mm512_set1_epi32(*static_cast<const int32_t*>(p));
}
NARU_INLINE Vec v_from_int(VecInt x) {
  return _mm512_cvtepi32_ps(x);
}

NARU_INLINE VecBytes vb_load(const void* p) {
  return _mm512_loadu_si512(p);
}
NARU_INLINE VecBytes vb_low_nibbles(VecBytes x) {
  return _mm512_and_si512(x, _mm512_set1_epi8(15));
}
NARU_INLINE VecBytes vb_high_nibbles(VecBytes x) {
  return _mm512_and_si512(_mm512_srli_epi16(x, 4), _mm512_set1_epi8(15));
}
// low | (plane >> kFrom << 4 & kMask): bits of a plane put above a nibble.
template <int kFrom, int kMask>
NARU_INLINE VecBytes vb_put_above(VecBytes low, VecBytes plane) {
  const __m512i moved = kFrom > 4 ? _mm512_srli_epi16(plane, kFrom > 4 ? kFrom - 4 : 0)
                                  : _mm512_slli_epi16(plane, kFrom > 4 ? 0 : 4 - kFrom);
  return _mm512_ternarylogic_epi32(low, moved, _mm512_set1_epi8(kMask), 0xf8);  // a | (b & c)
}

#elif defined(NARU_LANES_256)

constexpr int kLanes = 8;
using Vec = __m256;
using VecInt = __m256i;
using VecBytes = __m256i;

NARU_INLINE Vec v_zero() {
  return _mm256_setzero_ps();
}
NARU_INLINE Vec v_splat(const void* p) {
  return _mm256_broadcast_ss(static_cast<const float*>(p));
}
NARU_INLINE Vec v_load(const void* p) {
  return _mm256_loadu_ps(static_cast<const float*>(p));
}
NARU_INLINE void v_store(float* p, Vec x) {
  _mm256_storeu_ps(p, x);
}
NARU_INLINE Vec v_fma(Vec a, Vec b, Vec c) {
  return _mm256_fmadd_ps(a, b, c);
}
NARU_INLINE Vec v_fma_splat(const std::byte* p, Vec b, Vec c) {
  return v_fma(v_splat(p), b, c);
}
NARU_INLINE Vec v_fnma(Vec a, Vec b, Vec c) {
  return _mm256_fnmadd_ps(a, b, c);
}
NARU_INLINE Vec v_add(Vec a, Vec b) {
  return _mm256_add_ps(a, b);
}
NARU_INLINE Vec v_mul(Vec a, Vec b) {
  return _mm256_mul_ps(a, b);
}
NARU_INLINE __m256i v_load_256(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
NARU_INLINE __m128i v_load_128(const void* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}
NARU_INLINE __m128i v_load_64(const void* p) {
  return _mm_loadl_epi64(static_cast<const __m128i*>(p));
}
NARU_INLINE Vec v_load_f16(const void* p) {
  return _mm256_cvtph_ps(v_load_128(p));
}
NARU_INLINE Vec v_load_bf16(const void* p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v_load_128(p)), 16));
}
NARU_INLINE Vec v_load_u8(const void* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v_load_64(p)));
}
NARU_INLINE Vec v_load_i8(const void* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v_load_64(p)));
}
NARU_INLINE Vec v_low_half(const void* p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(v_load_256(p), 16));
}
NARU_INLINE Vec v_high_half(const void* p) {
  return _mm256_castsi256_ps(_mm256_and_si256(v_load_256(p), _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
}
NARU_INLINE VecInt vi_splat(const void* p) {
  return _mm256_castps_si256(v_splat(p));
}
NARU_INLINE Vec v_from_int(VecInt x) {
  return _mm256_cvtepi32_ps(x);
}

NARU_INLINE VecBytes vb_load(const void* p) {
  return v_load_256(p);
}
NARU_INLINE VecBytes vb_low_nibbles(VecBytes x) {
  return _mm256_and_si256(x, _mm256_set1_epi8(15));
}
NARU_INLINE VecBytes vb_high_nibbles(VecBytes x) {
  return _mm256_and_si256(_mm256_srli_epi16(x, 4), _mm256_set1_epi8(15));
}
template <int kFrom, int kMask>
NARU_INLINE VecBytes vb_put_above(VecBytes low, VecBytes plane) {
  const __m256i moved = kFrom > 4 ? _mm256_srli_epi16(plane, kFrom > 4 ? kFrom - 4 : 0)
                                  : _mm256_slli_epi16(plane, kFrom > 4 ? 0 : 4 - kFrom);
  return _mm256_or_si256(low, _mm256_and_si256(moved, _mm256_set1_epi8(kMask)));
}

#else

constexpr int kLanes = 16;
struct Vec {
  float v[kLanes];
};
struct VecInt {
  int32_t v[kLanes];
};
struct VecBytes {
  uint8_t v[4 * kLanes];
};

template <typename Result, typename Function>
inline Result v_each(const Function& f) {
  Result r;
  for (int i = 0; i < kLanes; ++i) r.v[i] = f(i);
  return r;
}
template <typename T>
inline T v_element(const void* p, int i) {
  T x;
  std::memcpy(&x, static_cast<const char*>(p) + i * static_cast<int>(sizeof(T)), sizeof(T));
  return x;
}
inline Vec v_zero() {
  return Vec{};
}
inline Vec v_splat(const void* p) {
  return v_each<Vec>([p](int) { return v_element<float>(p, 0); });
}
inline Vec v_load(const void* p) {
  return v_each<Vec>([p](int i) { return v_element<float>(p, i); });
}
inline void v_store(float* p, const Vec& x) {
  std::memcpy(p, x.v, sizeof(x.v));
}
inline Vec v_fma(const Vec& a, const Vec& b, const Vec& c) {
  return v_each<Vec>([&](int i) { return contract::fma(a.v[i], b.v[i], c.v[i]); });
}
inline Vec v_fma_splat(const std::byte* p, const Vec& b, const Vec& c) {
  return v_fma(v_splat(p), b, c);
}
inline Vec v_fnma(const Vec& a, const Vec& b, const Vec& c) {
  return v_each<Vec>([&](int i) { return contract::fma(-a.v[i], b.v[i], c.v[i]); });
}
inline Vec v_add(const Vec& a, const Vec& b) {
  return v_each<Vec>([&](int i) { return contract::add(a.v[i], b.v[i]); });
}
inline Vec v_mul(const Vec& a, const Vec& b) {
  return v_each<Vec>([&](int i) { return contract::mul(a.v[i], b.v[i]); });
}
inline Vec v_load_f16(const void* p) {
  return v_each<Vec>([p](int i) { return f16_to_f32(v_element<uint16_t>(p, i)); });
}
inline Vec v_load_bf16(const void* p) {
  return v_each<Vec>([p](int i) { return bf16_to_f32(v_element<uint16_t>(p, i)); });
}
inline Vec v_load_u8(const void* p) {
  return v_each<Vec>([p](int i) { return static_cast<float>(v_element<uint8_t>(p, i)); });
}
inline Vec v_load_i8(const void* p) {
  return v_each<Vec>([p](int i) { return static_cast<float>(v_element<int8_t>(p, i)); });
}
inline Vec v_low_half(const void* p) {
  return v_each<Vec>([p](int i) { return bf16_to_f32(v_element<uint16_t>(p, 2 * i)); });
}
inline Vec v_high_half(const void* p) {
  return v_each<Vec>([p](int i) { return bf16_to_f32(v_element<uint16_t>(p, 2 * i + 1)); });
}
inline VecInt vi_splat(const void* p) {
  return v_each<VecInt>([p](int) { return v_element<int32_t>(p, 0); });
}
inline Vec v_from_int(const VecInt& x) {
  return v_each<Vec>([&](int i) { return static_cast<float>(x.v[i]); });
}

inline VecBytes vb_load(const void* p) {
  VecBytes r;
  std::memcpy(r.v, p, sizeof(r.v));
  return r;
}
inline VecBytes vb_low_nibbles(VecBytes x) {
  for (uint8_t& byte : x.v) byte &= 15;
  return x;
}
inline VecBytes vb_high_nibbles(VecBytes x) {
  for (uint8_t& byte : x.v) byte = static_cast<uint8_t>(byte >> 4);
  return x;
}
template <int kFrom, int kMask>
inline VecBytes vb_put_above(VecBytes low, const VecBytes& plane) {
  for (int i = 0; i < 4 * kLanes; ++i) low.v[i] |= static_cast<uint8_t>((plane.v[i] >> kFrom << 4) & kMask);
  return low;
}

#endif

// Asks the second-level cache for the line at p, which may lie past the end of the weights.
NARU_INLINE void fetch_line(const std::byte* p) {
  __builtin_prefetch(p, 0, 2);
}

// Fewer rows read panels as fast as they come.
constexpr int kAheadRowsMin = 6;

// One line of each of P panels at `ahead`, where R rows are enough to fetch for.
template <int R, int P>
NARU_INLINE void fetch_ahead(const std::byte* ahead, int64_t panel_bytes) {
  if constexpr (R >= kAheadRowsMin) {
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) fetch_line(ahead + p * panel_bytes);
  }
}

// Whether a row's activations are read by the multiplications themselves: every second row of a tall block. Issuing
// instructions is what bounds a kernel when two threads share a core, and a core that loads one vector a cycle keeps
// up.
template <int R, int NV>
NARU_INLINE constexpr bool is_read_in_place(int row) {
  return R >= 4 && NV <= 2 && row % 2 == 1;
}

// Asks for `lines` cache lines from p on; p may lie past the end of the weights.
template <int kCount>
NARU_INLINE void prefetch_lines(const std::byte* p) {
#pragma GCC unroll 16
  for (int i = 0; i < kCount; ++i) __builtin_prefetch(p + 64 * i);
}

// Dots<kMax>: start() at an int32 (the compensation of the offset), step<i>() with the weights and the four activations
// of step i = 0, 1, ... of a block, finish() after the last; share() of the activations is for steps of several dots.
// Weights for step() come from prepare(): kMax 255 needs its sign apart where the instruction saturates (u8 x s8 pairs
// in int16).
#if defined(NARU_LANES_VNNI)

// sum + the dots of four unsigned bytes a lane with the four signed ones at p. GCC 12 copies the sums about where the
// intrinsic is given them.
NARU_INLINE VecInt vi_dot_splat(const void* p, VecBytes w, VecInt sum) {
  using Int [[gnu::may_alias]] = int32_t;
  __asm__("vpdpbusd %1%{1to16%}, %2, %0" : "+v"(sum) : "m"(*static_cast<const Int*>(p)), "v"(w));
  return sum;
}

NARU_INLINE VecInt vi_dot(VecInt a, VecBytes w, VecInt sum) {
  __asm__("vpdpbusd %1, %2, %0" : "+v"(sum) : "v"(a), "v"(w));
  return sum;
}

template <int kMax>
struct Dots {
  using Weights = VecBytes;
  VecInt sum;
  static NARU_INLINE Weights prepare(VecBytes w) { return w; }
  static NARU_INLINE VecInt share(const void* x) { return vi_splat(x); }
  NARU_INLINE void start(const void* init) { sum = vi_splat(init); }
  NARU_INLINE void start_zero() { sum = _mm512_setzero_si512(); }
  template <int kStep>
  NARU_INLINE void step(const Weights& w, const void* x) {
    sum = vi_dot_splat(x, w, sum);
  }
  template <int kStep>
  NARU_INLINE void step(const Weights& w, VecInt shared) {
    sum = vi_dot(shared, w, sum);
  }
  NARU_INLINE VecInt finish() { return sum; }
};

#elif defined(NARU_LANES_512) || defined(NARU_LANES_256)

#if defined(NARU_LANES_512)
NARU_INLINE VecInt vi_zero() {
  return _mm512_setzero_si512();
}
NARU_INLINE VecInt vi_add(VecInt a, VecInt b) {
  return _mm512_add_epi32(a, b);
}
NARU_INLINE VecInt vi_add_16(VecInt a, VecInt b) {
  return _mm512_add_epi16(a, b);
}
NARU_INLINE VecInt vi_pairs(VecBytes w, VecInt x) {
  return _mm512_maddubs_epi16(w, x);
}
NARU_INLINE VecInt vi_sum_pairs(VecInt x) {
  return _mm512_madd_epi16(x, _mm512_set1_epi16(1));
}
struct SignedWeights {
  VecBytes magnitude;
  __mmask64 is_negative;
};
NARU_INLINE SignedWeights split_sign(VecBytes w) {  // w - 128
  const __m512i s = _mm512_xor_si512(w, _mm512_set1_epi8(static_cast<char>(0x80)));
  return {_mm512_abs_epi8(s), _mm512_movepi8_mask(s)};
}
NARU_INLINE VecInt take_sign(const SignedWeights& w, VecInt x) {
  return _mm512_mask_sub_epi8(x, w.is_negative, _mm512_setzero_si512(), x);
}
#else
NARU_INLINE VecInt vi_zero() {
  return _mm256_setzero_si256();
}
NARU_INLINE VecInt vi_add(VecInt a, VecInt b) {
  return _mm256_add_epi32(a, b);
}
NARU_INLINE VecInt vi_add_16(VecInt a, VecInt b) {
  return _mm256_add_epi16(a, b);
}
NARU_INLINE VecInt vi_pairs(VecBytes w, VecInt x) {
  return _mm256_maddubs_epi16(w, x);
}
NARU_INLINE VecInt vi_sum_pairs(VecInt x) {
  return _mm256_madd_epi16(x, _mm256_set1_epi16(1));
}
struct SignedWeights {
  VecBytes magnitude;
  VecBytes value;
};
NARU_INLINE SignedWeights split_sign(VecBytes w) {  // w - 128
  const __m256i s = _mm256_xor_si256(w, _mm256_set1_epi8(static_cast<char>(0x80)));
  return {_mm256_abs_epi8(s), s};
}
NARU_INLINE VecInt take_sign(const SignedWeights& w, VecInt x) {
  return _mm256_sign_epi8(x, w.value);
}
#endif

// The int16 lanes hold kRun steps: kRun * 2 * kMax * 127 <= 32767.
template <int kMax>
struct Dots {
  static constexpr int kRun = kMax <= 15 ? 8 : kMax <= 31 ? 4 : 2;
  static_assert(kRun * 2 * kMax * 127 <= 32767);
  using Weights = VecBytes;
  VecInt sum, pairs;
  static NARU_INLINE Weights prepare(VecBytes w) { return w; }
  static NARU_INLINE const void* share(const void* x) { return x; }
  NARU_INLINE void start(const void* init) { sum = vi_splat(init); }
  NARU_INLINE void start_zero() { sum = vi_zero(); }
  template <int kStep>
  NARU_INLINE void step(const Weights& w, const void* x) {
    const VecInt products = vi_pairs(w, vi_splat(x));
    pairs = kStep % kRun == 0 ? products : vi_add_16(pairs, products);
    if constexpr (kStep % kRun == kRun - 1) sum = vi_add(sum, vi_sum_pairs(pairs));
  }
  NARU_INLINE VecInt finish() { return sum; }
};

// Full-range weights: |w - 128| <= 128 times the activation under its sign, 2 * 128 * 127 <= 32767. The offset is
// taken off here, so start() ignores the compensation.
template <>
struct Dots<255> {
  using Weights = SignedWeights;
  VecInt sum;
  static NARU_INLINE Weights prepare(VecBytes w) { return split_sign(w); }
  static NARU_INLINE const void* share(const void* x) { return x; }
  NARU_INLINE void start(const void*) { sum = vi_zero(); }
  NARU_INLINE void start_zero() { sum = vi_zero(); }
  template <int kStep>
  NARU_INLINE void step(const Weights& w, const void* x) {
    sum = vi_add(sum, vi_sum_pairs(vi_pairs(w.magnitude, take_sign(w, vi_splat(x)))));
  }
  NARU_INLINE VecInt finish() { return sum; }
};

#else

template <int kMax>
struct Dots {
  using Weights = VecBytes;
  VecInt sum;
  static Weights prepare(const VecBytes& w) { return w; }
  static const void* share(const void* x) { return x; }
  void start(const void* init) { sum = vi_splat(init); }
  void start_zero() { sum = VecInt{}; }
  template <int kStep>
  void step(const Weights& w, const void* x) {
    // Unsigned: the sum of w8a8 wraps on the way and is right at the end.
    for (int i = 0; i < kLanes; ++i) {
      uint32_t dot = 0;
      for (int j = 0; j < 4; ++j) {
        dot += static_cast<uint32_t>(static_cast<int32_t>(w.v[4 * i + j]) * v_element<int8_t>(x, j));
      }
      sum.v[i] = static_cast<int32_t>(static_cast<uint32_t>(sum.v[i]) + dot);
    }
  }
  VecInt finish() { return sum; }
};

#endif

constexpr int kPanelVectors = static_cast<int>(kPanel) / kLanes;  // vectors of a panel

}  // namespace naru::cpu::NARU_LEVEL
