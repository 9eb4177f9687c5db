// Element conversions row by row.
#include "formats/ggml_blocks.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/float_bits.h"
#include "formats/quantise_blocks.h"
#include "tensor/quant_blocks.h"

namespace naru::formats {
namespace {

template <typename T>
T load(const std::byte* bytes, int64_t index) {
  T value;
  std::memcpy(&value, bytes + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

template <typename T>
void store(std::byte* bytes, int64_t index, T value) {
  std::memcpy(bytes + index * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

// Rounded to 24 bits with unbounded exponent, then zero of its sign below 2^-126: the same in every floating-point
// mode.
float round_and_flush(double value) {
  constexpr double kLeastKept = 0x1p-126 - 0x1p-151;  // a tie, and 2^-126 is the even one
  if (std::fabs(value) < kLeastKept) return std::signbit(value) ? -0.0f : 0.0f;
  return static_cast<float>(value);
}

float flush_input(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return (bits & 0x7f800000u) == 0 ? std::bit_cast<float>(bits & 0x80000000u) : value;
}

void dequantise_blocks(DType dtype, const std::byte* row, int64_t n, float* out) {
  const DTypeInfo& info = dtype_info(dtype);
  QuantBlock block;
  for (int64_t i = 0; i < n; i += info.block_elements, row += info.block_bytes) {
    read_quant_block(dtype, row, block);
    for (int64_t e = 0; e < info.block_elements; ++e) out[i + e] = quant_block_value(dtype, block, e);
  }
}

}  // namespace

void dequantise_row(DType dtype, const std::byte* row, int64_t n, float* out) {
  NARU_CHECK(n >= 0 && n % dtype_info(dtype).block_elements == 0, dtype_name(dtype), n);
  switch (dtype) {
    case DType::kF32: std::memcpy(out, row, static_cast<size_t>(n) * sizeof(float)); return;
    case DType::kF16:
      for (int64_t i = 0; i < n; ++i) out[i] = f16_to_f32(load<uint16_t>(row, i));
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < n; ++i) out[i] = bf16_to_f32(load<uint16_t>(row, i));
      return;
    case DType::kF8E4M3:
      for (int64_t i = 0; i < n; ++i) out[i] = f8_e4m3_to_f32(load<uint8_t>(row, i));
      return;
    case DType::kI8:
      for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(load<int8_t>(row, i));
      return;
    case DType::kI32:
      for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(load<int32_t>(row, i));
      return;
    case DType::kI64:
      for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(load<int64_t>(row, i));
      return;
    case DType::kU8:
      for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(load<uint8_t>(row, i));
      return;
    case DType::kBool:
      for (int64_t i = 0; i < n; ++i) out[i] = load<uint8_t>(row, i) != 0 ? 1.0f : 0.0f;
      return;
    case DType::kF64:
      for (int64_t i = 0; i < n; ++i) out[i] = round_and_flush(load<double>(row, i));
      return;
    case DType::kQ8_0:
    case DType::kQ4_0:
    case DType::kQ4_1:
    case DType::kQ5_0:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
    case DType::kQ6_K: dequantise_blocks(dtype, row, n, out); return;
  }
}

void dequantise_fp8_row(const std::byte* row, int64_t n, const float* scales, int64_t block_cols, float* out) {
  NARU_CHECK(n >= 0 && block_cols > 0, n, block_cols);
  for (int64_t i = 0; i < n; ++i) {
    const double scale = flush_input(scales[i / block_cols]);
    out[i] = round_and_flush(static_cast<double>(f8_e4m3_to_f32(load<uint8_t>(row, i))) * scale);
  }
}

void quantise_row(DType dtype, const float* row, int64_t n, std::byte* out) {
  const DTypeInfo& info = dtype_info(dtype);
  NARU_CHECK(n >= 0 && n % info.block_elements == 0, dtype_name(dtype), n);
  switch (dtype) {
    case DType::kF32: std::memcpy(out, row, static_cast<size_t>(n) * sizeof(float)); return;
    case DType::kF16:
      for (int64_t i = 0; i < n; ++i) store<uint16_t>(out, i, f32_to_f16(row[i]));
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < n; ++i) store<uint16_t>(out, i, f32_to_bf16(row[i]));
      return;
    case DType::kF8E4M3:
      for (int64_t i = 0; i < n; ++i) store<uint8_t>(out, i, f32_to_f8_e4m3(row[i]));
      return;
    default: break;
  }
  NARU_CHECK(is_quantised(dtype), dtype_name(dtype), "has no encoder");
  quantise_blocks(dtype, row, n, out);
}

uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return 0x7e00;
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520 and more round to infinity
  if (magnitude < 0x38800000u) {
    // Below 2^-14 the result is a multiple of 2^-24: shift the mantissa down to that and round.
    if (magnitude < 0x33000000u) return static_cast<uint16_t>(sign);  // below 2^-25
    const uint32_t exponent = magnitude >> 23;
    const uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    const uint32_t shift = 126 - exponent;  // 14 .. 24
    const uint32_t half = 1u << (shift - 1);
    const uint32_t low = mantissa & ((1u << shift) - 1);
    uint32_t result = mantissa >> shift;
    if (low > half || (low == half && (result & 1u) != 0)) ++result;
    return static_cast<uint16_t>(sign | result);
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

uint8_t f32_to_f8_e4m3(float value) {
  if (std::isnan(value)) return 0x7f;
  const uint8_t sign = std::signbit(value) ? 0x80 : 0;
  const double magnitude = std::fabs(static_cast<double>(value));
  if (magnitude >= 448) return sign | 0x7e;
  // Spacing of the numbers near this magnitude: 2^-9 below 2^-6, else 2^(exponent - 3).
  const int exponent = magnitude < 0x1p-6 ? -6 : std::ilogb(magnitude);
  const auto steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 3 - exponent)));  // 0..16
  // Sixteen steps are the next power of two, which the sum carries into the exponent by itself.
  const int code = exponent == -6 ? steps : ((exponent + 7) << 3) + (steps - 8);
  return static_cast<uint8_t>(sign | std::min(code, 0x7e));
}

}  // namespace naru::formats
