// Rotary positions: the table of cosines and sines of a batch, and the rotation of pairs by it.
#include <cstring>

#include "base/double_math.h"
#include "chips/cpu/kernels/rope_pairs.h"

namespace naru::cpu::NARU_LEVEL {

template <>
Status run(const contract::RopeTable& op, Work& work, std::string_view* kernel) {
  *kernel = "double";
  const int64_t n_pairs = op.frequencies.cols;
  const float* frequencies = f32(op.frequencies);
  constexpr int64_t kCost = 64;   // of a cosine and a sine, in elements
  constexpr int64_t kKept = 256;  // positions whose rows are remembered: those of documents are the same ones
  for_row_ranges(work, op.positions.rows, n_pairs * kCost, [&](int64_t begin, int64_t end, int) {
    int64_t row_of[kKept];  // by position modulo their number; -1: none
    for (int64_t& row : row_of) row = -1;
    for (int64_t t = begin; t < end; ++t) {
      int64_t& kept = row_of[static_cast<uint32_t>(*i32(op.positions, t)) % kKept];
      if (kept >= 0 && *i32(op.positions, kept) == *i32(op.positions, t)) {
        std::memcpy(f32(op.cos, t), f32(op.cos, kept), static_cast<size_t>(n_pairs) * sizeof(float));
        std::memcpy(f32(op.sin, t), f32(op.sin, kept), static_cast<size_t>(n_pairs) * sizeof(float));
        continue;
      }
      kept = t;
      const auto position = static_cast<float>(*i32(op.positions, t));
      for (int64_t i = 0; i < n_pairs; ++i) {
        const float angle = mul(position, frequencies[i]);
        f32(op.cos, t)[i] = mul(static_cast<float>(cos_double(angle)), op.factor);
        f32(op.sin, t)[i] = mul(static_cast<float>(sin_double(angle)), op.factor);
      }
    }
  });
  return {};
}

namespace {

NARU_INLINE Pair rotate(F32x16 a, F32x16 b, F32x16 c, F32x16 s) {
  return {fma(a, c, negate(mul(b, s))), fma(a, s, mul(b, c))};
}

}  // namespace

template <>
Status run(const contract::Rope& op, Work& work, std::string_view* kernel) {
  const bool is_interleaved = op.layout == contract::RopeLayout::kInterleaved;
  *kernel = is_interleaved ? "interleaved" : "half_split";
  rotate_rows(work, op.x, op.out, op.cos, op.sin, op.rows_per_token, is_interleaved,
              [](F32x16 a, F32x16 b, F32x16 c, F32x16 s) { return rotate(a, b, c, s); });
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
