#include "tensor/dtype.h"

#include "base/check.h"
#include "base/checked.h"

namespace naru {

const DTypeInfo& dtype_info(DType dtype) {
  static constexpr DTypeInfo kInfos[] = {
      {"f32", 1, 4},    {"f16", 1, 2},    {"bf16", 1, 2},   {"f8_e4m3", 1, 1},  {"i8", 1, 1},       {"i32", 1, 4},
      {"i64", 1, 8},    {"u8", 1, 1},     {"bool", 1, 1},   {"f64", 1, 8},      {"q8_0", 32, 34},   {"q4_0", 32, 18},
      {"q4_1", 32, 20}, {"q5_0", 32, 22}, {"q5_1", 32, 24}, {"q4_k", 256, 144}, {"q5_k", 256, 176}, {"q6_k", 256, 210},
  };
  static_assert(sizeof(kInfos) / sizeof(kInfos[0]) == static_cast<size_t>(DType::kQ6_K) + 1);
  return kInfos[static_cast<size_t>(dtype)];
}

std::optional<int64_t> dtype_bytes(DType dtype, int64_t n) {
  const DTypeInfo& info = dtype_info(dtype);
  if (n < 0 || n % info.block_elements != 0) return std::nullopt;
  return checked_mul(n / info.block_elements, info.block_bytes);
}

}  // namespace naru
