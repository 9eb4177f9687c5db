// Every kernel by its name: which program it is in, and the items of its groups as its KERNEL(x, y) says. Programs are
// built when the first of their kernels is launched.
#pragma once

#include <span>
#include <string_view>

#include "chips/gpu/driver.h"

namespace naru::gpu {

std::span<const KernelInfo> all_kernels();
const KernelInfo& kernel_of(std::string_view name);  // of one that there is

}  // namespace naru::gpu
