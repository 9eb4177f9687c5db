// The CUDA chip: the kernels of chips/gpu on NVIDIA's devices, with the contract's bits. NVIDIA's driver (libcuda) and
// compiler (NVRTC) are opened when the program runs; where one is missing the chip is absent.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "chips/gpu/device_list.h"
#include "contract/chip.h"

namespace naru::cuda {

// The devices and the compiler, or why there is none.
Result<gpu::DeviceList> found();

// `form`: "" the first device, "1" the second, "0+software" the first with nothing of flushing and division left to the
// hardware.
Result<std::unique_ptr<contract::Chip>> make_cuda_chip(std::string_view form);

}  // namespace naru::cuda
