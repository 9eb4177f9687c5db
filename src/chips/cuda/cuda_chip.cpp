#include "chips/cuda/cuda_chip.h"

#include <fmt/format.h>

#include "chips/cuda/compiler_api.h"
#include "chips/cuda/devices.h"
#include "chips/cuda/driver.h"
#include "chips/gpu/device_form.h"
#include "chips/gpu/gpu_chip.h"
#include "chips/gpu/probe.h"

namespace naru::cuda {

Result<gpu::DeviceList> found() {
  return found_devices();
}

Result<std::unique_ptr<contract::Chip>> make_cuda_chip(std::string_view text) {
  NARU_ASSIGN(const gpu::DeviceForm form, gpu::parse_device_form("cuda", text));
  if (const auto apart = found_devices(); !apart.ok()) return Error(apart.error());
  NARU_ASSIGN(const std::vector<DeviceFacts> devices, list_devices());
  NARU_ASSIGN(const DriverApi* api, load_driver_api());
  NARU_ASSIGN(const CompilerApi* compiler, load_compiler_api());
  NARU_TRY(gpu::check_number("cuda", text, form.device, listed(devices, *compiler)));
  const DeviceFacts& device = devices[form.device];
  if (const std::string why = why_not(device); !why.empty()) {
    return Error{Code::kUnsupported,
                 fmt::format("opening chip cuda ({}): {}; use another device or chip cpu", device.name, why)};
  }
  NARU_ASSIGN(std::unique_ptr<CudaDriver> driver, CudaDriver::open(*api, *compiler, device));
  NARU_TRY(gpu::choose_exact(*driver, gpu::asked_software(form.is_software)));
  return gpu::make_gpu_chip(std::move(driver));
}

}  // namespace naru::cuda
