// The scalar arithmetic itself: the functions of scalar.h against exact integer arithmetic, against this processor with
// flush-to-zero set, and against long double; double_math.h against long double; and, where the machine has it, the
// claim about VDPBF16PS on which kernels rest.
#include "contract/scalar.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "base/double_math.h"
#include "base/philox.h"
#include "contract/rows.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace naru {
namespace {

using contract::canonical_bits;

class Draws {
 public:
  explicit Draws(uint64_t seed) : seed_(seed) {}
  uint32_t bits() {
    if (next_ == 4) block_ = draw(seed_, DrawPurpose::kTest, 0, position_++), next_ = 0;
    return block_[next_++];
  }
  double uniform() { return static_cast<double>(bits()) * 0x1p-32; }
  // A random f32 of any sign with an exponent field in [low, high].
  float with_exponent(uint32_t low, uint32_t high) {
    const uint32_t random = bits(), exponent = low + bits() % (high - low + 1);
    return std::bit_cast<float>((random & 0x807fffffu) | exponent << 23);
  }
  float any() { return std::bit_cast<float>(bits()); }

 private:
  uint64_t seed_;
  uint64_t position_ = 0;
  size_t next_ = 4;
  PhiloxBlock block_{};
};

// Error of `got` in units of the last place of the f32 nearest to `exact`.
double ulps_f32(float got, long double exact) {
  int exponent = 0;
  std::frexp(exact, &exponent);
  return static_cast<double>(std::fabs(static_cast<long double>(got) - exact) / std::ldexp(1.0L, exponent - 24));
}
double ulps_f64(double got, long double exact) {
  int exponent = 0;
  std::frexp(exact, &exponent);
  return static_cast<double>(std::fabs(static_cast<long double>(got) - exact) / std::ldexp(1.0L, exponent - 53));
}

TEST(Scalar, EdgeOfTheNormalRange) {
  // 2^-126 - 1.5 * 2^-151 rounds below 2^-126 in 24 bits, 2^-126 - 2^-151 rounds to it.
  EXPECT_EQ(contract::fma(-0x1.8p-75f, 0x1p-76f, 0x1p-126f), 0.0f);
  EXPECT_EQ(contract::fma(-0x1p-75f, 0x1p-76f, 0x1p-126f), 0x1p-126f);
  EXPECT_EQ(canonical_bits(contract::fma(0x1.8p-75f, 0x1p-76f, -0x1p-126f)), 0x80000000u);
  EXPECT_EQ(contract::flush(0x1p-127f), 0.0f);
  EXPECT_EQ(canonical_bits(contract::flush(-0x1p-149f)), 0x80000000u);
  EXPECT_EQ(contract::add(0x1.8p-126f, -0x1p-126f), 0.0f);
  EXPECT_EQ(contract::mul(0x1p-127f, 0x1p+100f), 0.0f);
  EXPECT_EQ(canonical_bits(contract::max(-0x1p-140f, -0.0f)), 0x80000000u);
}

// a * b rounded to 24 bits with unbounded exponent, then flushed: by integers.
float product_by_integers(float a, float b) {
  a = contract::flush(a), b = contract::flush(b);
  if (a == 0.0f || b == 0.0f) return a * b;
  int ea = 0, eb = 0;
  const auto ma = static_cast<int64_t>(std::frexp(a, &ea) * 0x1p24f),
             mb = static_cast<int64_t>(std::frexp(b, &eb) * 0x1p24f);
  const uint64_t m = static_cast<uint64_t>(std::abs(ma)) * static_cast<uint64_t>(std::abs(mb));  // in [2^46, 2^48)
  const int drop = m >= uint64_t{1} << 47 ? 24 : 23;
  uint64_t kept = m >> drop;
  const uint64_t rest = m & ((uint64_t{1} << drop) - 1), half = uint64_t{1} << (drop - 1);
  if (rest > half || (rest == half && (kept & 1) != 0)) ++kept;
  const double exact = std::ldexp(static_cast<double>(kept), ea + eb - 48 + drop);
  const float sign = (ma < 0) != (mb < 0) ? -1.0f : 1.0f;
  return exact < 0x1p-126 ? std::copysign(0.0f, sign) : sign * static_cast<float>(exact);
}

TEST(Scalar, ProductsNearTheEdge) {
  Draws draws(1);
  for (int i = 0; i < 300000; ++i) {
    const float a = draws.with_exponent(1, 127);
    const auto exponent = static_cast<int>(std::bit_cast<uint32_t>(a) >> 23 & 0xffu);
    const int wanted = 127 - exponent + static_cast<int>(draws.bits() % 3);  // products in [2^-127, 2^-123)
    const float b = draws.with_exponent(static_cast<uint32_t>(wanted), static_cast<uint32_t>(wanted));
    ASSERT_EQ(canonical_bits(contract::mul(a, b)), canonical_bits(product_by_integers(a, b))) << a << ' ' << b;
  }
}

#if defined(__x86_64__)
struct FlushMode {
  FlushMode() { _mm_setcsr(saved | 0x8040u); }
  ~FlushMode() { _mm_setcsr(saved); }
  uint32_t saved = _mm_getcsr();
};

__m128 first(float x) {
  float kept = x;
  asm volatile("" : "+m"(kept));  // keeps the compiler from computing before the mode is set
  return _mm_load_ss(&kept);
}

TEST(Scalar, EqualsTheProcessorWithFlushToZero) {
  Draws draws(2);
  const auto pick = [&] {
    const uint32_t kind = draws.bits() % 4;
    return kind == 0 ? draws.any() : kind == 1 ? draws.with_exponent(0, 3) : draws.with_exponent(50, 140);
  };
  const FlushMode mode;
  for (int i = 0; i < 300000; ++i) {
    const float a = pick(), b = pick();
    const __m128 va = first(a), vb = first(b);
    ASSERT_EQ(canonical_bits(contract::add(a, b)), canonical_bits(_mm_cvtss_f32(_mm_add_ss(va, vb)))) << a << ' ' << b;
    ASSERT_EQ(canonical_bits(contract::sub(a, b)), canonical_bits(_mm_cvtss_f32(_mm_sub_ss(va, vb)))) << a << ' ' << b;
    ASSERT_EQ(canonical_bits(contract::mul(a, b)), canonical_bits(_mm_cvtss_f32(_mm_mul_ss(va, vb)))) << a << ' ' << b;
    ASSERT_EQ(canonical_bits(contract::div(a, b)), canonical_bits(_mm_cvtss_f32(_mm_div_ss(va, vb)))) << a << ' ' << b;
    ASSERT_EQ(canonical_bits(contract::sqrt(a)), canonical_bits(_mm_cvtss_f32(_mm_sqrt_ss(va)))) << a;
  }
}

__attribute__((target("fma"))) float processor_fma(float a, float b, float c) {
  return _mm_cvtss_f32(_mm_fmadd_ss(first(a), first(b), first(c)));
}

TEST(Scalar, FmaEqualsTheProcessorWithFlushToZero) {
  if (!__builtin_cpu_supports("fma")) GTEST_SKIP() << "this machine has no fma instruction";
  Draws draws(3);
  for (int i = 0; i < 300000; ++i) {
    const float a = draws.with_exponent(1, 250), c = draws.with_exponent(0, 30);
    // A product of about the size of c, near the smallest normal.
    const auto ea = static_cast<int>(std::bit_cast<uint32_t>(a) >> 23 & 0xffu);
    const int eb = std::clamp(127 - ea + static_cast<int>(draws.bits() % 30) - 24, 0, 254);
    const float b = draws.with_exponent(static_cast<uint32_t>(eb), static_cast<uint32_t>(eb));
    float got;
    {
      const FlushMode mode;
      got = processor_fma(a, b, c);
    }
    ASSERT_EQ(canonical_bits(contract::fma(a, b, c)), canonical_bits(got)) << a << ' ' << b << ' ' << c;
  }
}

__attribute__((target("avx512f,avx512bf16"))) void processor_dot_bf16(float* acc, const uint32_t* a,
                                                                      const uint32_t* b) {
  const __m512i va = _mm512_loadu_si512(a), vb = _mm512_loadu_si512(b);
  _mm512_storeu_ps(acc, _mm512_dpbf16_ps(_mm512_loadu_ps(acc), (__m512bh)va, (__m512bh)vb));
}

// acc = fma(upper halves), then the lower halves, with subnormals flushed at each step.
TEST(Scalar, DotInstructionIsTwoFmas) {
  if (!__builtin_cpu_supports("avx512bf16")) GTEST_SKIP() << "this machine has no VDPBF16PS";
  Draws draws(4);
  for (int round = 0; round < 40000; ++round) {
    std::array<uint32_t, 16> a, b;
    std::array<float, 16> acc, want;
    for (size_t i = 0; i < 16; ++i) {
      // All exponents, or products near the smallest normal with an accumulator beside them.
      const bool is_low = round % 2 == 0;
      const uint32_t base = is_low ? 50 + draws.bits() % 30 : 0;
      const auto half = [&](uint32_t low, uint32_t high) {
        return std::bit_cast<uint32_t>(draws.with_exponent(low, high)) >> 16;
      };
      a[i] = is_low ? half(base, base + 2) << 16 | half(base, base + 2) : draws.bits() & 0xbfffbfffu;
      b[i] = is_low ? half(125 - base, 130 - base) << 16 | half(125 - base, 130 - base) : draws.bits() & 0xbfffbfffu;
      acc[i] = is_low ? draws.with_exponent(0, 6) : draws.with_exponent(0, 253);
      const auto upper = [](uint32_t x) { return std::bit_cast<float>(x & 0xffff0000u); };
      const auto lower = [](uint32_t x) { return std::bit_cast<float>(x << 16); };
      want[i] = contract::fma(lower(a[i]), lower(b[i]), contract::fma(upper(a[i]), upper(b[i]), acc[i]));
    }
    const auto start = acc;
    processor_dot_bf16(acc.data(), a.data(), b.data());
    for (size_t i = 0; i < 16; ++i)
      ASSERT_EQ(canonical_bits(acc[i]), canonical_bits(want[i])) << std::hex << a[i] << ' ' << b[i] << ' ' << start[i];
  }
}
#endif

TEST(Scalar, Bf16Rounding) {
  EXPECT_EQ(f32_to_bf16(1.0f + 0x1p-8f), 0x3f80);    // tie to even, down
  EXPECT_EQ(f32_to_bf16(1.0f + 0x1.8p-7f), 0x3f82);  // tie to even, up
  EXPECT_EQ(f32_to_bf16(1.0f + 0x1.02p-8f), 0x3f81);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x7f7fffffu)), 0x7f80);  // overflow
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0xffa00001u)), 0x7fc0);  // NaN
  EXPECT_EQ(f32_to_bf16(-0x1.fffffcp-127f), 0x8000);                  // subnormal
  EXPECT_EQ(f32_to_bf16(0x1p-126f), 0x0080);
}

TEST(Scalar, Exp) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(contract::exp(0.0f), 1.0f);
  EXPECT_EQ(contract::exp(infinity), infinity);
  EXPECT_EQ(contract::exp(89.0f), infinity);
  EXPECT_EQ(canonical_bits(contract::exp(-infinity)), 0u);
  EXPECT_EQ(canonical_bits(contract::exp(-88.1f)), 0u);
  EXPECT_TRUE(std::isnan(contract::exp(nan)));
  EXPECT_EQ(contract::exp(0x1p-140f), 1.0f);
  double worst = 0;
  for (uint32_t bits = 0x33000000u; bits < 0x42b17218u; bits += 1031) {  // |x| from 2^-25 to 88.7
    for (const uint32_t sign : {0u, 0x80000000u}) {
      const float x = std::bit_cast<float>(bits | sign);
      if (x < -87.3f) continue;  // results below 2^-126 are +0
      worst = std::max(worst, ulps_f32(contract::exp(x), std::exp(static_cast<long double>(x))));
    }
  }
  EXPECT_LT(worst, 0.9);
  EXPECT_GE(worst, 0.5);
}

TEST(Scalar, Log) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(canonical_bits(contract::log(1.0f)), 0u);
  EXPECT_EQ(contract::log(0.0f), -infinity);
  EXPECT_EQ(contract::log(-0.0f), -infinity);
  EXPECT_EQ(contract::log(0x1p-127f), -infinity);
  EXPECT_EQ(contract::log(infinity), infinity);
  EXPECT_TRUE(std::isnan(contract::log(-1.0f)));
  EXPECT_TRUE(std::isnan(contract::log(nan)));
  double worst = 0;
  for (uint32_t bits = 0x00800000u; bits < 0x7f800000u; bits += 8191) {
    const float x = std::bit_cast<float>(bits);
    if (x == 1.0f) continue;
    worst = std::max(worst, ulps_f32(contract::log(x), std::log(static_cast<long double>(x))));
  }
  for (uint32_t bits = 0x3f000000u; bits < 0x40000000u; bits += 127) {  // where the result is small
    const float x = std::bit_cast<float>(bits);
    if (x == 1.0f) continue;
    worst = std::max(worst, ulps_f32(contract::log(x), std::log(static_cast<long double>(x))));
  }
  EXPECT_LT(worst, 0.83);
  EXPECT_GE(worst, 0.5);
}

TEST(Scalar, Rint) {
  for (const float x : {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 0.49999997f, 8388607.5f, 0x1p30f, -3.7f})
    EXPECT_EQ(canonical_bits(contract::rint(x)), canonical_bits(std::nearbyint(x))) << x;
}

TEST(DoubleMath, AgainstLongDouble) {
  Draws draws(5);
  double exp_worst = 0, log_worst = 0, sin_worst = 0, cos_worst = 0, pow_worst = 0;
  for (int i = 0; i < 20000; ++i) {
    const double x = (draws.uniform() - 0.5) * 1400;
    exp_worst = std::max(exp_worst, ulps_f64(exp_double(x), std::exp(static_cast<long double>(x))));
    const double y = std::ldexp(1 + draws.uniform(), static_cast<int>(draws.bits() % 2000) - 1000);
    log_worst = std::max(log_worst, ulps_f64(log_double(y), std::log(static_cast<long double>(y))));
    const double near = 1 + (draws.uniform() - 0.5) * std::ldexp(1.0, -static_cast<int>(draws.bits() % 30));
    if (near != 1)
      log_worst = std::max(log_worst, ulps_f64(log_double(near), std::log(static_cast<long double>(near))));
    // Angles are f32 (position times frequency), of all sizes up to 2^30.
    const auto angle =
        static_cast<double>(static_cast<float>(std::ldexp(draws.uniform(), static_cast<int>(draws.bits() % 50) - 20)));
    sin_worst = std::max(sin_worst, ulps_f64(sin_double(angle), std::sin(static_cast<long double>(angle))));
    cos_worst = std::max(cos_worst, ulps_f64(cos_double(angle), std::cos(static_cast<long double>(angle))));
    const double base = std::ldexp(1 + draws.uniform(), static_cast<int>(draws.bits() % 30)),
                 power = (draws.uniform() - 0.5) * 40;
    pow_worst = std::max(pow_worst, ulps_f64(pow_double(base, power), std::pow(static_cast<long double>(base),
                                                                               static_cast<long double>(power))));
  }
  EXPECT_LT(exp_worst, 1.0);
  EXPECT_LT(log_worst, 1.0);
  EXPECT_LT(sin_worst, 1.0);
  EXPECT_LT(cos_worst, 1.0);
  EXPECT_LT(pow_worst, 1.0);
}

TEST(Rows, TreeOfSegments) {
  // Five segments: ((0 + 1) + (2 + 3)) + 4, each result visible in the last place.
  const std::array<float, 5> x = {0x1p24f, 1.0f, -0x1p24f, 1.0f, 0x1p-20f};
  contract::SegmentSum sum;
  for (const float value : x) sum.push(value);
  using contract::add;
  EXPECT_EQ(sum.total(), add(add(add(x[0], x[1]), add(x[2], x[3])), x[4]));
  EXPECT_EQ(canonical_bits(contract::SegmentSum().total()), 0u);
}

TEST(Rows, LanesOfASum) {
  // One element a lane: 16 lanes added i + 8, i + 4, i + 2, i + 1.
  std::vector<float> x(16, 0.0f);
  x[0] = 0x1p24f, x[8] = 1.0f, x[4] = 1.0f, x[12] = 1.0f;
  EXPECT_EQ(contract::row_sum(x.data(), 16), contract::add(contract::add(0x1p24f, 1.0f), 2.0f));
  const std::vector<float> negative_zero(3, -0.0f);
  EXPECT_EQ(canonical_bits(contract::row_sum(negative_zero.data(), 3)), 0u);
  EXPECT_EQ(canonical_bits(contract::row_max(negative_zero.data(), 3)), 0u);
}

}  // namespace
}  // namespace naru
