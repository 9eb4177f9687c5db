// The OpenCL chip: the kernels of chips/gpu on any device with a driver for OpenCL 1.2, with the contract's bits. What
// the hardware does otherwise than docs/arithmetic.md section 1 the text of the kernels does in software; a device that
// stays different is refused.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "chips/gpu/device_list.h"
#include "contract/chip.h"

namespace naru::opencl {

// The devices, or why there is none.
Result<gpu::DeviceList> found();

// `form`: "" the first device, "1" the second, "0+software" the first with nothing of flushing and division left to the
// hardware.
Result<std::unique_ptr<contract::Chip>> make_opencl_chip(std::string_view form);

}  // namespace naru::opencl
