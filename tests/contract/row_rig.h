// What tests of row ops and attention share beside the chips (cpu_chips.h): rows of test values, and the comparison of
// the CPU chip's bits with the reference chip's.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/philox.h"
#include "chips/reference/reference_chip.h"
#include "contract/chip.h"
#include "contract/scalar.h"
#include "tests/contract/cpu_chips.h"

namespace naru::row_tests {

using test::staged_cpu_chips;
using test::NamedChip;

// Baseline is right, not fast: large cases are left out.
inline bool is_slow(const NamedChip& named) {
  return named.name.starts_with("baseline");
}

inline contract::Chip& reference_chip() {
  static test::StagingChip chip(reference::make_reference_chip());
  return chip;
}

// Values of the kinds that arithmetic can go wrong on.
enum class Values {
  kPlain,      // about 1
  kAll,        // any finite bit pattern, subnormals and zeros too
  kLow,        // around the smallest normal
  kNonFinite,  // about 1, with an infinity or a NaN here and there
};

class Filler {
 public:
  explicit Filler(uint64_t seed) : seed_(seed) {}
  uint32_t bits() {
    if (next_ == 4) block_ = draw(seed_, DrawPurpose::kTest, 1, position_++), next_ = 0;
    return block_[next_++];
  }
  float value(Values values) {
    const uint32_t random = bits();
    const float plain = (static_cast<float>(random) * 0x1p-31f - 1.0f) * 2.0f;
    switch (values) {
      case Values::kPlain: return plain;
      case Values::kAll: {
        const uint32_t kind = bits() % 8;
        if (kind == 0) return std::bit_cast<float>(random & 0x80000000u);
        if (kind == 1) return std::bit_cast<float>(random & 0x807fffffu);
        return (random & 0x7f800000u) == 0x7f800000u ? plain : std::bit_cast<float>(random);
      }
      case Values::kLow: return std::bit_cast<float>((random & 0x807fffffu) | (bits() % 4) << 23);
      case Values::kNonFinite: break;
    }
    const uint32_t kind = bits() % 32;
    return kind == 0   ? std::bit_cast<float>(0x7fc00000u)
           : kind == 1 ? std::bit_cast<float>(0x7f800000u | (random & 0x80000000u))
                       : plain;
  }

 private:
  uint64_t seed_;
  uint64_t position_ = 0;
  size_t next_ = 4;
  PhiloxBlock block_{};
};

// Rows with a stride that is wider than they are; what lies between them must stay as it is.
class Rows {
 public:
  Rows(int64_t rows, int64_t cols, int64_t gap = 3)
      : rows_(rows), cols_(cols), stride_(cols + gap), data_(static_cast<size_t>(rows * stride_) + 1, kGap) {}
  Rows(int64_t rows, int64_t cols, Filler& filler, Values values) : Rows(rows, cols) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c) row(r)[c] = filler.value(values);
  }
  float* row(int64_t r) { return data_.data() + r * stride_; }
  const float* row(int64_t r) const { return data_.data() + r * stride_; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  View view() { return {address_of(data_.data()), DType::kF32, rows_, cols_, stride_}; }
  View view_i32() { return {address_of(data_.data()), DType::kI32, rows_, cols_, stride_}; }
  int32_t* row_i32(int64_t r) { return reinterpret_cast<int32_t*>(row(r)); }

 private:
  static constexpr float kGap = 12345.0f;
  int64_t rows_, cols_, stride_;
  std::vector<float> data_;
};

// The first element whose canonical bits differ, as text; empty where all are equal. Gaps count too.
inline std::string difference(Rows& got, Rows& want) {
  const int64_t n = got.view().row_stride * got.rows();
  for (int64_t i = 0; i < n; ++i) {
    const float a = got.row(0)[i], b = want.row(0)[i];
    if (contract::canonical_bits(a) == contract::canonical_bits(b)) continue;
    char text[160];
    std::snprintf(text, sizeof(text), "row %ld, column %ld: %a, wanted %a",
                  static_cast<long>(i / got.view().row_stride), static_cast<long>(i % got.view().row_stride),
                  static_cast<double>(a), static_cast<double>(b));
    return text;
  }
  return {};
}

// make(out) gives the op that writes `out`. Runs it on the reference chip and on all others, from the same bits in
// `out` (in-place ops), and compares bits, or the errors where the reference reports one.
inline void expect_equal(const std::string& what, const Rows& start, const std::function<contract::Op(Rows&)>& make,
                         bool is_large = false) {
  Rows want = start;
  const Status wanted = reference_chip().run(make(want));
  for (const NamedChip& named : staged_cpu_chips()) {
    if (is_large && is_slow(named)) continue;
    Rows got = start;
    const Status status = named.chip->run(make(got));
    ASSERT_EQ(status.ok(), wanted.ok()) << what << " on " << named.name;
    if (!wanted.ok()) {
      ASSERT_EQ(status.error().message, wanted.error().message) << what << " on " << named.name;
      ASSERT_EQ(status.error().code, wanted.error().code) << what << " on " << named.name;
      continue;
    }
    ASSERT_EQ(difference(got, want), "") << what << " on " << named.name;
  }
}

}  // namespace naru::row_tests
