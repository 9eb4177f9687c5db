// Rotary positions: the table of cosines and sines of a batch, and the rotation of pairs by it.
#include "chips/cpu/kernels/row_loops.h"
#include "base/double_math.h"

namespace naru::cpu::NARU_LEVEL {

Status rope_table(const contract::RopeTable& op, Work& work, std::string_view* kernel) {
  *kernel = "double";
  const int64_t n_pairs = op.frequencies.cols;
  const float* frequencies = op.frequencies.f32();
  constexpr int64_t kCost = 64;  // of a cosine and a sine, in elements
  for_row_ranges(work, op.positions.rows, n_pairs * kCost, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const auto position = static_cast<float>(*op.positions.i32(t));
      for (int64_t i = 0; i < n_pairs; ++i) {
        const float angle = mul(position, frequencies[i]);
        op.cos.f32(t)[i] = mul(static_cast<float>(cos_double(angle)), op.factor);
        op.sin.f32(t)[i] = mul(static_cast<float>(sin_double(angle)), op.factor);
      }
    }
  });
  return {};
}

namespace {

struct Pair {
  F16 a, b;
};
NARU_SIMD Pair rotate(F16 a, F16 b, F16 c, F16 s) {
  return {fma(a, c, negate(mul(b, s))), fma(a, s, mul(b, c))};
}

NARU_SIMD void rotate_halves(const float* x, float* out, const float* cos, const float* sin, int64_t n) {
  for_lanes(n, [&](int64_t i, int64_t) {
    const Pair r = rotate(load_at(x, i, n), load_at(x + n, i, n), load_at(cos, i, n), load_at(sin, i, n));
    store_at(out, i, n, r.a);
    store_at(out + n, i, n, r.b);
  });
}

NARU_SIMD void rotate_neighbours(const float* x, float* out, const float* cos, const float* sin, int64_t n) {
  for_lanes(n, [&](int64_t i, int64_t count) {
    const int64_t begin = 2 * i, end = 2 * n;
    const bool has_second = count > 8;
    F16 a, b, first, second;
    deinterleave(load_at(x, begin, end), has_second ? load_at(x, begin + 16, end) : zero(), a, b);
    const Pair r = rotate(a, b, load_at(cos, i, n), load_at(sin, i, n));
    interleave(r.a, r.b, first, second);
    store_at(out, begin, end, first);
    if (has_second) store_at(out, begin + 16, end, second);
  });
}

}  // namespace

Status rope(const contract::Rope& op, Work& work, std::string_view* kernel) {
  const bool is_interleaved = op.layout == contract::RopeLayout::kInterleaved;
  *kernel = is_interleaved ? "interleaved" : "half_split";
  const int64_t n_pairs = op.cos.cols;
  for_row_ranges(work, op.x.rows, op.x.cols, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t t = row / op.rows_per_token;
      if (is_interleaved) {
        rotate_neighbours(op.x.f32(row), op.out.f32(row), op.cos.f32(t), op.sin.f32(t), n_pairs);
      } else {
        rotate_halves(op.x.f32(row), op.out.f32(row), op.cos.f32(t), op.sin.f32(t), n_pairs);
      }
    }
  });
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
