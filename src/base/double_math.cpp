#include "base/double_math.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/check.h"

namespace naru {
namespace {

constexpr double kLn2High = 0x1.62e42fee00000p-1;  // ln 2 with 20 trailing zero bits, so that n * kLn2High is exact
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;

// A sum of two doubles, |low| <= ulp(high) / 2.
struct DoubleDouble {
  double high;
  double low;
};

DoubleDouble fast_two_sum(double a, double b) {  // |a| >= |b|
  const double s = a + b;
  return {s, b - (s - a)};
}

DoubleDouble two_sum(double a, double b) {
  const double s = a + b;
  const double t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}

DoubleDouble multiply(DoubleDouble a, DoubleDouble b) {
  const double p = a.high * b.high;
  const double e = std::fma(a.high, b.high, -p) + (a.high * b.low + a.low * b.high);
  return fast_two_sum(p, e);
}

DoubleDouble add(DoubleDouble a, DoubleDouble b) {
  const DoubleDouble s = two_sum(a.high, b.high);
  return fast_two_sum(s.high, s.low + (a.low + b.low));
}

DoubleDouble divide(DoubleDouble a, DoubleDouble b) {
  const double q = a.high / b.high;
  const double r = std::fma(-q, b.high, a.high) + (a.low - q * b.low);
  return fast_two_sum(q, r / b.high);
}

// x = m * 2^e with m in [sqrt(1/2), sqrt(2)); x normal and positive.
double split_exponent(double x, int& e) {
  uint64_t bits = std::bit_cast<uint64_t>(x);
  e = static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0x000fffffffffffffull) | 0x3ff0000000000000ull);
  if (m > 0x1.6a09e667f3bcdp+0) {
    m *= 0.5;
    e += 1;
  }
  return m;
}

// ln x = e ln 2 + 2 artanh((m - 1) / (m + 1)), the series in double-double for its first terms.
DoubleDouble log_double_double(double x) {
  int e = 0;
  const double m = split_exponent(x, e);
  const DoubleDouble s = divide({m - 1.0, 0.0}, two_sum(m, 1.0));
  const DoubleDouble z = multiply(s, s);  // z <= 0.0295
  // sum over k >= 1 of z^k / (2k + 1); the tail from k = 4 on is below 2^-22 of the head: a double is enough.
  double tail = 1.0 / 37.0;
  for (int k = 17; k >= 5; --k) tail = std::fma(tail, z.high, 1.0 / (2 * k + 1));
  DoubleDouble series{tail * z.high, 0.0};
  for (int k = 4; k >= 1; --k) {
    const double denominator = 2 * k + 1;
    series = multiply(add(divide({1.0, 0.0}, {denominator, 0.0}), series), z);
  }
  const DoubleDouble log_m = multiply({2 * s.high, 2 * s.low}, add({1.0, 0.0}, series));
  const double n = e;
  return add(add({n * kLn2High, 0.0}, {n * kLn2Low, 0.0}), log_m);
}

double scale_by_power_of_two(double x, int n) {
  while (n > 1000) x *= 0x1p1000, n -= 1000;
  while (n < -1000) x *= 0x1p-1000, n += 1000;
  return x * std::bit_cast<double>(static_cast<uint64_t>(n + 1023) << 52);
}

// exp(high + low).
double exp_of(DoubleDouble x) {
  if (std::isnan(x.high)) return x.high;
  if (x.high > 709.8) return std::numeric_limits<double>::infinity();
  if (x.high < -745.2) return 0.0;
  const double n = std::nearbyint(x.high * 0x1.71547652b82fep+0);
  const DoubleDouble r0 = two_sum(std::fma(-n, kLn2High, x.high), -n * kLn2Low);
  const DoubleDouble r = fast_two_sum(r0.high, r0.low + x.low);  // |r| <= 0.3466
  // exp r = 1 + r + r^2/2 + ...: the polynomial from r^3 on is small, the head is summed with its error.
  double p = 1.0 / 6402373705728000.0;  // 1/18!
  constexpr double kInverseFactorials[] = {1.0 / 6,
                                           1.0 / 24,
                                           1.0 / 120,
                                           1.0 / 720,
                                           1.0 / 5040,
                                           1.0 / 40320,
                                           1.0 / 362880,
                                           1.0 / 3628800,
                                           1.0 / 39916800.,
                                           1.0 / 479001600.,
                                           1.0 / 6227020800.,
                                           1.0 / 87178291200.,
                                           1.0 / 1307674368000.,
                                           1.0 / 20922789888000.,
                                           1.0 / 355687428096000.};
  for (int k = 14; k >= 0; --k) p = std::fma(p, r.high, kInverseFactorials[k]);
  const double square = r.high * r.high;
  const double square_error = std::fma(r.high, r.high, -square);
  const double rest = std::fma(square * r.high, p, 0.5 * square_error) + (r.low + r.low * r.high);
  const DoubleDouble head = fast_two_sum(1.0, r.high);
  const DoubleDouble sum = two_sum(head.high, 0.5 * square);
  return scale_by_power_of_two(sum.high + (sum.low + (head.low + rest)), static_cast<int>(n));
}

// x - n * pi/2 in three parts; exact enough while n < 2^31.
DoubleDouble reduce_half_pi(double x, int64_t& quadrant) {
  constexpr double kPart1 = 0x1.921fb54400000p+0;  // 33 bits each for the first two
  constexpr double kPart2 = 0x1.0b4611a600000p-34;
  constexpr double kPart3 = 0x1.3198a2e037073p-69;
  const double n = std::nearbyint(x * 0x1.45f306dc9c883p-1);
  quadrant = static_cast<int64_t>(n);
  const double product_2 = n * kPart2;
  const double product_2_error = std::fma(n, kPart2, -product_2);
  const DoubleDouble first = two_sum(std::fma(-n, kPart1, x), -product_2);
  return fast_two_sum(first.high, first.low - product_2_error - n * kPart3);
}

double sin_kernel(DoubleDouble r) {  // |r| <= pi/4
  const double z = r.high * r.high;
  double p = -1.0 / 121645100408832000.0;  // -1/19!
  constexpr double kTerms[] = {-1.0 / 6,
                               1.0 / 120,
                               -1.0 / 5040,
                               1.0 / 362880,
                               -1.0 / 39916800.0,
                               1.0 / 6227020800.0,
                               -1.0 / 1307674368000.0,
                               1.0 / 355687428096000.0};
  for (int k = 7; k >= 0; --k) p = std::fma(p, z, kTerms[k]);
  return r.high + std::fma(r.high * z, p, std::fma(-0.5 * z, r.low, r.low));
}

double cos_kernel(DoubleDouble r) {
  const double z = r.high * r.high;
  double p = 1.0 / 2432902008176640000.0;  // 1/20!
  constexpr double kTerms[] = {1.0 / 24,
                               -1.0 / 720,
                               1.0 / 40320,
                               -1.0 / 3628800,
                               1.0 / 479001600.0,
                               -1.0 / 87178291200.0,
                               1.0 / 20922789888000.0,
                               -1.0 / 6402373705728000.0};
  for (int k = 7; k >= 0; --k) p = std::fma(p, z, kTerms[k]);
  const double half = 0.5 * z;
  const double head = 1.0 - half;
  return head + (((1.0 - head) - half) + std::fma(z * z, p, -r.high * r.low - 0.5 * std::fma(r.high, r.high, -z)));
}

}  // namespace

double exp_double(double x) {
  return exp_of({x, 0.0});
}

double log_double(double x) {
  NARU_CHECK(x >= std::numeric_limits<double>::min() && x <= std::numeric_limits<double>::max(), x);
  const DoubleDouble r = log_double_double(x);
  return r.high + r.low;
}

double pow_double(double base, double y) {
  NARU_CHECK(base >= std::numeric_limits<double>::min() && base <= std::numeric_limits<double>::max(), base);
  return exp_of(multiply(log_double_double(base), {y, 0.0}));
}

double sin_double(double x) {
  NARU_CHECK(std::fabs(x) <= 0x1p30, x);
  int64_t quadrant = 0;
  const DoubleDouble r = reduce_half_pi(x, quadrant);
  switch (quadrant & 3) {
    case 0: return sin_kernel(r);
    case 1: return cos_kernel(r);
    case 2: return -sin_kernel(r);
    default: return -cos_kernel(r);
  }
}

double cos_double(double x) {
  NARU_CHECK(std::fabs(x) <= 0x1p30, x);
  int64_t quadrant = 0;
  const DoubleDouble r = reduce_half_pi(x, quadrant);
  switch (quadrant & 3) {
    case 0: return cos_kernel(r);
    case 1: return -sin_kernel(r);
    case 2: return -cos_kernel(r);
    default: return sin_kernel(r);
  }
}

}  // namespace naru
