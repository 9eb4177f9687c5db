// The quantisers: never worse than a simple fit, exact where a kind can be, sane on any row, and the same bytes for
// ever and in every floating-point mode.
#include "formats/quantise_blocks.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include "base/float_bits.h"
#include "base/philox.h"
#include "base/sha256.h"
#include "formats/ggml_blocks.h"
#include "formats/quant_block_writer.h"
#include "tests/formats/helpers.h"

namespace naru::formats {
namespace {

constexpr DType kSearchedKinds[] = {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
                                    DType::kQ5_1, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

float uniform_value(uint32_t stream, int64_t i) {
  return static_cast<float>(uniform_53(draw(11, DrawPurpose::kTest, stream, static_cast<uint64_t>(i))) * 2 - 1);
}

// The sum of a few uniform numbers: about normal. Exact sums, so the same everywhere.
float normal_value(uint32_t stream, int64_t i) {
  float sum = 0;
  for (int64_t k = 0; k < 6; ++k) sum += uniform_value(stream, 6 * i + k) * 0.25f;
  return sum;
}

enum class Shape { kUniform, kNormal, kHeavyTailed, kShifted };
constexpr Shape kShapes[] = {Shape::kUniform, Shape::kNormal, Shape::kHeavyTailed, Shape::kShifted};

std::vector<float> row_of(Shape shape, int64_t n) {
  std::vector<float> row(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    const float u = uniform_value(1, i), x = normal_value(2, i);
    row[static_cast<size_t>(i)] = shape == Shape::kUniform       ? u
                                  : shape == Shape::kNormal      ? x * 0.02f
                                  : shape == Shape::kHeavyTailed ? x * x * x
                                                                 : 0.5f + 0.1f * x;
  }
  return row;
}

std::vector<std::byte> encoded(DType kind, const std::vector<float>& row) {
  const auto n = static_cast<int64_t>(row.size());
  std::vector<std::byte> bytes(static_cast<size_t>(*dtype_bytes(kind, n)));
  quantise_blocks(kind, row.data(), n, bytes.data());
  return bytes;
}

std::vector<float> decoded(DType kind, const std::vector<std::byte>& bytes, size_t n) {
  std::vector<float> row(n);
  dequantise_row(kind, bytes.data(), static_cast<int64_t>(n), row.data());
  return row;
}

double squared_distance(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
  return sum;
}

// --- a simple fit: the largest magnitude, or the two ends -----------------------------------------------------------

float half(double value) {
  return f16_to_f32(f32_to_f16(static_cast<float>(value)));
}

int8_t integer(double quotient, int low, int high) {
  return static_cast<int8_t>(std::isfinite(quotient) ? std::clamp<double>(std::round(quotient), low, high) : 0);
}

void fit_simply(DType kind, const float* x, QuantBlock& block) {
  block = {};
  const int64_t n = dtype_info(kind).block_elements;
  const auto extreme_of = [x](int64_t first, int64_t count) {
    float extreme = 0;
    for (int64_t i = first; i < first + count; ++i) extreme = std::fabs(x[i]) > std::fabs(extreme) ? x[i] : extreme;
    return extreme;
  };
  if (kind == DType::kQ8_0 || kind == DType::kQ4_0 || kind == DType::kQ5_0) {
    const int low = kind == DType::kQ8_0 ? -127 : kind == DType::kQ4_0 ? -8 : -16;
    block.d = half(extreme_of(0, n) / low);
    for (int64_t i = 0; i < n; ++i) block.q[i] = integer(x[i] / block.d, low, kind == DType::kQ8_0 ? 127 : -low - 1);
  } else if (kind == DType::kQ4_1 || kind == DType::kQ5_1) {
    const int top = kind == DType::kQ4_1 ? 15 : 31;
    const auto [least, most] = std::minmax_element(x, x + n);
    block.d = half((*most - *least) / top);
    block.m = half(*least);
    for (int64_t i = 0; i < n; ++i) block.q[i] = integer((x[i] - block.m) / block.d, 0, top);
  } else if (kind == DType::kQ6_K) {
    block.d = half(extreme_of(0, n) / (-32 * -128.0));
    for (int64_t b = 0; b < 16; ++b) {
      block.sc[b] = integer(extreme_of(16 * b, 16) / (-32.0 * block.d), -128, 127);
      for (int64_t i = 16 * b; i < 16 * b + 16; ++i) block.q[i] = integer(x[i] / (block.d * block.sc[b]), -32, 31);
    }
  } else {
    const int top = kind == DType::kQ4_K ? 15 : 31;
    double step[8], minus[8];
    for (int64_t b = 0; b < 8; ++b) {
      const auto [least, most] = std::minmax_element(x + 32 * b, x + 32 * b + 32);
      minus[b] = -std::min(*least, 0.0f);
      step[b] = (std::max(*most, 0.0f) + minus[b]) / top;
    }
    block.d = half(*std::max_element(step, step + 8) / 63);
    block.m = half(*std::max_element(minus, minus + 8) / 63);
    for (int64_t b = 0; b < 8; ++b) {
      block.sc[b] = integer(step[b] / block.d, 0, 63);
      block.mn[b] = static_cast<uint8_t>(integer(minus[b] / block.m, 0, 63));
      for (int64_t i = 32 * b; i < 32 * b + 32; ++i) {
        block.q[i] = integer((x[i] + block.m * block.mn[b]) / (block.d * block.sc[b]), 0, top);
      }
    }
  }
}

// --- tests ----------------------------------------------------------------------------------------------------------

TEST(QuantiseBlocks, TheWriterIsTheInverseOfTheReader) {
  for (const DType kind : kSearchedKinds) {
    std::vector<std::byte> bytes(static_cast<size_t>(dtype_info(kind).block_bytes)), again(bytes.size());
    for (uint32_t round = 0; round < 50; ++round) {
      for (size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<std::byte>(draw(5, DrawPurpose::kTest, round, i)[0] & 0xff);
      }
      QuantBlock block;
      read_quant_block(kind, bytes.data(), block);
      if (!std::isfinite(block.d) || !std::isfinite(block.m)) continue;
      write_quant_block(kind, block, again.data());
      ASSERT_EQ(bytes, again) << dtype_name(kind);
    }
  }
}

// What the search minimises: squared errors of a block, weighted by the root of the mean square (of those that share a
// step) and the value's own.
double weighted_distance(DType kind, const float* found, const float* x) {
  const int64_t n = dtype_info(kind).block_elements, together = kind == DType::kQ6_K ? 16 : 32;
  double sum = 0;
  for (int64_t first = 0; first < n; first += together) {
    double mean = 0;
    for (int64_t i = first; i < first + together; ++i) mean += double{x[i]} * x[i] / static_cast<double>(together);
    for (int64_t i = first; i < first + together; ++i) {
      sum += std::sqrt(mean + double{x[i]} * x[i]) * (double{found[i]} - x[i]) * (double{found[i]} - x[i]);
    }
  }
  return sum;
}

TEST(QuantiseBlocks, EachBlockIsAsGoodAsASimpleFitAndARowBetter) {
  constexpr int64_t n = 8192;
  for (const Shape shape : kShapes) {
    const std::vector<float> row = row_of(shape, n);
    for (const DType kind : kSearchedKinds) {
      const std::vector<float> found = decoded(kind, encoded(kind, row), row.size());
      const int64_t in_block = dtype_info(kind).block_elements;
      double of_found = 0, of_simple = 0;
      QuantBlock block;
      std::vector<float> simple(static_cast<size_t>(in_block));
      for (int64_t i = 0; i < n; i += in_block) {
        fit_simply(kind, row.data() + i, block);
        for (int64_t e = 0; e < in_block; ++e) simple[static_cast<size_t>(e)] = quant_block_value(kind, block, e);
        const double a = weighted_distance(kind, found.data() + i, row.data() + i);
        const double b = weighted_distance(kind, simple.data(), row.data() + i);
        // Two levels of scales are chosen one after the other, which a block of lucky values can be better without.
        EXPECT_LE(a, b * (in_block == 256 ? 1.05 : 1 + 1e-6))
            << dtype_name(kind) << " block " << i / in_block << " shape " << static_cast<int>(shape);
        of_found += a;
        of_simple += b;
      }
      // Where one value is far from all others there is little to find.
      const double share = shape == Shape::kHeavyTailed ? 1 : 0.95;
      EXPECT_LE(of_found, share * of_simple) << dtype_name(kind) << " shape " << static_cast<int>(shape);
    }
  }
}

// Of least squares: half a step of the simple fit in the root mean square is more than any search needs.
TEST(QuantiseBlocks, ErrorsStayBelowTheRange) {
  const std::pair<DType, double> steps[] = {{DType::kQ8_0, 254}, {DType::kQ4_0, 15}, {DType::kQ4_1, 15},
                                            {DType::kQ5_0, 31},  {DType::kQ5_1, 31}, {DType::kQ4_K, 15},
                                            {DType::kQ5_K, 31},  {DType::kQ6_K, 63}};
  for (const Shape shape : kShapes) {
    const std::vector<float> row = row_of(shape, 4096);
    float largest = 0;
    for (const float value : row) largest = std::max(largest, std::fabs(value));
    for (const auto& [kind, n_steps] : steps) {
      const std::vector<float> found = decoded(kind, encoded(kind, row), row.size());
      const double rms = std::sqrt(squared_distance(found.data(), row.data(), 4096) / 4096);
      EXPECT_LE(rms, largest / n_steps) << dtype_name(kind);
      EXPECT_GT(rms, 0) << dtype_name(kind);
    }
  }
}

// What a kind has said once, it says again: with the same values where there is no low to be rounded to f16.
TEST(QuantiseBlocks, DecodedRowsComeBack) {
  const std::vector<float> row = row_of(Shape::kNormal, 4096);
  const auto once_more = [&](DType first, DType second) {
    const std::vector<float> once = decoded(first, encoded(first, row), row.size());
    const std::vector<float> again = decoded(second, encoded(second, once), row.size());
    const std::vector<float> zero(row.size());
    return std::sqrt(squared_distance(once.data(), again.data(), 4096) /
                     squared_distance(once.data(), zero.data(), 4096));
  };
  for (const DType kind : {DType::kQ8_0, DType::kQ4_0, DType::kQ5_0})
    EXPECT_EQ(once_more(kind, kind), 0) << dtype_name(kind);
  for (const DType kind : {DType::kQ4_1, DType::kQ5_1}) EXPECT_LT(once_more(kind, kind), 5e-4) << dtype_name(kind);
  // A finer kind holds most blocks of a coarser one.
  EXPECT_LT(once_more(DType::kQ4_1, DType::kQ5_1), 0.02);
  EXPECT_LT(once_more(DType::kQ4_0, DType::kQ5_0), 0.01);
}

TEST(QuantiseBlocks, EdgeRows) {
  constexpr float kLeast = std::numeric_limits<float>::denorm_min(), kMost = std::numeric_limits<float>::max();
  const std::vector<std::vector<float>> patterns = {{0},
                                                    {-0.0f},
                                                    {1},
                                                    {-3.5f},
                                                    {kLeast, -kLeast},
                                                    {1e-38f, -2e-39f, 0},
                                                    {6e-8f, -1e-8f, 3e-7f},
                                                    {1e-3f, 1e-6f, -1e-9f},
                                                    {kMost, -kMost, 1},
                                                    {65504, -65504, 65000},
                                                    {NAN, 1, 0.25f},
                                                    {INFINITY, -INFINITY, 2, -1}};
  for (const DType kind : kSearchedKinds) {
    for (const auto& pattern : patterns) {
      std::vector<float> row(256);
      for (size_t i = 0; i < row.size(); ++i) row[i] = pattern[i % pattern.size()];
      float largest = 0;
      for (float& value : row) {
        if (!std::isfinite(value)) value = 0;
        largest = std::max(largest, std::fabs(value));
      }
      const std::vector<float> found = decoded(kind, encoded(kind, row), row.size());
      for (size_t i = 0; i < row.size(); ++i) {
        ASSERT_TRUE(std::isfinite(found[i])) << dtype_name(kind) << " of " << pattern[0];
        // Beyond what a kind holds the largest stands for it; below f16's least step there is nothing.
        if (largest > largest_in_blocks(kind)) continue;
        ASSERT_LE(std::fabs(found[i] - row[i]), largest / 7 + 6e-8f) << dtype_name(kind) << " of " << pattern[0];
      }
    }
    // One huge value: it is kept, and what is far below its step is nothing.
    std::vector<float> row(256, 1e-4f);
    row[77] = 1000;
    const std::vector<float> found = decoded(kind, encoded(kind, row), row.size());
    EXPECT_NEAR(found[77], 1000, 4) << dtype_name(kind);
    for (size_t i = 0; i < row.size(); ++i) {
      if (i == 77) continue;
      ASSERT_LE(std::fabs(found[i]), 1.0f) << dtype_name(kind) << " " << i;
    }
  }
}

TEST(QuantiseBlocks, ConstantRowsAreKept) {
  for (const DType kind : kSearchedKinds) {
    for (const float value : {1.0f, -1.0f, 0.0123f, -700.0f}) {
      const std::vector<float> row(256, value);
      for (const float found : decoded(kind, encoded(kind, row), row.size())) {
        ASSERT_NEAR(found, value, std::fabs(value) * 5e-3) << dtype_name(kind);  // f16 scales may be subnormal
      }
    }
  }
}

// A block times a power of two has the same integers.
TEST(QuantiseBlocks, PowersOfTwoChangeOnlyTheScales) {
  const std::vector<float> row = row_of(Shape::kHeavyTailed, 1024);
  std::vector<float> larger = row;
  for (float& value : larger) value *= 64;
  for (const DType kind : kSearchedKinds) {
    std::vector<float> found = decoded(kind, encoded(kind, row), row.size());
    for (float& value : found) value *= 64;
    EXPECT_EQ(decoded(kind, encoded(kind, larger), row.size()), found) << dtype_name(kind);
  }
}

#if defined(__SSE2__)
TEST(QuantiseBlocks, FlushModesChangeNothing) {
  std::vector<float> row = row_of(Shape::kHeavyTailed, 2048);
  for (size_t i = 0; i < 512; ++i) row[i] *= 1e-36f;
  for (size_t i = 512; i < 1024; i += 3) row[i] *= 1e-20f;
  const unsigned before = _mm_getcsr();
  for (const DType kind : kSearchedKinds) {
    const std::vector<std::byte> plain = encoded(kind, row);
    _mm_setcsr(before | 0x8040);  // flush to zero, denormals are zero
    const std::vector<std::byte> flushed = encoded(kind, row);
    _mm_setcsr(before);
    EXPECT_EQ(plain, flushed) << dtype_name(kind);
  }
}
#endif

// The bytes are a promise: a file that was converted once is converted to the same bytes everywhere. Where a better
// search changes them on purpose, these are its new hashes.
TEST(QuantiseBlocks, TheBytesAreKnown) {
  const std::pair<DType, std::string_view> hashes[] = {
      {DType::kQ8_0, "a47a94da499c553d"}, {DType::kQ4_0, "c9d65a717ca4d8cc"}, {DType::kQ4_1, "53dd0e432c4cd07c"},
      {DType::kQ5_0, "39c9233cd1a3c6f9"}, {DType::kQ5_1, "4c30d3c6c7582751"}, {DType::kQ4_K, "cb52d4886c911623"},
      {DType::kQ5_K, "5f583c43cbb7160c"}, {DType::kQ6_K, "54844d1e77f50752"},
  };
  for (const auto& [kind, hash] : hashes) {
    Sha256 sha;
    for (const Shape shape : kShapes) sha.update(encoded(kind, row_of(shape, 4096)));
    EXPECT_EQ(sha.finish_hex().substr(0, 16), hash) << dtype_name(kind);
  }
}

}  // namespace
}  // namespace naru::formats
