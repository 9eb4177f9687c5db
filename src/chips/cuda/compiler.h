// The text of kernels made into an image for a device: machine code where NVRTC knows the device, else PTX of the
// latest that it knows, which the driver compiles further.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "chips/cuda/compiler_api.h"
#include "chips/gpu/driver.h"

namespace naru::cuda {

struct Target {
  int capability = 0;      // 90 of compute capability 9.0
  bool is_machine = true;  // machine code, else PTX
};

// kUnsupported where NVRTC knows nothing that runs there.
Result<Target> choose_target(const CompilerApi& api, int capability);

// Nothing is contracted, and divisions and roots are rounded as the contract says; values are flushed by the hardware
// or by the text.
std::vector<std::string> compile_options(const Target& target, const gpu::Software& software);

// The error has the beginning of NVRTC's log.
Result<std::string> compile(const CompilerApi& api, std::string_view program, const std::string& text,
                            const Target& target, std::span<const std::string> options);

}  // namespace naru::cuda
