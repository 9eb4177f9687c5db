// DType: how the elements of a stored tensor are written. Float types hold one element a unit; the GGUF kinds hold a
// block of elements in a fixed number of bytes (layouts: docs/formats.md, formats/ggml_blocks.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace naru {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kF8E4M3,  // with one f32 scale per 128 x 128 block, kept in a companion tensor
  kI8,
  kI32,
  kI64,
  kU8,
  kBool,
  kF64,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ4_K,
  kQ5_K,
  kQ6_K,
};

struct DTypeInfo {
  std::string_view name;   // "f32", "q4_0", ...
  int64_t block_elements;  // elements a block
  int64_t block_bytes;     // bytes a block
};

const DTypeInfo& dtype_info(DType dtype);
inline std::string_view dtype_name(DType dtype) {
  return dtype_info(dtype).name;
}

// Kinds whose products go by integer blocks (docs/arithmetic.md section 3).
inline bool is_quantised(DType dtype) {
  return dtype >= DType::kQ8_0;
}

// Bytes of `n` elements; nothing where n is negative, no multiple of the block, or the size overflows.
std::optional<int64_t> dtype_bytes(DType dtype, int64_t n);

}  // namespace naru
