// The GPU chip: the contract's chip over a driver (driver.h). What it computes is the text of its kernels; what a
// library of a vendor adds is memory, a queue and a compiler.
#pragma once

#include <memory>

#include "chips/gpu/driver.h"
#include "contract/chip.h"

namespace naru::gpu {

Result<std::unique_ptr<contract::Chip>> make_gpu_chip(std::unique_ptr<Driver> driver);

}  // namespace naru::gpu
