#include "chips/opencl/opencl_chip.h"

#include <fmt/format.h>

#include "chips/gpu/device_form.h"
#include "chips/gpu/gpu_chip.h"
#include "chips/gpu/probe.h"
#include "chips/opencl/devices.h"
#include "chips/opencl/driver.h"

namespace naru::opencl {

Result<gpu::DeviceList> found() {
  return found_devices();
}

Result<std::unique_ptr<contract::Chip>> make_opencl_chip(std::string_view text) {
  NARU_ASSIGN(const gpu::DeviceForm form, gpu::parse_device_form("opencl", text));
  if (const auto apart = found_devices(); !apart.ok()) return Error(apart.error());
  NARU_ASSIGN(const std::vector<DeviceFacts> devices, list_devices());
  NARU_TRY(gpu::check_number("opencl", text, form.device, listed(devices)));
  const DeviceFacts& device = devices[form.device];
  if (const std::string why_not = why_not_exact(device); !why_not.empty()) {
    return Error{Code::kUnsupported,
                 fmt::format("opening chip opencl ({}): {}, so it cannot be exact; use another device or "
                             "chip cpu",
                             device.name, why_not)};
  }
  NARU_ASSIGN(const Api* api, load_api());
  NARU_ASSIGN(std::unique_ptr<OpenclDriver> driver, OpenclDriver::open(*api, device));
  // Where division need not be rounded correctly, what was probed says little of the rest.
  const bool divides = (device.float_config & kFpCorrectlyRoundedDivideSqrt) != 0;
  gpu::Software asked = gpu::asked_software(form.is_software);
  asked.divide = asked.divide || !divides;
  NARU_TRY(gpu::choose_exact(*driver, asked));
  return gpu::make_gpu_chip(std::move(driver));
}

}  // namespace naru::opencl
