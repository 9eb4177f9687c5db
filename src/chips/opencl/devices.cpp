#include "chips/opencl/devices.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "chips/gpu/look_apart.h"

namespace naru::opencl {
namespace {

constexpr std::string_view kLooking = "looking for OpenCL devices";
constexpr Uint kPlatformsMax = 32, kDevicesMax = 64;

std::string text_of(const DeviceId device, const Api& api, Uint what) {
  char text[512] = {};
  if (api.get_device_info(device, what, sizeof(text) - 1, text, nullptr) != kSuccess) return "unknown";
  return text;
}

template <typename T>
T number_of(const DeviceId device, const Api& api, Uint what) {
  T value{};
  if (api.get_device_info(device, what, sizeof(value), &value, nullptr) != kSuccess) return T{};
  return value;
}

DeviceFacts facts_of(const Api& api, PlatformId platform, DeviceId device) {
  char platform_name[256] = {}, platform_version[256] = {};
  api.get_platform_info(platform, kPlatformName, sizeof(platform_name) - 1, platform_name, nullptr);
  api.get_platform_info(platform, kPlatformVersion, sizeof(platform_version) - 1, platform_version, nullptr);
  DeviceFacts facts;
  facts.platform = platform;
  facts.id = device;
  facts.name = text_of(device, api, kDeviceName);
  facts.version =
      fmt::format("{}, {}, driver {}", platform_name, platform_version, text_of(device, api, kDriverVersion));
  facts.type = number_of<Bits>(device, api, kDeviceType);
  facts.float_config = number_of<Bits>(device, api, kDeviceSingleFpConfig);
  facts.memory_bytes = static_cast<int64_t>(number_of<uint64_t>(device, api, kDeviceGlobalMemSize));
  facts.free_bytes = free_bytes_of(api, device, facts.memory_bytes);
  facts.allocation_max = static_cast<int64_t>(number_of<uint64_t>(device, api, kDeviceMaxMemAllocSize));
  facts.local_bytes = static_cast<int64_t>(number_of<uint64_t>(device, api, kDeviceLocalMemSize));
  facts.group_max = static_cast<int64_t>(number_of<size_t>(device, api, kDeviceMaxWorkGroupSize));
  facts.vector_floats = static_cast<int64_t>(number_of<Uint>(device, api, kDeviceNativeVectorWidthFloat));
  facts.is_host_memory = number_of<Uint>(device, api, kDeviceHostUnifiedMemory) != 0;
  return facts;
}

Error no_device(std::string_view why) {
  return {Code::kUnavailable, fmt::format("{}: {}; {}", kLooking, why, kInstall)};
}

Result<std::string> look_for_devices() {
  const auto text_of_list = []() -> Result<std::string> {
    NARU_ASSIGN(const auto devices, list_devices());
    return gpu::text_of(listed(devices));
  };
  return gpu::look_apart(text_of_list, kLooking, kInstall);
}

// What the loaders of OpenCL read.
std::string where_to_look() {
  return gpu::variable_line("OCL_ICD_VENDORS") + gpu::variable_line("OCL_ICD_FILENAMES");
}

gpu::Look look(look_for_devices, where_to_look);

}  // namespace

Result<std::vector<DeviceFacts>> list_devices() {
  NARU_ASSIGN(const Api* api, load_api());
  PlatformId platforms[kPlatformsMax];
  Uint n_platforms = 0;
  const Int found = api->get_platform_ids(kPlatformsMax, platforms, &n_platforms);
  if (found == kPlatformNotFound || (found == kSuccess && n_platforms == 0)) return no_device("no driver is installed");
  if (found != kSuccess) return no_device(fmt::format("clGetPlatformIDs says {}", error_name(found)));
  std::vector<DeviceFacts> devices;
  for (Uint p = 0; p < std::min(n_platforms, kPlatformsMax); ++p) {
    DeviceId ids[kDevicesMax];
    Uint n = 0;
    if (api->get_device_ids(platforms[p], kDeviceTypeAll, kDevicesMax, ids, &n) != kSuccess) continue;
    for (Uint d = 0; d < std::min(n, kDevicesMax); ++d) devices.push_back(facts_of(*api, platforms[p], ids[d]));
  }
  if (devices.empty()) return no_device("the drivers that are installed have no device");
  std::stable_partition(devices.begin(), devices.end(),
                        [](const DeviceFacts& device) { return (device.type & kDeviceTypeGpu) != 0; });
  return devices;
}

Result<gpu::DeviceList> found_devices() {
  NARU_ASSIGN(const std::string text, look.found());
  return gpu::list_of(text);
}

int64_t free_bytes_of(const Api& api, DeviceId device, int64_t memory_bytes) {
  size_t kib[2] = {};
  if (api.get_device_info(device, kDeviceFreeMemoryAmd, sizeof(kib), kib, nullptr) != kSuccess) return memory_bytes;
  const bool can_be = kib[0] > 0 && kib[0] <= static_cast<size_t>(memory_bytes) / 1024;
  return can_be ? static_cast<int64_t>(kib[0]) * 1024 : memory_bytes;
}

gpu::DeviceList listed(const std::vector<DeviceFacts>& devices) {
  gpu::DeviceList list;
  for (const DeviceFacts& device : devices) {
    list.devices.push_back(
        {fmt::format("{} ({})", device.name, device.version), device.memory_bytes, why_not_exact(device)});
  }
  return list;
}

std::string why_not_exact(const DeviceFacts& device) {
  if ((device.float_config & kFpFma) == 0) return "it has no fma of single precision";
  if ((device.float_config & kFpRoundToNearest) == 0) return "it does not round to nearest";
  return gpu::why_too_small(device.group_max, device.local_bytes);
}

}  // namespace naru::opencl
