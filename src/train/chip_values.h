// Values of a chip on the host, a bounded piece at a time, so that no tensor is ever there twice as a whole.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "base/sha256.h"
#include "contract/chip.h"

namespace naru::train {

constexpr int64_t kPieceFloats = int64_t{1} << 20;

// take(values, begin) for the values of a contiguous f32 view in order; `begin` counts those before.
template <typename Take>
Status for_each_piece(contract::Chip& chip, View view, const Take& take) {
  const int64_t n = view.rows * view.cols;
  std::vector<float> values(static_cast<size_t>(std::min(n, kPieceFloats)));
  for (int64_t begin = 0; begin < n; begin += kPieceFloats) {
    const int64_t count = std::min(kPieceFloats, n - begin);
    NARU_TRY(chip.copy_out(values.data(), view.address + begin * 4, count * 4));
    NARU_TRY(take(std::span<const float>(values.data(), static_cast<size_t>(count)), begin));
  }
  return {};
}

// Adds the bytes of a contiguous f32 view.
inline Status hash_values(contract::Chip& chip, View view, Sha256& hash) {
  return for_each_piece(chip, view, [&](std::span<const float> values, int64_t) -> Status {
    hash.update(std::as_bytes(values));
    return {};
  });
}

}  // namespace naru::train
