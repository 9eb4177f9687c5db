// What the kernels of an op hold beside its operands, for plans.
#pragma once

#include "contract/ops.h"

namespace naru::cpu {

// About: the forms of operands that products read (rounded, quantised, in panels), which outweigh all else.
int64_t scratch_bytes(const contract::Op& op);

}  // namespace naru::cpu
