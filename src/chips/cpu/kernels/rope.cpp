// Rotary positions: the table of cosines and sines of a batch, and the rotation of pairs by it.
#include <cstring>

#include "base/double_math.h"
#include "chips/cpu/kernels/rope_pairs.h"

namespace naru::cpu::NARU_LEVEL {

namespace {

// Tokens at a position that an earlier one has are like that one; those that are not are computed.
struct Tokens {
  int32_t* like = nullptr;   // [T]: itself, or an earlier token
  int32_t* first = nullptr;  // [n_first], ascending
  int64_t n_first = 0;
};

// Documents have the same positions, and sequences that are written together are often as long.
Tokens find_positions(const View& positions, Work& work) {
  constexpr int64_t kKept = 512;  // the last token of every position modulo their number
  int32_t kept[kKept];
  for (int32_t& token : kept) token = -1;
  const int64_t n = positions.rows;
  auto* memory = reinterpret_cast<int32_t*>(work.shared.get(static_cast<size_t>(2 * n) * sizeof(int32_t)));
  Tokens tokens{memory, memory + n};
  for (int64_t t = 0; t < n; ++t) {
    int32_t& token = kept[static_cast<uint32_t>(*i32(positions, t)) % kKept];
    if (token < 0 || *i32(positions, token) != *i32(positions, t)) {
      token = static_cast<int32_t>(t);
      tokens.first[tokens.n_first++] = token;
    }
    tokens.like[t] = token;
  }
  return tokens;
}

}  // namespace

template <>
Status run(const contract::RopeTable& op, Work& work, std::string_view* kernel) {
  *kernel = "double";
  const int64_t n_pairs = op.frequencies.cols;
  const float* frequencies = f32(op.frequencies);
  const Tokens tokens = find_positions(op.positions, work);
  constexpr int64_t kCost = 64;  // of a cosine and a sine, in elements
  for_row_ranges(work, tokens.n_first, n_pairs * kCost, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t t = tokens.first[i];
      const auto position = static_cast<float>(*i32(op.positions, t));
      for (int64_t pair = 0; pair < n_pairs; ++pair) {
        const float angle = mul(position, frequencies[pair]);
        f32(op.cos, t)[pair] = mul(static_cast<float>(cos_double(angle)), op.factor);
        f32(op.sin, t)[pair] = mul(static_cast<float>(sin_double(angle)), op.factor);
      }
    }
  });
  if (tokens.n_first == op.positions.rows) return {};
  for_row_ranges(work, op.positions.rows, 2 * n_pairs, [&](int64_t begin, int64_t end, int) {
    const auto bytes = static_cast<size_t>(n_pairs) * sizeof(float);
    for (int64_t t = begin; t < end; ++t) {
      if (tokens.like[t] == t) continue;
      std::memcpy(f32(op.cos, t), f32(op.cos, tokens.like[t]), bytes);
      std::memcpy(f32(op.sin, t), f32(op.sin, tokens.like[t]), bytes);
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
