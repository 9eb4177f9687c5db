// Stored elements to f32 against gguf-py, and the encoders against the decoders.
#include "formats/ggml_blocks.h"

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "base/float_bits.h"
#include "base/philox.h"
#include "formats/tensor_file.h"
#include "tests/formats/helpers.h"

namespace naru::formats {
namespace {

constexpr DType kBlockKinds[] = {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
                                 DType::kQ5_1, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

float random_float(uint64_t seed, uint64_t i) {
  return static_cast<float>(uniform_53(draw(seed, DrawPurpose::kTest, 0, i)) * 2 - 1);
}

TEST(GgmlBlocks, EqualBitsWithTheOfficialDecoder) {
  const auto files = TensorFiles::open(fixture_path("quants.safetensors"));
  ASSERT_TRUE(files.ok()) << message_of(files);
  for (const DType kind : kBlockKinds) {
    const TensorEntry* stored = files->find(std::string(dtype_name(kind)) + ".bytes");
    const TensorEntry* values = files->find(std::string(dtype_name(kind)) + ".values");
    ASSERT_TRUE(stored != nullptr && values != nullptr) << dtype_name(kind);
    const int64_t rows = values->shape[0], cols = values->shape[1];
    ASSERT_EQ(stored->shape[1], *dtype_bytes(kind, cols));
    std::vector<float> row(static_cast<size_t>(cols)), expected(static_cast<size_t>(cols));
    for (int64_t r = 0; r < rows; ++r) {
      dequantise_row(kind, files->bytes(*stored).data() + r * stored->shape[1], cols, row.data());
      std::memcpy(expected.data(), files->bytes(*values).data() + r * cols * 4, static_cast<size_t>(cols) * 4);
      for (size_t i = 0; i < row.size(); ++i) {
        // gguf-py may say +0 where the exact product is -0.
        ASSERT_TRUE(row[i] == expected[i] && std::isfinite(row[i]))
            << dtype_name(kind) << " row " << r << " element " << i << ": " << row[i];
      }
    }
  }
}

TEST(GgmlBlocks, EncodersStayWithinAStep) {
  // The largest error of a uniform row in [-1, 1], a little above half a step of each kind.
  const std::pair<DType, float> bounds[] = {{DType::kF16, 2.5e-4f}, {DType::kBF16, 2e-3f},  {DType::kF8E4M3, 3.2e-2f},
                                            {DType::kQ8_0, 4e-3f},  {DType::kQ4_0, 0.13f},  {DType::kQ4_1, 0.072f},
                                            {DType::kQ5_0, 0.065f}, {DType::kQ5_1, 0.034f}, {DType::kQ4_K, 0.085f},
                                            {DType::kQ5_K, 0.045f}, {DType::kQ6_K, 0.035f}};
  constexpr int64_t n = 512;
  std::vector<float> row(n), back(n);
  for (const auto& [kind, bound] : bounds) {
    for (int64_t i = 0; i < n; ++i) row[static_cast<size_t>(i)] = random_float(3, static_cast<uint64_t>(i));
    std::vector<std::byte> stored(static_cast<size_t>(*dtype_bytes(kind, n)));
    quantise_row(kind, row.data(), n, stored.data());
    dequantise_row(kind, stored.data(), n, back.data());
    float worst = 0;
    for (size_t i = 0; i < row.size(); ++i) worst = std::max(worst, std::fabs(row[i] - back[i]));
    EXPECT_LE(worst, bound) << dtype_name(kind);
    EXPECT_GT(worst, bound / 8) << dtype_name(kind);  // the bound means something
  }
}

TEST(GgmlBlocks, EncodersTakeAnything) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const std::vector<std::vector<float>> patterns = {
      {0}, {-0.0f}, {1e-30f}, {-1e-30f, 1e-30f}, {3e38f, -3e38f}, {NAN, 1}, {kInf, -kInf, 2}, {-5}, {5}};
  std::vector<float> row(256), back(256);
  for (const auto& pattern : patterns) {
    for (size_t i = 0; i < row.size(); ++i) row[i] = pattern[i % pattern.size()];
    for (const DType kind : kBlockKinds) {
      std::vector<std::byte> stored(static_cast<size_t>(*dtype_bytes(kind, 256)));
      quantise_row(kind, row.data(), 256, stored.data());
      dequantise_row(kind, stored.data(), 256, back.data());
      for (const float value : back) ASSERT_TRUE(std::isfinite(value)) << dtype_name(kind) << " of " << pattern[0];
    }
  }
}

TEST(GgmlBlocks, EncodingADecodedRowKeepsIt) {
  // Rows that a kind can hold exactly come back as they were.
  std::vector<float> row(256), back(256);
  for (size_t i = 0; i < row.size(); ++i) row[i] = 0.5f * static_cast<float>(static_cast<int>(i % 16) - 8);
  for (const DType kind : {DType::kQ4_0, DType::kQ4_1}) {
    std::vector<std::byte> stored(static_cast<size_t>(*dtype_bytes(kind, 256)));
    quantise_row(kind, row.data(), 256, stored.data());
    dequantise_row(kind, stored.data(), 256, back.data());
    EXPECT_EQ(row, back) << dtype_name(kind);
  }
}

TEST(GgmlBlocks, PlainKinds) {
  float out[2];
  const auto decode = [&](DType kind, auto a, auto b) {
    decltype(a) stored[2] = {a, b};
    dequantise_row(kind, reinterpret_cast<const std::byte*>(stored), 2, out);
  };
  decode(DType::kI8, int8_t{-128}, int8_t{127});
  EXPECT_EQ(out[0], -128.0f);
  decode(DType::kU8, uint8_t{0}, uint8_t{255});
  EXPECT_EQ(out[1], 255.0f);
  decode(DType::kI32, int32_t{16777217}, int32_t{-1});
  EXPECT_EQ(out[0], 16777216.0f);  // nearest even
  decode(DType::kI64, int64_t{1} << 40, int64_t{3});
  EXPECT_EQ(out[0], 0x1p40f);
  decode(DType::kBool, uint8_t{0}, uint8_t{1});
  EXPECT_EQ(out[1], 1.0f);
  decode(DType::kF64, 0.1, 0x1p-127);
  EXPECT_EQ(out[0], 0.1f);
  EXPECT_EQ(std::bit_cast<uint32_t>(out[1]), 0u);  // below the smallest normal
  decode(DType::kF64, 0x1p-126 - 0x1p-151, -(0x1p-126 - 1.5 * 0x1p-151));
  EXPECT_EQ(out[0], 0x1p-126f);
  EXPECT_EQ(std::bit_cast<uint32_t>(out[1]), 0x80000000u);
}

TEST(GgmlBlocks, Fp8TimesItsBlockScale) {
  std::vector<std::byte> row(300);
  for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<std::byte>(i * 7);
  const float scales[3] = {0.3f, -2.0f, 0x1p-120f};
  std::vector<float> out(300);
  dequantise_fp8_row(row.data(), 300, scales, 128, out.data());
  for (size_t i = 0; i < out.size(); ++i) {
    const float plain = f8_e4m3_to_f32(static_cast<uint8_t>(row[i]));
    if (std::isnan(plain)) {
      EXPECT_TRUE(std::isnan(out[i]));
      continue;
    }
    const double exact = static_cast<double>(plain) * static_cast<double>(scales[i / 128]);
    const float expected = std::fabs(exact) < 0x1p-126 ? std::copysign(0.0f, plain * (i / 128 == 1 ? -1.0f : 1.0f))
                                                       : static_cast<float>(exact);
    EXPECT_EQ(std::bit_cast<uint32_t>(out[i]), std::bit_cast<uint32_t>(expected)) << i;
  }
}

TEST(GgmlBlocks, HalfPrecisionRoundTripsAndRounds) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = f16_to_f32(static_cast<uint16_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(f32_to_f16(value), bits);
    if (std::isinf(value) || bits == 0x8000) continue;
    // Halfway to the next one up in magnitude: ties to even; a hair beyond: up.
    const double next = (bits & 0x7fffu) == 0x7bff
                            ? 65536.0
                            : std::fabs(static_cast<double>(f16_to_f32(static_cast<uint16_t>((bits & 0x7fffu) + 1))));
    const double magnitude = std::fabs(static_cast<double>(value));
    const auto half = static_cast<float>((magnitude + next) / 2);
    const uint16_t even =
        (bits & 1u) == 0 ? static_cast<uint16_t>(bits & 0x7fffu) : static_cast<uint16_t>((bits & 0x7fffu) + 1);
    ASSERT_EQ(f32_to_f16(half), even) << bits;
    ASSERT_EQ(f32_to_f16(std::nextafter(half, 1e10f)), (bits & 0x7fffu) + 1) << bits;
  }
  EXPECT_EQ(f32_to_f16(1e9f), 0x7c00);
  EXPECT_EQ(f32_to_f16(-1e9f), 0xfc00);
  EXPECT_EQ(f32_to_f16(1e-30f), 0);
  EXPECT_EQ(f32_to_f16(NAN), 0x7e00);
}

TEST(GgmlBlocks, Fp8RoundTripsAndRounds) {
  for (uint32_t bits = 0; bits < 256; ++bits) {
    const float value = f8_e4m3_to_f32(static_cast<uint8_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(f32_to_f8_e4m3(value), bits);
    if ((bits & 0x7f) == 0x7e) continue;
    const float next = f8_e4m3_to_f32(static_cast<uint8_t>((bits & 0x7f) + 1));
    const float half = (std::fabs(value) + next) / 2;
    const uint32_t even = (bits & 1) == 0 ? bits & 0x7f : (bits & 0x7f) + 1;
    ASSERT_EQ(f32_to_f8_e4m3(half), even) << bits;
    ASSERT_EQ(f32_to_f8_e4m3(std::nextafter(half, 1e10f)), (bits & 0x7f) + 1) << bits;
  }
  EXPECT_EQ(f32_to_f8_e4m3(1e9f), 0x7e);
  EXPECT_EQ(f32_to_f8_e4m3(-449.0f), 0xfe);
  EXPECT_EQ(f32_to_f8_e4m3(NAN), 0x7f);
}

}  // namespace
}  // namespace naru::formats
