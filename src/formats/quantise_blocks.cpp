// Kinds of 32: the best step (and low), then the f16 numbers near it that are really written. K kinds: the best step of
// each sub-block alone, then a scale of the block that the sub-blocks' small integers multiply; each sub-block chooses
// its integers again for that scale, and the block its scale for those integers, while that gains.
#include "formats/quantise_blocks.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "base/float_bits.h"
#include "formats/ggml_blocks.h"
#include "formats/quant_block_writer.h"
#include "formats/scale_search.h"

namespace naru::formats {
namespace {

using fit::Line;
using fit::Rounding;
using fit::Values;

constexpr fit::SymmetricKind kFourBits{-8, 7, -0.9f, 0.2f, 12};
constexpr fit::SymmetricKind kFiveBits{-16, 15, -0.9f, 0.2f, 12};
constexpr fit::SymmetricKind kSixBits{-32, 31, -0.9f, 0.3f, 8};
constexpr fit::SymmetricKind kEightBits{-127, 127, -0.6f, 0.2f, 12};
constexpr float kBeyond[] = {-0.4f, -0.1f, 0.2f, 0.5f};
constexpr int kRounds = 3;  // of refining a block's scales; the third gains a thousandth of the error

constexpr fit::AffineKind affine_kind(int top, bool is_low_negative) {
  return {static_cast<float>(top), is_low_negative, {kBeyond[0], kBeyond[1], kBeyond[2], kBeyond[3]}};
}

// 2^exponent, |exponent| <= 1022.
double power_of_two(int exponent) {
  return std::bit_cast<double>(static_cast<uint64_t>(1023 + exponent) << 52);
}

// The unit of a block's numbers while it is searched: 2^exponent.
struct Unit {
  int exponent = 0;

  // The number that is written as f16 where `value` is wanted, in this unit.
  float stored(float value) const {
    const double real = static_cast<double>(value) * power_of_two(exponent);
    return back(f32_to_f16(static_cast<float>(std::clamp(real, -65504.0, 65504.0))));
  }
  // The same, but no nearer to zero by more than a share of 1/256, as can be below f16's normal numbers: a scale that
  // its largest multiple does not reach with would cost more than one that is a little coarse.
  float stored_enough(float value) const {
    const float near = stored(value);
    if (std::abs(near) >= std::abs(value) * (255.0f / 256)) return near;
    return near == 0 ? back(value < 0 ? 0x8001u : 1u) : neighbour(near, 1);
  }
  // The f16 number so many places further from zero than `value`, which is one; itself where there is none.
  float neighbour(float value, int places) const {
    const int bits = f32_to_f16(written(value)), moved = bits + places;
    return (bits & 0x7fff) == 0 || (moved & 0x7fff) >= 0x7c00 ? value : back(static_cast<uint16_t>(moved));
  }
  // What stands in the block.
  float written(float value) const { return static_cast<float>(static_cast<double>(value) * power_of_two(exponent)); }

 private:
  float back(uint16_t bits) const {
    return static_cast<float>(static_cast<double>(f16_to_f32(bits)) * power_of_two(-exponent));
  }
};

// A value as the search sees it: subnormals and what is not finite are zero.
float plain_value(float value) {
  const uint32_t exponent = std::bit_cast<uint32_t>(value) & 0x7f800000u;
  return exponent == 0 || exponent == 0x7f800000u ? 0.0f : value;
}

// An error's weight is the root of the mean square and the value's own, added: from 1 to about 2.5 times the mean's. So
// the logits of SmolLM2 come nearer than by llama.cpp's quantisers in every kind (tools/oracle/compare_quantisers.py);
// without weights Q5_0 did not.
template <int N>
void weigh(Values<N>& x) {
  fit::Four squares = fit::all(0);
  for (const fit::Four& four : x.four) squares += four * four;
  const float mean = fit::total(squares) / N;
  for (int i = 0; i < N; ++i) {
    const float square = mean + x[i] * x[i];
    x.weight[i / 4][i % 4] = square > 0 ? std::sqrt(square) : 1.0f;
  }
}

// `n` values as Values of N, in the unit that is returned.
template <int N>
Unit scale_block(const float* values, int64_t n, Values<N>* out) {
  float largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(plain_value(values[i])));
  if (largest == 0) {
    for (int64_t v = 0; v < n / N; ++v) out[v] = {}, weigh(out[v]);
    return {};
  }
  const Unit unit{static_cast<int>(std::bit_cast<uint32_t>(largest) >> 23) - 127};
  const double factor = power_of_two(-unit.exponent);
  for (int64_t i = 0; i < n; ++i) {
    const auto scaled = static_cast<float>(static_cast<double>(plain_value(values[i])) * factor);
    out[i / N].four[i % N / 4][i % 4] = std::abs(scaled) < 0x1p-20f ? 0.0f : scaled;
  }
  for (int64_t v = 0; v < n / N; ++v) weigh(out[v]);
  return unit;
}

template <int N>
void store_integers(const Values<N>& x, const Rounding& rounding, int8_t* q) {
  const Values<N> integers = fit::integers(x, rounding);
  for (int i = 0; i < N; ++i) q[i] = static_cast<int8_t>(integers[i]);
}

// --- blocks of 32 -------------------------------------------------------------------------------------------------

Rounding by_step(float step, const fit::SymmetricKind& kind) {
  return {0, step == 0 ? 0.0f : 1.0f / step, kind.least, kind.most};
}

// Q4_0, Q5_0, Q8_0.
class Symmetric {
 public:
  Symmetric(const float* values, const fit::SymmetricKind& kind) : kind_(kind), unit_(scale_block(values, 32, &x_)) {
    error_min_ = error_of(0);
    try_from(fit::best_step(x_, kind));
    try_from(fit::range_of(x_).extreme() / kind.least);
    const float best = best_;
    for (const int places : {-1, 1}) take(unit_.neighbour(best, places));
  }

  void write(QuantBlock& block) const {
    block.d = unit_.written(best_);
    store_integers(x_, by_step(best_, kind_), block.q);
  }

 private:
  float error_of(float step) const { return fit::error_of(x_, by_step(step, kind_), step, 0); }
  bool take(float step) {
    const float error = error_of(step);
    if (!(error < error_min_)) return false;
    best_ = step, error_min_ = error;
    return true;
  }
  // The number that can be written for this step, then the one that least squares want for its integers.
  void try_from(float wanted) {
    float step = unit_.stored_enough(wanted);
    for (int round = 0; round < kRounds && step != 0 && take(step); ++round) {
      const fit::Sums sums = fit::sums_of(x_, by_step(step, kind_));
      step = sums.qq > 0 ? unit_.stored(sums.qx / sums.qq) : 0.0f;
    }
  }

  const fit::SymmetricKind& kind_;
  Values<32> x_;
  Unit unit_;
  float best_ = 0, error_min_ = 0;
};

Rounding by_line(const Line& line, float top) {
  return {line.low, line.step == 0 ? 0.0f : 1.0f / line.step, 0, top};
}

// Q4_1, Q5_1.
class Affine {
 public:
  Affine(const float* values, int top) : kind_(affine_kind(top, false)), unit_(scale_block(values, 32, &x_)) {
    const fit::Range range = fit::range_of(x_);
    best_ = {0, unit_.stored(fit::sum_of(x_) / fit::weight_of(x_))};
    error_min_ = error_of(best_);
    try_from(fit::best_line(x_, kind_));
    try_from({(range.most - range.least) / kind_.top, range.least});
  }

  void write(QuantBlock& block) const {
    block.d = unit_.written(best_.step);
    block.m = unit_.written(best_.low);
    store_integers(x_, by_line(best_, kind_.top), block.q);
  }

 private:
  float error_of(const Line& line) const { return fit::error_of(x_, by_line(line, kind_.top), line.step, line.low); }
  void try_from(const Line& wanted) {
    Line line{unit_.stored_enough(wanted.step), unit_.stored(wanted.low)};
    const float sum_x = fit::sum_of(x_);
    for (int round = 0; round < kRounds && line.step > 0; ++round) {
      const float error = error_of(line);
      if (!(error < error_min_)) return;
      best_ = line, error_min_ = error;
      const Line next =
          fit::least_squares(fit::sums_of(x_, by_line(line, kind_.top)), sum_x, fit::weight_of(x_), false);
      line = {unit_.stored(next.step), unit_.stored(next.low)};
    }
  }

  fit::AffineKind kind_;
  Values<32> x_;
  Unit unit_;
  Line best_;
  float error_min_ = 0;
};

// --- super-blocks of 256 ------------------------------------------------------------------------------------------

// An integer of [least, most] near the quotient; 0 where the unit is.
int nearest_multiple(float value, float unit, int least, int most) {
  if (unit == 0) return 0;
  const float quotient = std::clamp(value / unit, static_cast<float>(least), static_cast<float>(most));
  return static_cast<int>(fit::nearest_integers(fit::all(quotient))[0]);
}

// Q4_K and Q5_K: d * sc * q - dmin * mn in eight sub-blocks of 32.
class SuperAffine {
 public:
  SuperAffine(const float* values, int top) : top_(static_cast<float>(top)), unit_(scale_block(values, 256, x_)) {
    const fit::AffineKind kind = affine_kind(top, true);
    float step_max = 0, minus_max = 0;
    for (size_t b = 0; b < 8; ++b) {
      wanted_[b] = fit::best_line(x_[b], kind);
      step_max = std::max(step_max, wanted_[b].step);
      minus_max = std::max(minus_max, -wanted_[b].low);
    }
    best_ = choose(unit_.stored_enough(step_max / 63), unit_.stored_enough(minus_max / 63));
    for (int round = 1; round < kRounds && best_.error > 0; ++round) {
      const Choice next = refined();
      if (!(next.error < best_.error)) break;
      best_ = next;
    }
  }

  void write(QuantBlock& block) const {
    block.d = unit_.written(best_.d);
    block.m = unit_.written(best_.dmin);
    for (size_t b = 0; b < 8; ++b) {
      block.sc[b] = static_cast<int8_t>(best_.sc[b]);
      block.mn[b] = static_cast<uint8_t>(best_.mn[b]);
      store_integers(x_[b], by_line(best_.line(b), top_), block.q + 32 * b);
    }
  }

 private:
  struct Choice {
    float d = 0, dmin = 0;
    std::array<int, 8> sc{}, mn{};
    float error = 0;
    Line line(size_t b) const { return {d * static_cast<float>(sc[b]), -(dmin * static_cast<float>(mn[b]))}; }
  };

  // For these scales of the block: of each sub-block the integers next to what it wants, by the error that they make.
  Choice choose(float d, float dmin) const {
    Choice choice{d, dmin, {}, {}, 0};
    for (size_t b = 0; b < 8; ++b) {
      const int sc = nearest_multiple(wanted_[b].step, d, 0, 63), mn = nearest_multiple(-wanted_[b].low, dmin, 0, 63);
      float error_min = -1;
      for (int s = std::max(sc - 1, 0); s <= std::min(sc + 1, 63); ++s) {
        for (int m = std::max(mn - 1, 0); m <= std::min(mn + 1, 63); ++m) {
          const Line line{d * static_cast<float>(s), -(dmin * static_cast<float>(m))};
          const float error = fit::error_of(x_[b], by_line(line, top_), line.step, line.low);
          if (error_min >= 0 && !(error < error_min)) continue;
          error_min = error;
          choice.sc[b] = s, choice.mn[b] = m;
        }
      }
      choice.error += error_min;
    }
    return choice;
  }

  // The scales of the block that least squares want for the integers of the best choice, and the choice for them.
  Choice refined() const {
    // Of x = d * u - dmin * v: u = sc * q, v = mn.
    float uu = 0, uv = 0, vv = 0, ux = 0, vx = 0;
    for (size_t b = 0; b < 8; ++b) {
      const fit::Sums sums = fit::sums_of(x_[b], by_line(best_.line(b), top_));
      const auto sc = static_cast<float>(best_.sc[b]), mn = static_cast<float>(best_.mn[b]);
      uu += sc * sc * sums.qq;
      uv += sc * mn * sums.q;
      vv += mn * mn * fit::weight_of(x_[b]);
      ux += sc * sums.qx;
      vx += mn * fit::sum_of(x_[b]);
    }
    const float determinant = uu * vv - uv * uv;
    float d = best_.d, dmin = best_.dmin;
    if (determinant > 0) {
      d = (vv * ux - uv * vx) / determinant;
      dmin = (uv * ux - uu * vx) / determinant;
    } else if (uu > 0) {
      d = ux / uu;
    }
    if (!(d > 0) || dmin < 0) return best_;
    return choose(unit_.stored(d), unit_.stored(dmin));
  }

  float top_;
  Values<32> x_[8];
  Unit unit_;
  std::array<Line, 8> wanted_;
  Choice best_;
};

// Q6_K: d * sc * q in sixteen sub-blocks of 16.
class SuperSymmetric {
 public:
  explicit SuperSymmetric(const float* values) : unit_(scale_block(values, 256, x_)) {
    float extreme = 0;
    for (size_t b = 0; b < 16; ++b) {
      wanted_[b] = fit::best_step(x_[b], kSixBits);
      if (std::abs(wanted_[b]) > std::abs(extreme)) extreme = wanted_[b];
    }
    best_ = choose(unit_.stored_enough(extreme / -128));
    for (int round = 1; round < kRounds && best_.error > 0; ++round) {
      const Choice next = choose(unit_.stored(best_d()));
      if (!(next.error < best_.error)) break;
      best_ = next;
    }
  }

  void write(QuantBlock& block) const {
    block.d = unit_.written(best_.d);
    for (size_t b = 0; b < 16; ++b) {
      block.sc[b] = static_cast<int8_t>(best_.sc[b]);
      store_integers(x_[b], by_step(best_.step(b), kSixBits), block.q + 16 * b);
    }
  }

 private:
  struct Choice {
    float d = 0;
    std::array<int, 16> sc{};
    float error = 0;
    float step(size_t b) const { return d * static_cast<float>(sc[b]); }
  };

  Choice choose(float d) const {
    Choice choice{d, {}, 0};
    for (size_t b = 0; b < 16; ++b) {
      const int sc = nearest_multiple(wanted_[b], d, -128, 127);
      float error_min = -1;
      for (int s = std::max(sc - 1, -128); s <= std::min(sc + 1, 127); ++s) {
        const float step = d * static_cast<float>(s);
        const float error = fit::error_of(x_[b], by_step(step, kSixBits), step, 0);
        if (error_min >= 0 && !(error < error_min)) continue;
        error_min = error;
        choice.sc[b] = s;
      }
      choice.error += error_min;
    }
    return choice;
  }

  // The scale of the block that least squares want for the integers of the best choice.
  float best_d() const {
    float uu = 0, ux = 0;
    for (size_t b = 0; b < 16; ++b) {
      const fit::Sums sums = fit::sums_of(x_[b], by_step(best_.step(b), kSixBits));
      const auto sc = static_cast<float>(best_.sc[b]);
      uu += sc * sc * sums.qq;
      ux += sc * sums.qx;
    }
    return uu > 0 ? ux / uu : best_.d;
  }

  Values<16> x_[16];
  Unit unit_;
  std::array<float, 16> wanted_;
  Choice best_;
};

void encode_block(DType dtype, const float* values, QuantBlock& block) {
  switch (dtype) {
    case DType::kQ8_0: return Symmetric(values, kEightBits).write(block);
    case DType::kQ4_0: return Symmetric(values, kFourBits).write(block);
    case DType::kQ5_0: return Symmetric(values, kFiveBits).write(block);
    case DType::kQ4_1: return Affine(values, 15).write(block);
    case DType::kQ5_1: return Affine(values, 31).write(block);
    case DType::kQ4_K: return SuperAffine(values, 15).write(block);
    case DType::kQ5_K: return SuperAffine(values, 31).write(block);
    case DType::kQ6_K: return SuperSymmetric(values).write(block);
    default: NARU_CHECK(false, dtype_name(dtype), "is no block kind");
  }
}

}  // namespace

void quantise_blocks(DType dtype, const float* row, int64_t n, std::byte* out) {
  const DTypeInfo& info = dtype_info(dtype);
  NARU_CHECK(n >= 0 && n % info.block_elements == 0, dtype_name(dtype), n);
  QuantBlock block;
  for (int64_t i = 0; i < n; i += info.block_elements, out += info.block_bytes) {
    encode_block(dtype, row + i, block);
    write_quant_block(dtype, block, out);
  }
}

float largest_in_blocks(DType dtype) {
  switch (dtype) {  // the largest f16 times the largest integer of either sign
    case DType::kQ8_0: return 65504.0f * 127;
    case DType::kQ4_0: return 65504.0f * 7;
    case DType::kQ5_0: return 65504.0f * 15;
    case DType::kQ4_1:
    case DType::kQ5_1: return 65504.0f;
    case DType::kQ4_K:
    case DType::kQ5_K: return 65504.0f * 63;
    case DType::kQ6_K: return 65504.0f * 127 * 31;
    default: NARU_CHECK(false, dtype_name(dtype), "is no block kind"); return 0;
  }
}

}  // namespace naru::formats
