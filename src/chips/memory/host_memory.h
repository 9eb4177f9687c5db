// For chips whose memory is the host's: a ChipAddress is a pointer, and kernels read views through it. Kernels of every
// level call these functions, so no copy of them may outlive its level.
#pragma once

#include "chips/memory/address_space.h"
#include "tensor/view.h"

namespace naru {

[[gnu::always_inline]] inline std::byte* pointer_of(ChipAddress address) {
  return reinterpret_cast<std::byte*>(AddressSpace::number(address));  // NOLINT: the address is a pointer
}
[[gnu::always_inline]] inline ChipAddress address_of(const void* pointer) {
  return AddressSpace::address(reinterpret_cast<uint64_t>(pointer));
}

// The first element of a row.
[[gnu::always_inline]] inline float* f32(const View& view, int64_t row = 0) {
  NARU_DCHECK(view.dtype == DType::kF32);
  return reinterpret_cast<float*>(pointer_of(view.address)) + row * view.row_stride;
}
[[gnu::always_inline]] inline int32_t* i32(const View& view, int64_t row = 0) {
  NARU_DCHECK(view.dtype == DType::kI32);
  return reinterpret_cast<int32_t*>(pointer_of(view.address)) + row * view.row_stride;
}

}  // namespace naru
