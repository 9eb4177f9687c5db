#include "chips/cpu/peak_kernels.h"

#include <cstddef>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace naru::cpu {
namespace {

#if defined(__x86_64__)

constexpr int kChains = 12;
// Written out by the preprocessor: a loop over an array would keep the chains in memory, and a template's function
// would lack the instructions that the attribute gives to its caller.
#define NARU_CHAINS(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)

void sse_f32(int64_t rounds) {
  const __m128 x = _mm_set1_ps(0.5f), y = _mm_set1_ps(1.0f);
  __m128 chains[kChains];
#define NARU_START(i) chains[i] = y;
#define NARU_STEP(i)                                   \
  chains[i] = _mm_add_ps(_mm_mul_ps(chains[i], x), y); \
  __asm__ volatile("" : "+x"(chains[i]));
  NARU_CHAINS(NARU_START)
  for (int64_t round = 0; round < rounds; ++round) {
    NARU_CHAINS(NARU_STEP)
  }
#undef NARU_START
#undef NARU_STEP
}

void sse_int8(int64_t rounds) {
  const __m128i x = _mm_set1_epi16(3);
  __m128i chains[kChains];
#define NARU_START(i) chains[i] = x;
#define NARU_STEP(i)                                                  \
  chains[i] = _mm_add_epi32(chains[i], _mm_madd_epi16(chains[i], x)); \
  __asm__ volatile("" : "+x"(chains[i]));
  NARU_CHAINS(NARU_START)
  for (int64_t round = 0; round < rounds; ++round) {
    NARU_CHAINS(NARU_STEP)
  }
#undef NARU_START
#undef NARU_STEP
}

__attribute__((target("avx2,fma"))) void avx2_f32(int64_t rounds) {
  const __m256 x = _mm256_set1_ps(0.5f), y = _mm256_set1_ps(1.0f);
  __m256 chains[kChains];
#define NARU_START(i) chains[i] = y;
#define NARU_STEP(i)                            \
  chains[i] = _mm256_fmadd_ps(chains[i], x, y); \
  __asm__ volatile("" : "+x"(chains[i]));
  NARU_CHAINS(NARU_START)
  for (int64_t round = 0; round < rounds; ++round) {
    NARU_CHAINS(NARU_STEP)
  }
#undef NARU_START
#undef NARU_STEP
}

__attribute__((target("avx2"))) void avx2_int8(int64_t rounds) {
  const __m256i x = _mm256_set1_epi8(3), ones = _mm256_set1_epi16(1);
  __m256i chains[kChains];
#define NARU_START(i) chains[i] = x;
#define NARU_STEP(i)                                                                                    \
  chains[i] = _mm256_add_epi32(chains[i], _mm256_madd_epi16(_mm256_maddubs_epi16(chains[i], x), ones)); \
  __asm__ volatile("" : "+x"(chains[i]));
  NARU_CHAINS(NARU_START)
  for (int64_t round = 0; round < rounds; ++round) {
    NARU_CHAINS(NARU_STEP)
  }
#undef NARU_START
#undef NARU_STEP
}

__attribute__((target("avx512f"))) void avx512_f32(int64_t rounds) {
  const __m512 x = _mm512_set1_ps(0.5f), y = _mm512_set1_ps(1.0f);
  __m512 chains[kChains];
#define NARU_START(i) chains[i] = y;
#define NARU_STEP(i)                            \
  chains[i] = _mm512_fmadd_ps(chains[i], x, y); \
  __asm__ volatile("" : "+v"(chains[i]));
  NARU_CHAINS(NARU_START)
  for (int64_t round = 0; round < rounds; ++round) {
    NARU_CHAINS(NARU_STEP)
  }
#undef NARU_START
#undef NARU_STEP
}

__attribute__((target("avx512f,avx512bw"))) void avx512_int8(int64_t rounds) {
  const __m512i x = _mm512_set1_epi8(3), ones = _mm512_set1_epi16(1);
  __m512i chains[kChains];
#define NARU_START(i) chains[i] = x;
#define NARU_STEP(i)                                                                                    \
  chains[i] = _mm512_add_epi32(chains[i], _mm512_madd_epi16(_mm512_maddubs_epi16(chains[i], x), ones)); \
  __asm__ volatile("" : "+v"(chains[i]));
  NARU_CHAINS(NARU_START)
  for (int64_t round = 0; round < rounds; ++round) {
    NARU_CHAINS(NARU_STEP)
  }
#undef NARU_START
#undef NARU_STEP
}

__attribute__((target("avx512f,avx512bf16"))) void avx512_bf16(int64_t rounds) {
  const __m512 one = _mm512_set1_ps(1.0f);
  __m512bh x;
  std::memcpy(&x, &one, sizeof(x));
  __m512 chains[kChains];
#define NARU_START(i) chains[i] = one;
#define NARU_STEP(i)                             \
  chains[i] = _mm512_dpbf16_ps(chains[i], x, x); \
  __asm__ volatile("" : "+v"(chains[i]));
  NARU_CHAINS(NARU_START)
  for (int64_t round = 0; round < rounds; ++round) {
    NARU_CHAINS(NARU_STEP)
  }
#undef NARU_START
#undef NARU_STEP
}

__attribute__((target("avx512f,avx512vnni"))) void avx512_vnni(int64_t rounds) {
  const __m512i x = _mm512_set1_epi8(3);
  __m512i chains[kChains];
#define NARU_START(i) chains[i] = x;
#define NARU_STEP(i)                                \
  chains[i] = _mm512_dpbusd_epi32(chains[i], x, x); \
  __asm__ volatile("" : "+v"(chains[i]));
  NARU_CHAINS(NARU_START)
  for (int64_t round = 0; round < rounds; ++round) {
    NARU_CHAINS(NARU_STEP)
  }
#undef NARU_START
#undef NARU_STEP
}

// Four accumulators (tiles 0 to 3) from two tiles each of rows (4, 5) and weights (6, 7), as the chip's kernels do.
// Written as text, so that no compiler flag is needed here.
#define NARU_FOUR_TILES(INSTRUCTION)                                                                               \
  __asm__ volatile(INSTRUCTION " %%tmm6, %%tmm4, %%tmm0\n\t" INSTRUCTION " %%tmm7, %%tmm4, %%tmm1\n\t" INSTRUCTION \
                               " %%tmm6, %%tmm5, %%tmm2\n\t" INSTRUCTION " %%tmm7, %%tmm5, %%tmm3" ::              \
                                   : "memory")
#define NARU_ZERO_TILES                                                              \
  __asm__ volatile(                                                                  \
      "tilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3\n\t" \
      "tilezero %%tmm4\n\ttilezero %%tmm5\n\ttilezero %%tmm6\n\ttilezero %%tmm7" ::  \
          : "memory")

void amx_bf16(int64_t rounds) {
  NARU_ZERO_TILES;
  for (int64_t i = 0; i < rounds; ++i) NARU_FOUR_TILES("tdpbf16ps");
}

void amx_int8(int64_t rounds) {
  NARU_ZERO_TILES;
  for (int64_t i = 0; i < rounds; ++i) NARU_FOUR_TILES("tdpbusd");
}

constexpr double per_round(int lanes, int operations_each) {
  return static_cast<double>(kChains) * lanes * operations_each;
}

#else

// Plain C++ for other processors.
void plain_f32(int64_t rounds) {
  float chains[8] = {1, 1, 1, 1, 1, 1, 1, 1};
  for (int64_t i = 0; i < rounds; ++i) {
    for (float& chain : chains) chain = chain * 0.5f + 1.0f;
    __asm__ volatile("" : : "r"(&chains) : "memory");
  }
}

void plain_int8(int64_t rounds) {
  int32_t chains[8] = {3, 3, 3, 3, 3, 3, 3, 3};
  for (int64_t i = 0; i < rounds; ++i) {
    for (int32_t& chain : chains) chain = static_cast<int8_t>(chain) * 3 + chain % 5;
    __asm__ volatile("" : : "r"(&chains) : "memory");
  }
}

#endif

}  // namespace

PeakKernels peak_kernels(std::string_view level) {
#if defined(__x86_64__)
  const PeakKernel fma_512{"vfmadd 512", per_round(16, 2), avx512_f32};
  if (level == "amx") {
    constexpr double kTile = 2.0 * 16 * 16 * 32;
    return {fma_512, {"tdpbf16ps", 4 * kTile, amx_bf16}, {"tdpbusd", 8 * kTile, amx_int8}};
  }
  if (level == "avx512vnni") {
    return {fma_512, {"vdpbf16ps", per_round(32, 2), avx512_bf16}, {"vpdpbusd", per_round(64, 2), avx512_vnni}};
  }
  if (level == "avx512") return {fma_512, fma_512, {"vpmaddubsw 512", per_round(64, 2), avx512_int8}};
  if (level == "avx2") {
    const PeakKernel fma_256{"vfmadd 256", per_round(8, 2), avx2_f32};
    return {fma_256, fma_256, {"vpmaddubsw 256", per_round(32, 2), avx2_int8}};
  }
  const PeakKernel sse{"mulps, addps", per_round(4, 2), sse_f32};
  return {sse, sse, {"pmaddwd", per_round(8, 2), sse_int8}};
#else
  (void)level;
  const PeakKernel plain{"plain C++", 16, plain_f32};
  return {plain, plain, {"plain C++", 16, plain_int8}};
#endif
}

uint64_t read_memory(const std::byte* data, int64_t n) {
  uint64_t sums[8] = {};
#if defined(__x86_64__)
  __m128i lanes[8];
  for (__m128i& lane : lanes) lane = _mm_setzero_si128();
  for (int64_t i = 0; i < n; i += 128) {
    for (int64_t j = 0; j < 8; ++j) {
      lanes[j] = _mm_add_epi64(lanes[j], _mm_load_si128(reinterpret_cast<const __m128i*>(data + i + 16 * j)));
    }
  }
  for (int j = 0; j < 8; ++j) sums[j] = static_cast<uint64_t>(_mm_cvtsi128_si64(lanes[j]));
#else
  for (int64_t i = 0; i < n; i += 64) {
    for (int64_t j = 0; j < 8; ++j) {
      uint64_t value;
      std::memcpy(&value, data + i + 8 * j, 8);
      sums[j] += value;
    }
  }
#endif
  uint64_t sum = 0;
  for (const uint64_t s : sums) sum += s;
  return sum;
}

}  // namespace naru::cpu
