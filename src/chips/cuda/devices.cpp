#include "chips/cuda/devices.h"

#include <fmt/format.h>

#include <mutex>
#include <set>

#include "chips/cuda/compiler_api.h"
#include "chips/gpu/look_apart.h"

namespace naru::cuda {
namespace {

constexpr std::string_view kLooking = "looking for CUDA devices";
constexpr std::string_view kLook = "see `nvidia-smi` and the system's log, or use another chip";

// The libraries that were initialised in this process, as NARU_LIBCUDA named them.
std::mutex initialised_lock;
std::set<std::string> initialised;

bool is_at_work() {
  const std::lock_guard guard(initialised_lock);
  return initialised.contains(driver_library_name());
}

Error no_device(std::string_view why) {
  return {Code::kUnavailable, fmt::format("{}: {}; {}", kLooking, why, kLook)};
}

Result<DeviceFacts> facts_of(const DriverApi& api, int number) {
  DeviceFacts facts;
  DriverCode code = api.device(&facts.id, number);
  const auto read = [&](int what) {
    int value = 0;
    if (code == kSuccess) code = api.device_attribute(&value, what, facts.id);
    return value;
  };
  char name[256] = {};
  if (code == kSuccess) code = api.device_name(name, sizeof(name) - 1, facts.id);
  facts.name = name;
  facts.capability = 10 * read(kCapabilityMajor);
  facts.capability += read(kCapabilityMinor);
  facts.group_max = read(kMaxThreadsPerBlock);
  facts.local_bytes = read(kMaxSharedMemoryPerBlock);
  facts.is_host_memory = read(kIntegrated) != 0;
  facts.compute_mode = read(kComputeMode);
  size_t bytes = 0;
  if (code == kSuccess) code = api.device_memory(&bytes, facts.id);
  facts.memory_bytes = static_cast<int64_t>(bytes);
  if (code == kSuccess) code = api.driver_version(&facts.driver_version);
  if (code == kSuccess) return facts;
  return no_device(fmt::format("asking device {} ({}): the driver says {}", number, api.file, api.describe(code)));
}

Result<std::string> look_for_devices() {
  const auto text_of_list = []() -> Result<std::string> {
    NARU_ASSIGN(const auto devices, list_devices());
    NARU_ASSIGN(const CompilerApi* compiler, load_compiler_api());
    return gpu::text_of(listed(devices, *compiler));
  };
  return is_at_work() ? text_of_list() : gpu::look_apart(text_of_list, kLooking, kLook);
}

std::string where_to_look() {
  std::string lines;
  for (const char* name : {"NARU_LIBCUDA", "NARU_NVRTC", "CUDA_HOME", "CUDA_PATH", "VIRTUAL_ENV"}) {
    lines += gpu::variable_line(name);
  }
  return lines;
}

gpu::Look look(look_for_devices, where_to_look);

}  // namespace

std::string DeviceFacts::words() const {
  return fmt::format("{} (compute capability {}.{}, driver of CUDA {})", name, capability / 10, capability % 10,
                     version_words(driver_version));
}

Result<std::vector<DeviceFacts>> list_devices() {
  NARU_ASSIGN(const DriverApi* api, load_driver_api());
  if (const DriverCode code = api->init(0); code != kSuccess) {
    return no_device(fmt::format("cuInit of {} says {}", api->file, api->describe(code)));
  }
  {
    const std::lock_guard guard(initialised_lock);
    initialised.insert(driver_library_name());
  }
  int count = 0;
  if (const DriverCode code = api->device_count(&count); code != kSuccess) {
    return no_device(fmt::format("cuDeviceGetCount of {} says {}", api->file, api->describe(code)));
  }
  if (count < 1) return no_device(fmt::format("{} has none", api->file));
  std::vector<DeviceFacts> devices;
  for (int i = 0; i < count; ++i) {
    NARU_ASSIGN(DeviceFacts facts, facts_of(*api, i));
    devices.push_back(std::move(facts));
  }
  return devices;
}

Result<gpu::DeviceList> found_devices() {
  NARU_ASSIGN(const std::string text, look.found());
  return gpu::list_of(text);
}

gpu::DeviceList listed(const std::vector<DeviceFacts>& devices, const CompilerApi& compiler) {
  gpu::DeviceList list{.devices = {}, .compiler = compiler.words()};
  for (const DeviceFacts& device : devices) {
    list.devices.push_back({device.words(), device.memory_bytes, why_not(device)});
  }
  return list;
}

std::string why_not(const DeviceFacts& device) {
  if (device.compute_mode == kComputeModeProhibited) return "its compute mode is Prohibited";
  return gpu::why_too_small(device.group_max, device.local_bytes);
}

}  // namespace naru::cuda
