#include "chips/opencl/devices.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "base/owned_fd.h"

namespace naru::opencl {
namespace {

constexpr int kPatienceMs = 20000;
constexpr size_t kAnswerMax = 16384;
constexpr Uint kPlatformsMax = 32, kDevicesMax = 64;
// Of a group of the kernels: items, and bytes of local memory (text/products.cl, text/attention.cl).
constexpr int64_t kGroupItems = 64, kLocalBytes = 16640;

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
  facts.allocation_max = static_cast<int64_t>(number_of<uint64_t>(device, api, kDeviceMaxMemAllocSize));
  facts.local_bytes = static_cast<int64_t>(number_of<uint64_t>(device, api, kDeviceLocalMemSize));
  facts.group_max = static_cast<int64_t>(number_of<size_t>(device, api, kDeviceMaxWorkGroupSize));
  facts.is_host_memory = number_of<Uint>(device, api, kDeviceHostUnifiedMemory) != 0;
  return facts;
}

Error no_device(std::string_view why) {
  return {Code::kUnavailable,
          fmt::format("looking for OpenCL devices: {}; install a vendor's OpenCL driver, or PoCL for the "
                      "processor (./scripts/setup --opencl)",
                      why)};
}

// In the process that looks: an answer is "+" or "-" and a line.
[[noreturn]] void answer(int fd) {
  const auto devices = list_devices();
  std::string text;
  if (devices.ok()) {
    for (size_t i = 0; i < devices->size(); ++i) {
      const DeviceFacts& device = (*devices)[i];
      const std::string why_not = why_not_exact(device);
      text += fmt::format("{}{} {} ({}){}", i == 0 ? "+" : "; ", i, device.name, device.version,
                          why_not.empty() ? "" : ", not exact: " + why_not);
    }
  } else {
    text = "-" + devices.error().message;
  }
  text.resize(std::min(text.size(), kAnswerMax - 1));
  const ssize_t n = ::write(fd, text.data(), text.size());
  ::_exit(n == static_cast<ssize_t>(text.size()) ? 0 : 1);
}

// What the child wrote until it ended; empty where it did not in time.
std::string read_answer(int fd) {
  std::string text;
  char part[1024];
  for (;;) {
    pollfd waiting{fd, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, kPatienceMs);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return {};
    const ssize_t n = ::read(fd, part, sizeof(part));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 || text.size() > kAnswerMax) return text;
    text.append(part, static_cast<size_t>(n));
  }
}

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

Result<std::string> found_devices() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return no_device("the system gives no pipe");
  OwnedFd read_end(ends[0]), write_end(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) answer(write_end.get());
  if (child < 0) return no_device("the system gives no process to look with");
  write_end = OwnedFd();
  const std::string text = read_answer(read_end.get());
  if (text.empty()) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
    return no_device(fmt::format("a driver crashed when it was loaded (signal {})", WTERMSIG(status)));
  }
  if (text.empty()) return no_device(fmt::format("a driver gave no answer in {} s", kPatienceMs / 1000));
  if (text.front() == '+') return text.substr(1);
  return Error{Code::kUnavailable, text.substr(1)};
}

std::string why_not_exact(const DeviceFacts& device) {
  if ((device.float_config & kFpFma) == 0) return "it has no fma of single precision";
  if ((device.float_config & kFpRoundToNearest) == 0) return "it does not round to nearest";
  if (device.group_max < kGroupItems)
    return fmt::format("its groups have {} items, {} are wanted", device.group_max, kGroupItems);
  if (device.local_bytes < kLocalBytes) {
    return fmt::format("its groups have {} bytes of local memory, {} are wanted", device.local_bytes, kLocalBytes);
  }
  return {};
}

}  // namespace naru::opencl
