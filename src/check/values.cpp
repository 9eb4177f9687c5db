#include "check/values.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>

#include "base/check.h"
#include "base/float_bits.h"

namespace naru::check {
namespace {

// The first two, and the next two, are factors of the two vectors of docs/arithmetic.md section 1; -(a * b) of those
// behind them, added to the 2^-126 of others, makes them too.
constexpr float kEdges[] = {12913 * 0x1p-76f, 5197 * 0x1p-76f, 18631 * 0x1p-76f,
                            1801 * 0x1p-75f,  0x1.8p-75f,      0x1p-75f,
                            0x1p-76f,         0x1p-63f,        1.0f,
                            0x1p-126f,        0x1p-127f,       0.0f};

// Around 1 with a few zeros, large and tiny values among them: sign, exponent and mantissa come from one block.
float golden_float(uint32_t stream, uint64_t index) {
  const PhiloxBlock block = draw(20, DrawPurpose::kTest, stream, index);
  if (block[3] % 61 == 0) return 0.0f;
  const uint32_t spread = block[3] % 53 == 0 ? 60 : 6;
  const uint32_t exponent = 127 - spread / 2 + block[1] % (spread + 1) - 2;
  return std::bit_cast<float>((block[2] & 0x80000000u) | exponent << 23 | (block[0] & 0x007fffffu));
}

// Where the f16 scales of a block lie: one, or two in a row.
struct Scales {
  int64_t offset;
  int n;
};
Scales scales_of(DType dtype) {
  const bool has_two = dtype == DType::kQ4_1 || dtype == DType::kQ5_1 || dtype == DType::kQ4_K || dtype == DType::kQ5_K;
  return {dtype == DType::kQ6_K ? 208 : 0, has_two ? 2 : 1};
}

std::vector<std::byte> golden_blocks(DType dtype, uint32_t stream, int64_t n_blocks) {
  const int64_t block_bytes = dtype_info(dtype).block_bytes;
  std::vector<std::byte> bytes(static_cast<size_t>(n_blocks * block_bytes));
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(draw(21, DrawPurpose::kTest, stream, i)[0]);
  }
  if (!is_quantised(dtype)) return bytes;
  const Scales scales = scales_of(dtype);
  for (int64_t block = 0; block < n_blocks; ++block) {
    for (int64_t offset = scales.offset; offset < scales.offset + 2 * scales.n; offset += 2) {
      const uint32_t word = draw(22, DrawPurpose::kTest, stream, static_cast<uint64_t>(block * 256 + offset))[0];
      const auto half = static_cast<uint16_t>((word & 0x83ffu) | (8 + word / 65536 % 5) << 10);
      std::memcpy(bytes.data() + block * block_bytes + offset, &half, 2);
    }
  }
  return bytes;
}

uint16_t drawn_f16(Filler& filler, Values values) {
  const auto bits = static_cast<uint16_t>(filler.bits());
  if (values == Values::kAny) return bits;
  return static_cast<uint16_t>((bits & 0x83ffu) | (8u + filler.bits() % 8u) << 10);  // normal, 2^-7 to 2^0
}

std::vector<std::byte> drawn_blocks(DType dtype, Filler& filler, int64_t n_blocks, Values values) {
  const int64_t block_bytes = dtype_info(dtype).block_bytes;
  std::vector<std::byte> bytes(static_cast<size_t>(n_blocks * block_bytes));
  for (size_t i = 0; i < bytes.size(); i += 4) {
    const uint32_t word = filler.bits();
    std::memcpy(bytes.data() + i, &word, std::min<size_t>(4, bytes.size() - i));
  }
  if (!is_quantised(dtype)) return bytes;
  const Scales scales = scales_of(dtype);
  for (int64_t block = 0; block < n_blocks; ++block) {
    for (int i = 0; i < scales.n; ++i) {
      const uint16_t scale = drawn_f16(filler, values);
      std::memcpy(bytes.data() + block * block_bytes + scales.offset + 2 * i, &scale, 2);
    }
  }
  return bytes;
}

// f16 and bf16 of the golden files are cut, not rounded, and f16 stays below 2.
uint16_t golden_half(DType dtype, float value) {
  return dtype == DType::kBF16 ? f32_to_bf16(value)
                               : static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 3 & 0x3fff);
}

}  // namespace

std::string_view values_name(Values values) {
  switch (values) {
    case Values::kPlain: return "plain";
    case Values::kWide: return "wide";
    case Values::kLow: return "low";
    case Values::kTiny: return "tiny";
    case Values::kEdge: return "edge";
    case Values::kNotFinite: return "not_finite";
    case Values::kAny: return "any";
    case Values::kGolden: return "golden";
  }
  return "plain";
}

std::optional<Values> values_from_name(std::string_view name) {
  for (const Values values : kEveryValues) {
    if (values_name(values) == name) return values;
  }
  return std::nullopt;
}

float Filler::value(Values values) {
  const uint32_t random = bits();
  const float plain = (static_cast<float>(random) * 0x1p-31f - 1.0f) * 2.0f;
  switch (values) {
    case Values::kPlain: return plain;
    case Values::kWide: {
      const uint32_t kind = bits() % 8;
      if (kind == 0) return std::bit_cast<float>(random & 0x80000000u);
      if (kind == 1) return std::bit_cast<float>(random & 0x807fffffu);
      return (random & 0x7f800000u) == 0x7f800000u ? plain : std::bit_cast<float>(random);
    }
    case Values::kLow: return std::bit_cast<float>((random & 0x807fffffu) | (bits() % 4) << 23);
    case Values::kTiny: return std::bit_cast<float>((random & 0x807fffffu) | (56u + bits() % 12u) << 23);
    case Values::kEdge: {
      const float edge = kEdges[bits() % std::size(kEdges)];
      return random % 2 == 0 ? edge : -edge;
    }
    case Values::kNotFinite: {
      const uint32_t kind = bits() % 32;
      return kind == 0   ? std::bit_cast<float>(0x7fc00000u)
             : kind == 1 ? std::bit_cast<float>(0x7f800000u | (random & 0x80000000u))
                         : plain;
    }
    case Values::kAny: return std::bit_cast<float>(random % 29 == 0 ? 0x7fc00000u : random);
    case Values::kGolden: break;
  }
  NARU_CHECK(false, "golden values are drawn by drawn_floats");
  return 0;
}

std::string value_text(DType dtype, uint32_t bits) {
  if (dtype == DType::kI32) return fmt::format("{}", static_cast<int32_t>(bits));
  return fmt::format("{:a} = {}", std::bit_cast<float>(bits), short_value_text(dtype, bits));
}

std::string short_value_text(DType dtype, uint32_t bits) {
  if (dtype == DType::kI32) return value_text(dtype, bits);
  return fmt::format("{:.9g} ({:08x})", std::bit_cast<float>(bits), bits);
}

std::vector<float> drawn_floats(uint64_t seed, uint32_t stream, int64_t n, Values values) {
  std::vector<float> result(static_cast<size_t>(n));
  Filler filler(seed, stream);
  for (size_t i = 0; i < result.size(); ++i) {
    result[i] = values == Values::kGolden ? golden_float(stream, i) : filler.value(values);
  }
  return result;
}

std::vector<std::byte> stored_rows(DType dtype, uint64_t seed, uint32_t stream, int64_t rows, int64_t cols,
                                   Values values) {
  const DTypeInfo& info = dtype_info(dtype);
  const bool is_golden = values == Values::kGolden;
  if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16) {
    const int64_t n_blocks = rows * cols / info.block_elements;
    if (is_golden) return golden_blocks(dtype, stream, n_blocks);
    Filler filler(seed, stream);
    return drawn_blocks(dtype, filler, n_blocks, values);
  }
  std::vector<std::byte> bytes(static_cast<size_t>(rows * cols * info.block_bytes));
  if (dtype == DType::kF16 && !is_golden) {
    Filler filler(seed, stream);
    for (size_t at = 0; at < bytes.size(); at += 2) {
      const uint16_t half = drawn_f16(filler, values);
      std::memcpy(bytes.data() + at, &half, 2);
    }
    return bytes;
  }
  const std::vector<float> floats = drawn_floats(seed, stream, rows * cols, values);
  for (size_t i = 0; i < floats.size(); ++i) {
    if (dtype == DType::kF32) {
      std::memcpy(bytes.data() + 4 * i, &floats[i], 4);
      continue;
    }
    const uint16_t half =
        is_golden ? golden_half(dtype, floats[i]) : static_cast<uint16_t>(std::bit_cast<uint32_t>(floats[i]) >> 16);
    std::memcpy(bytes.data() + 2 * i, &half, 2);
  }
  return bytes;
}

}  // namespace naru::check
