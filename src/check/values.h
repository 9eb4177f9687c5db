// The values of a case's operands: kinds of numbers that arithmetic can go wrong on, drawn by counter, so that a value
// is a function of (seed, operand, place) and of nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/philox.h"
#include "tensor/dtype.h"

namespace naru::check {

enum class Values : uint8_t {
  kPlain,  // from -2 to 2
  kWide,   // every finite exponent, subnormals and zeros too
  kLow,    // around the smallest normal
  kTiny,   // products of two are around the smallest normal
  kEdge,  // products of two are the two at the end of the normal range (docs/arithmetic.md section 1), and sums of them
  kNotFinite,  // plain, with an infinity or a NaN here and there
  kAny,        // any bits, NaN and infinity too
  kGolden,     // of the golden files (golden_cases.h)
};
constexpr Values kEveryValues[] = {Values::kPlain, Values::kWide,      Values::kLow, Values::kTiny,
                                   Values::kEdge,  Values::kNotFinite, Values::kAny, Values::kGolden};

std::string_view values_name(Values values);
std::optional<Values> values_from_name(std::string_view name);

// The values of one operand, `stream`, one after the other.
class Filler {
 public:
  Filler(uint64_t seed, uint32_t stream) : seed_(seed), stream_(stream) {}
  uint32_t bits() {
    if (next_ == 4) block_ = draw(seed_, DrawPurpose::kTest, kFirstSample + stream_, position_++), next_ = 0;
    return block_[next_++];
  }
  // From 0 to n - 1.
  int64_t below(int64_t n) { return static_cast<int64_t>(bits() % static_cast<uint64_t>(n)); }
  float value(Values values);  // of any kind but kGolden

 private:
  static constexpr uint32_t kFirstSample = 1000;  // apart from the golden values
  uint64_t seed_;
  uint32_t stream_;
  uint64_t position_ = 0;
  size_t next_ = 4;
  PhiloxBlock block_{};
};

// Rows of a stored kind, [rows * cols] elements as their bytes: float kinds of these values; int8 and blocks of random
// bytes, with f16 scales that are modest unless the values are kAny. The same for every seed where they are kGolden.
std::vector<std::byte> stored_rows(DType dtype, uint64_t seed, uint32_t stream, int64_t rows, int64_t cols,
                                   Values values);
// "0x1.8p-2 = 0.375 (3ec00000)"; of i32 the number.
std::string value_text(DType dtype, uint32_t bits);
// Without the first form: "0.375 (3ec00000)".
std::string short_value_text(DType dtype, uint32_t bits);
// n values.
std::vector<float> drawn_floats(uint64_t seed, uint32_t stream, int64_t n, Values values);

}  // namespace naru::check
