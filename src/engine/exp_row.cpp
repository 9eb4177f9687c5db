// Why the vector form may leave out the flushing of scalar.h: a difference or quotient that is subnormal has exp 1, as
// 0 has; for others in [-88, 0] every intermediate is zero or normal (the remainder r is 0 or at least 2^-30, the
// polynomial near 1). So the bits are the same in every floating-point mode.
#include "engine/exp_row.h"

#include "contract/scalar.h"

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

bool has_avx2() {
  static const bool has = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
  return has;
}
#endif

}  // namespace

void exp_row(const float* x, int64_t n, float m, float temperature, float* e) {
#if defined(__x86_64__)
  if (has_avx2()) return exp_avx2(x, n, m, temperature, e);
#endif
  exp_scalar(x, n, m, temperature, e);
}

}  // namespace naru::engine
