// Scales of a few numbers that share them: the search for the least squared error, weighted, of what a reader will
// decode.
//
// Two forms: step * q (symmetric: least <= q <= most) and step * q + low (affine: 0 <= q <= top). A search tries a
// fixed list of steps near the one that spans all values: the values are rounded to integers by it, and these integers
// have a step (and a low) of least squares. Of equal errors the earlier wins.
//
// The bits do not depend on the machine: f32 operations in the order written, each rounded to nearest even, without
// contraction; sums go by four lanes (element i to lane i mod 4), added as (0 + 2) + (1 + 3). Values are zero or of a
// magnitude in [2^-20, 2) (quantise_blocks.cpp sees to it), so nothing is subnormal and nothing overflows.
#pragma once

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include <cstdint>

namespace naru::formats::fit {

typedef float Four __attribute__((vector_size(16)));

inline Four all(float x) {
  return Four{x, x, x, x};
}
inline float total(Four s) {
  return (s[0] + s[2]) + (s[1] + s[3]);
}
// Lane by lane; no NaN is among them, and which of two zeros is taken changes nothing.
inline Four lesser(Four a, Four b) {
#if defined(__SSE2__)
  return _mm_min_ps(a, b);
#else
  return a < b ? a : b;
#endif
}
inline Four greater(Four a, Four b) {
#if defined(__SSE2__)
  return _mm_max_ps(a, b);
#else
  return a > b ? a : b;
#endif
}
// The nearest integers, of two the even one; |x| < 2^22.
inline Four nearest_integers(Four x) {
  const Four shift = all(0x1.8p23f);
  return (x + shift) - shift;
}

template <int N>
struct Values {
  static constexpr int kFours = N / 4;
  Four four[kFours];
  Four weight[kFours];  // of each one's squared error

  float operator[](int i) const { return four[i / 4][i % 4]; }
};

// How values become integers: (x - low) * inverse, rounded, in [least, most].
struct Rounding {
  Four low, inverse, least, most;
  Rounding(float low_at, float inverse_step, float least_integer, float most_integer)
      : low(all(low_at)), inverse(all(inverse_step)), least(all(least_integer)), most(all(most_integer)) {}
  Four operator()(Four x) const { return nearest_integers(lesser(greater((x - low) * inverse, least), most)); }
};

template <int N>
Values<N> integers(const Values<N>& x, const Rounding& rounding) {
  Values<N> q;
  for (int i = 0; i < Values<N>::kFours; ++i) q.four[i] = rounding(x.four[i]);
  return q;
}

// Of the integers that a rounding gives and the values, weighted.
struct Sums {
  float q = 0, qq = 0, qx = 0;
};

template <int N>
Sums sums_of(const Values<N>& x, const Rounding& rounding) {
  Four sum = all(0), squares = all(0), products = all(0);
  for (int i = 0; i < Values<N>::kFours; ++i) {
    const Four q = rounding(x.four[i]);
    const Four weighted = x.weight[i] * q;
    sum += weighted;
    squares += weighted * q;
    products += weighted * x.four[i];
  }
  return {total(sum), total(squares), total(products)};
}

// Weighted squared error of step * q + low for the integers of a rounding.
template <int N>
float error_of(const Values<N>& x, const Rounding& rounding, float step, float low) {
  const Four steps = all(step), lows = all(low);
  Four sum = all(0);
  for (int i = 0; i < Values<N>::kFours; ++i) {
    const Four e = x.four[i] - (rounding(x.four[i]) * steps + lows);
    sum += x.weight[i] * (e * e);
  }
  return total(sum);
}

template <int N>
float sum_of(const Values<N>& x) {
  Four sum = all(0);
  for (int i = 0; i < Values<N>::kFours; ++i) sum += x.weight[i] * x.four[i];
  return total(sum);
}

template <int N>
float weight_of(const Values<N>& x) {
  Four sum = all(0);
  for (int i = 0; i < Values<N>::kFours; ++i) sum += x.weight[i];
  return total(sum);
}

struct Range {
  float least = 0, most = 0;
  float extreme() const { return -least > most ? least : most; }
};

template <int N>
Range range_of(const Values<N>& x) {
  Four least = x.four[0], most = x.four[0];
  for (int i = 1; i < Values<N>::kFours; ++i) {
    least = lesser(least, x.four[i]);
    most = greater(most, x.four[i]);
  }
  Range range{least[0], most[0]};
  for (int i = 1; i < 4; ++i) {
    range.least = least[i] < range.least ? least[i] : range.least;
    range.most = most[i] > range.most ? most[i] : range.most;
  }
  return range;
}

// --- symmetric ----------------------------------------------------------------------------------------------------

// The steps tried take the value of largest magnitude to an end of the integers, first + i * stride of them beyond it.
struct SymmetricKind {
  float least, most;  // of the integers
  float first, stride;
  int tries;
};

// The step of least squares, of either sign; 0 where all values are.
template <int N>
float best_step(const Values<N>& x, const SymmetricKind& kind) {
  const float extreme = range_of(x).extreme();
  if (extreme == 0) return 0;
  float best = 0, gain_max = 0;  // the squared error is what the values have less the gain
  for (const float end : {kind.least, kind.most}) {
    for (int i = 0; i < kind.tries; ++i) {
      const float beyond = kind.first + kind.stride * static_cast<float>(i);
      const float inverse = (end < 0 ? end - beyond : end + beyond) / extreme;
      const Sums sums = sums_of(x, Rounding(0, inverse, kind.least, kind.most));
      if (sums.qx * sums.qx > gain_max * sums.qq) {
        best = sums.qx / sums.qq;
        gain_max = sums.qx * best;
      }
    }
    if (kind.least == -kind.most) break;  // the other end gives the same
  }
  return best;
}

// --- affine -------------------------------------------------------------------------------------------------------

struct AffineKind {
  float top;             // of the integers
  bool is_low_negative;  // low <= 0
  float beyond[4];       // how far outside of [0, top] the two ends of the values are put, in integers
};

struct Line {
  float step = 0, low = 0;
};

// Of these sums; a step of 0 where they have none. Integers that are all alike have a line through 0.
inline Line least_squares(const Sums& sums, float sum_x, float weight, bool is_low_negative) {
  const float determinant = weight * sums.qq - sums.q * sums.q;
  if (!(determinant > 0)) return {is_low_negative && sums.qq > 0 ? sums.qx / sums.qq : 0.0f, 0};
  Line line{(weight * sums.qx - sums.q * sum_x) / determinant, (sums.qq * sum_x - sums.q * sums.qx) / determinant};
  if (is_low_negative && line.low > 0) line = {sums.qx / sums.qq, 0};
  return line;
}

// The line of least squares, its step >= 0; a step of 0 where one number is best for all values.
template <int N>
Line best_line(const Values<N>& x, const AffineKind& kind) {
  Range range = range_of(x);
  if (kind.is_low_negative && range.least > 0) range.least = 0;
  const float span = range.most - range.least;
  if (!(span > 0)) return {0, range.least};
  const float sum_x = sum_of(x), weight = weight_of(x);
  Line best{0, range.least};
  float gain_max = 0;
  const auto consider = [&](float below, float above) {
    const float inverse = (kind.top + below + above) / span;
    const Sums sums = sums_of(x, Rounding(range.least + below / inverse, inverse, 0, kind.top));
    const Line line = least_squares(sums, sum_x, weight, kind.is_low_negative);
    const float gain = line.step * sums.qx + line.low * sum_x;
    if (line.step > 0 && gain > gain_max) {
      best = line;
      gain_max = gain;
    }
  };
  for (const float below : kind.beyond) {
    for (const float above : kind.beyond) consider(below, above);
  }
  for (const float above : {0.0f, -1.0f, -2.0f}) consider(0, above);  // values that were such integers before
  return best;
}

}  // namespace naru::formats::fit
