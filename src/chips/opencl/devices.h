// The OpenCL devices of this machine, GPUs first, and what of each decides whether it can be exact.
#pragma once

#include <string>
#include <vector>

#include "chips/gpu/device_list.h"
#include "chips/opencl/api.h"

namespace naru::opencl {

struct DeviceFacts {
  PlatformId platform = nullptr;
  DeviceId id = nullptr;
  std::string name;     // "NVIDIA H200"
  std::string version;  // platform, its version and the driver's: what a built program is good for
  Bits type = 0;
  Bits float_config = 0;
  // free_bytes: what other programs have left, which few drivers say; all of it where one does not.
  int64_t memory_bytes = 0, free_bytes = 0, allocation_max = 0, local_bytes = 0;
  int64_t group_max = 0;      // items
  int64_t vector_floats = 0;  // of a register, on processors
  bool is_host_memory = false;
};

// kUnavailable, with the reason, where there is none.
Result<std::vector<DeviceFacts>> list_devices();

// What list_devices() finds, by a process of its own, once (gpu/look_apart.h): a driver that crashes or hangs when it
// is loaded takes that process with it and not the caller, who hears of it.
Result<gpu::DeviceList> found_devices();

// What other programs have left of the device's memory, where its driver says that; else all.
int64_t free_bytes_of(const Api& api, DeviceId device, int64_t memory_bytes);

gpu::DeviceList listed(const std::vector<DeviceFacts>& devices);

// Why a device cannot be exact, in words; empty where nothing speaks against it.
std::string why_not_exact(const DeviceFacts& device);

}  // namespace naru::opencl
