// Element conversions row by row. The encoders fit each block by itself: amax for the symmetric kinds, min and max for
// the affine ones, two levels of the same for the super-blocks of 256.
#include "formats/ggml_blocks.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <span>

#include "base/check.h"
#include "base/float_bits.h"
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

// --- encoders ---------------------------------------------------------------------------------------------------

double finite_or_zero(float value) {
  return std::isfinite(value) ? static_cast<double>(value) : 0.0;
}

// The nearest integer in [low, high], halves away from zero; 0 clamped where x is no number.
int nearest(double x, int low, int high) {
  if (std::isnan(x)) x = 0;
  return static_cast<int>(std::clamp(std::round(x), static_cast<double>(low), static_cast<double>(high)));
}

int quotient(double x, double step, int low, int high) {
  return nearest(step == 0 ? 0.0 : x / step, low, high);
}

// Writes a scale as f16, kept finite, and returns the value that a reader will see.
double store_scale(std::byte* out, int64_t index, double value) {
  const auto bits = f32_to_f16(static_cast<float>(std::clamp(value, -65504.0, 65504.0)));
  store<uint16_t>(out, index, bits);
  return f16_to_f32(bits);
}

struct Range {
  double min = 0;  // <= 0 for the super-block kinds' use
  double max = 0;
  double extreme = 0;  // the element of largest magnitude, with its sign
};

Range range_of(std::span<const double> x) {
  Range range{x[0], x[0], 0};
  for (const double value : x) {
    range.min = std::min(range.min, value);
    range.max = std::max(range.max, value);
    if (std::fabs(value) > std::fabs(range.extreme)) range.extreme = value;
  }
  return range;
}

// Elements 0..15 in the low nibbles, 16..31 in the high ones.
void store_nibbles_32(std::byte* out, const int* q) {
  for (int j = 0; j < 16; ++j) out[j] = static_cast<std::byte>((q[j] & 15) | ((q[j + 16] & 15) << 4));
}

void store_fifth_bits(std::byte* out, const int* q) {
  uint32_t high = 0;
  for (int e = 0; e < 32; ++e) high |= static_cast<uint32_t>((q[e] >> 4) & 1) << e;
  store<uint32_t>(out, 0, high);
}

void encode_q8_0(std::span<const double> x, std::byte* out) {
  const double d = store_scale(out, 0, std::fabs(range_of(x).extreme) / 127);
  for (int e = 0; e < 32; ++e) out[2 + e] = static_cast<std::byte>(quotient(x[static_cast<size_t>(e)], d, -127, 127));
}

// Q4_0 and Q5_0: the element of largest magnitude becomes the most negative integer.
void encode_symmetric(std::span<const double> x, int bits, std::byte* out) {
  const int half = 1 << (bits - 1);
  const double d = store_scale(out, 0, range_of(x).extreme / -half);
  int q[32];
  for (size_t e = 0; e < 32; ++e) q[e] = quotient(x[e], d, -half, half - 1) + half;
  if (bits == 5) store_fifth_bits(out + 2, q);
  store_nibbles_32(out + (bits == 5 ? 6 : 2), q);
}

// Q4_1 and Q5_1.
void encode_affine(std::span<const double> x, int bits, std::byte* out) {
  const int top = (1 << bits) - 1;
  const Range range = range_of(x);
  const double d = store_scale(out, 0, (range.max - range.min) / top);
  const double m = store_scale(out, 1, range.min);
  int q[32];
  for (size_t e = 0; e < 32; ++e) q[e] = quotient(x[e] - m, d, 0, top);
  if (bits == 5) store_fifth_bits(out + 4, q);
  store_nibbles_32(out + (bits == 5 ? 8 : 4), q);
}

// Eight 6-bit scales and eight 6-bit minimums in twelve bytes.
void store_scales_6bit(std::byte* out, const int* sc, const int* mn) {
  for (int b = 0; b < 4; ++b) {
    out[b] = static_cast<std::byte>(sc[b] | ((sc[b + 4] >> 4) << 6));
    out[b + 4] = static_cast<std::byte>(mn[b] | ((mn[b + 4] >> 4) << 6));
    out[b + 8] = static_cast<std::byte>((sc[b + 4] & 15) | ((mn[b + 4] & 15) << 4));
  }
}

// Q4_K and Q5_K: d * sc * q - dmin * mn in eight sub-blocks of 32.
void encode_super_affine(std::span<const double> x, int bits, std::byte* out) {
  const int top = (1 << bits) - 1;
  std::array<double, 8> step{}, minus{};
  double step_max = 0, minus_max = 0;
  for (size_t b = 0; b < 8; ++b) {
    const Range range = range_of(x.subspan(32 * b, 32));
    minus[b] = -std::min(range.min, 0.0);
    step[b] = (std::max(range.max, 0.0) + minus[b]) / top;
    step_max = std::max(step_max, step[b]);
    minus_max = std::max(minus_max, minus[b]);
  }
  const double d = store_scale(out, 0, step_max / 63);
  const double dmin = store_scale(out, 1, minus_max / 63);
  int sc[8], mn[8], q[256];
  for (size_t b = 0; b < 8; ++b) {
    sc[b] = quotient(step[b], d, 0, 63);
    mn[b] = quotient(minus[b], dmin, 0, 63);
    for (size_t e = 32 * b; e < 32 * b + 32; ++e) q[e] = quotient(x[e] + dmin * mn[b], d * sc[b], 0, top);
  }
  store_scales_6bit(out + 4, sc, mn);
  std::byte* nibbles = out + 16;
  if (bits == 5) {
    for (int l = 0; l < 32; ++l) {
      int high = 0;
      for (int b = 0; b < 8; ++b) high |= (q[32 * b + l] >> 4) << b;
      out[16 + l] = static_cast<std::byte>(high);
    }
    nibbles = out + 48;
  }
  for (int p = 0; p < 4; ++p) {
    for (int l = 0; l < 32; ++l) {
      nibbles[32 * p + l] = static_cast<std::byte>((q[64 * p + l] & 15) | ((q[64 * p + 32 + l] & 15) << 4));
    }
  }
}

// Q6_K: d * sc * q in sixteen sub-blocks of 16.
void encode_q6_k(std::span<const double> x, std::byte* out) {
  std::array<double, 16> step{};
  for (size_t b = 0; b < 16; ++b) step[b] = range_of(x.subspan(16 * b, 16)).extreme / -32;
  const double d = store_scale(out, 104, range_of(step).extreme / -128);
  int q[256];
  for (size_t b = 0; b < 16; ++b) {
    const int sc = quotient(step[b], d, -128, 127);
    out[192 + b] = static_cast<std::byte>(sc);
    for (size_t e = 16 * b; e < 16 * b + 16; ++e) q[e] = quotient(x[e], d * sc, -32, 31) + 32;
  }
  for (int h = 0; h < 2; ++h) {
    const int* half = q + 128 * h;
    for (int l = 0; l < 32; ++l) {
      const int a = half[l], b = half[32 + l], c = half[64 + l], e = half[96 + l];
      out[64 * h + l] = static_cast<std::byte>((a & 15) | ((c & 15) << 4));
      out[64 * h + 32 + l] = static_cast<std::byte>((b & 15) | ((e & 15) << 4));
      out[128 + 32 * h + l] = static_cast<std::byte>((a >> 4) | ((b >> 4) << 2) | ((c >> 4) << 4) | ((e >> 4) << 6));
    }
  }
}

void encode_block(DType dtype, std::span<const double> x, std::byte* out) {
  switch (dtype) {
    case DType::kQ8_0: return encode_q8_0(x, out);
    case DType::kQ4_0: return encode_symmetric(x, 4, out);
    case DType::kQ4_1: return encode_affine(x, 4, out);
    case DType::kQ5_0: return encode_symmetric(x, 5, out);
    case DType::kQ5_1: return encode_affine(x, 5, out);
    case DType::kQ4_K: return encode_super_affine(x, 4, out);
    case DType::kQ5_K: return encode_super_affine(x, 5, out);
    case DType::kQ6_K: return encode_q6_k(x, out);
    default: NARU_CHECK(false, dtype_name(dtype), "is no block kind");
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
  std::array<double, 256> x;
  for (int64_t i = 0; i < n; i += info.block_elements, out += info.block_bytes) {
    for (int64_t e = 0; e < info.block_elements; ++e) x[static_cast<size_t>(e)] = finite_or_zero(row[i + e]);
    encode_block(dtype, std::span(x).first(static_cast<size_t>(info.block_elements)), out);
  }
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
