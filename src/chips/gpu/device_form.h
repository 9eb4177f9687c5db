// Which device a name of a chip means, as "opencl:1" or "cuda:0+software".
#pragma once

#include <cstddef>
#include <string_view>

#include "base/result.h"

namespace naru::gpu {

struct DeviceForm {
  size_t device = 0;         // its number in the order of the chip
  bool is_software = false;  // nothing of flushing and division is left to the hardware
};

// `text`: what follows the colon behind the name of the chip; empty: the first device.
Result<DeviceForm> parse_device_form(std::string_view chip, std::string_view text);

}  // namespace naru::gpu
