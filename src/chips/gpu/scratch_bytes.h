// What an op of the GPU chip holds beside its operands while it runs.
#pragma once

#include <cstdint>

#include "contract/ops.h"

namespace naru::gpu {

int64_t scratch_bytes(const contract::Op& op);

}  // namespace naru::gpu
