// What an op of the GPU chip holds beside its operands while it runs: its slots of Device::scratch(), which lie one
// behind another in one memory. What is said here is what an op may take: it is planned with, and the device holds the
// op to it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "contract/ops.h"

namespace naru::gpu {

inline constexpr size_t kScratchSlots = 6;
inline constexpr int64_t kScratchAlignment = 256;
using ScratchSlots = std::array<int64_t, kScratchSlots>;  // bytes of each

ScratchSlots scratch_slots(const contract::Op& op);

// Of all slots together, each from a multiple of kScratchAlignment on.
int64_t total_bytes(const ScratchSlots& slots);

}  // namespace naru::gpu
