// Why the vector form may leave out the flushing of scalar.h: a difference or quotient that is subnormal has exp 1, as
// 0 has; for others in [-88, 0] every intermediate is zero or normal (the remainder r is 0 or at least 2^-30, the
// polynomial near 1). So the bits are the same in every floating-point mode.
#include "engine/exp_row.h"

#include <algorithm>
#include <array>
#include <limits>

#include "contract/rows.h"
#include "contract/scalar.h"
#include "engine/kept_softmax.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace naru::engine {
namespace {

void exp_scalar(const float* x, int64_t n, float m, float temperature, float* e) {
  for (int64_t i = 0; i < n; ++i) e[i] = contract::exp(contract::div(contract::sub(x[i], m), temperature));
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) void exp_avx2(const float* x, int64_t n, float m, float temperature, float* e) {
  constexpr float kFactors[] = {
      1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f, 1.0f, 1.0f};
  const __m256 low = _mm256_set1_ps(-88.0f);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256 d = _mm256_sub_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(m));
    if (temperature != 1.0f) d = _mm256_div_ps(d, _mm256_set1_ps(temperature));
    const __m256 is_present = _mm256_cmp_ps(d, low, _CMP_GE_OQ);
    d = _mm256_max_ps(d, low);
    const __m256 k = _mm256_round_ps(_mm256_mul_ps(d, _mm256_set1_ps(0x1.715476p+0f)),
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fmadd_ps(k, _mm256_set1_ps(-0x1.62e4p-1f), d);
    r = _mm256_fmadd_ps(k, _mm256_set1_ps(-0x1.7f7d1cp-20f), r);
    __m256 p = _mm256_set1_ps(1.98756915e-4f);
    for (const float factor : kFactors) p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(factor));
    const __m256i bits = _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_cvtps_epi32(k), 23));
    // An exponent of 0 or less leaves an exponent field of 0, or a negative number: zero.
    const __m256i is_normal = _mm256_cmpgt_epi32(bits, _mm256_set1_epi32(0x007fffff));
    const __m256 value = _mm256_castsi256_ps(_mm256_and_si256(bits, is_normal));
    _mm256_storeu_ps(e + i, _mm256_and_ps(value, is_present));
  }
  exp_scalar(x + i, n - i, m, temperature, e + i);
}

// Of elements [0, n), n a multiple of 32; NaN is passed over (the second operand stands).
__attribute__((target("avx2"))) float largest_avx2(const float* x, int64_t n) {
  __m256 most[4];
  for (__m256& m : most) m = _mm256_set1_ps(-std::numeric_limits<float>::infinity());
  for (int64_t i = 0; i < n; i += 32) {
    for (int64_t k = 0; k < 4; ++k) most[k] = _mm256_max_ps(_mm256_loadu_ps(x + i + 8 * k), most[k]);
  }
  float lanes[8];
  _mm256_storeu_ps(lanes, _mm256_max_ps(_mm256_max_ps(most[0], most[1]), _mm256_max_ps(most[2], most[3])));
  return *std::max_element(lanes, lanes + 8);
}

// Weights as the bits of e * 2^40 + 2^52, less those of 2^52.
__attribute__((target("avx2"))) void sum_weights_avx2(const float* e, int64_t n_runs, uint64_t* sums) {
  const __m256d one = _mm256_set1_pd(kTokenWeightOne), base = _mm256_set1_pd(0x1p52);
  const __m256i base_bits = _mm256_castpd_si256(base);
  for (int64_t run = 0; run < n_runs; ++run, e += kWeightRun) {
    __m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int64_t i = 0; i < kWeightRun; i += 8) {
      for (int64_t half = 0; half < 2; ++half) {
        const __m256d wide = _mm256_cvtps_pd(_mm_loadu_ps(e + i + 4 * half));
        const __m256i bits = _mm256_castpd_si256(_mm256_add_pd(_mm256_mul_pd(wide, one), base));
        sum[half] = _mm256_add_epi64(sum[half], _mm256_sub_epi64(bits, base_bits));
      }
    }
    alignas(32) uint64_t lanes[4];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), _mm256_add_epi64(sum[0], sum[1]));
    sums[run] = lanes[0] + lanes[1] + lanes[2] + lanes[3];
  }
}

// Sixteen lanes of the elements [0, n), n a multiple of 16.
__attribute__((target("avx2"))) void sum_lanes_avx2(const float* e, int64_t n, float* lanes) {
  __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
  for (int64_t i = 0; i < n; i += 16) {
    low = _mm256_add_ps(low, _mm256_loadu_ps(e + i));
    high = _mm256_add_ps(high, _mm256_loadu_ps(e + i + 8));
  }
  _mm256_storeu_ps(lanes, low);
  _mm256_storeu_ps(lanes + 8, high);
}

bool has_avx2() {
  static const bool has = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
  return has;
}
#endif

void sum_lanes_scalar(const float* e, int64_t n, float* lanes) {
  for (int64_t lane = 0; lane < 16; ++lane) lanes[lane] = 0;
  for (int64_t i = 0; i < n; ++i) lanes[i % 16] += e[i];
}

}  // namespace

float largest_of(std::span<const float> x) {
  float largest = -std::numeric_limits<float>::infinity();
  size_t i = 0;
#if defined(__x86_64__)
  if (has_avx2()) {
    i = x.size() / 32 * 32;
    largest = largest_avx2(x.data(), static_cast<int64_t>(i));
  }
#endif
  for (; i < x.size(); ++i) largest = std::max(largest, x[i]);
  return largest;
}

void sum_weights(const float* e, int64_t n, uint64_t* sums) {
  int64_t i = 0;
#if defined(__x86_64__)
  if (has_avx2()) {
    sum_weights_avx2(e, n / kWeightRun, sums);
    i = n / kWeightRun * kWeightRun;
  }
#endif
  for (; i < n; i += kWeightRun) {
    uint64_t sum = 0;
    for (int64_t k = i; k < n && k < i + kWeightRun; ++k) sum += token_weight(e[k]);
    sums[i / kWeightRun] = sum;
  }
}

float sum_exps(const float* e, int64_t n) {
  contract::SegmentSum sum;
  for (int64_t begin = 0; begin < n; begin += contract::kSegment) {
    const int64_t count = std::min(n - begin, contract::kSegment), whole = count / 16 * 16;
    std::array<float, 16> lanes{};
#if defined(__x86_64__)
    if (has_avx2()) {
      sum_lanes_avx2(e + begin, whole, lanes.data());
    } else {
      sum_lanes_scalar(e + begin, whole, lanes.data());
    }
#else
    sum_lanes_scalar(e + begin, whole, lanes.data());
#endif
    for (int64_t i = whole; i < count; ++i) lanes[static_cast<size_t>(i - whole)] += e[begin + i];
    sum.push(contract::sum_lanes(lanes));
  }
  return sum.total();
}

void exp_row(const float* x, int64_t n, float m, float temperature, float* e) {
#if defined(__x86_64__)
  if (has_avx2()) return exp_avx2(x, n, m, temperature, e);
#endif
  exp_scalar(x, n, m, temperature, e);
}

}  // namespace naru::engine
