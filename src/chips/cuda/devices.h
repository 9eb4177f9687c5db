// The CUDA devices of this machine, in the order of the driver, and what of each decides whether the chip can run
// there.
#pragma once

#include <string>
#include <vector>

#include "chips/cuda/compiler_api.h"
#include "chips/cuda/driver_api.h"
#include "chips/gpu/device_list.h"

namespace naru::cuda {

struct DeviceFacts {
  DeviceId id = 0;
  std::string name;        // "NVIDIA H200"
  int capability = 0;      // 90 of compute capability 9.0
  int driver_version = 0;  // of the driver API: 13000 is 13.0
  int64_t memory_bytes = 0;
  int64_t local_bytes = 0;  // shared memory of a group
  int64_t group_max = 0;    // items
  int compute_mode = 0;
  bool is_host_memory = false;

  std::string words() const;  // "NVIDIA H200 (compute capability 9.0, driver of CUDA 13.0)"
};

// Initialises the driver in this process. kUnavailable, with the reason, where there is no device.
Result<std::vector<DeviceFacts>> list_devices();

// What list_devices() finds, and which NVRTC there is. It looks once, in a process of its own
// (gpu/look_apart.h), as long as the driver is not at work in this one, which a child could not use then.
Result<gpu::DeviceList> found_devices();

gpu::DeviceList listed(const std::vector<DeviceFacts>& devices, const CompilerApi& compiler);

// Why the chip cannot run there, in words; empty where nothing speaks against it.
std::string why_not(const DeviceFacts& device);

}  // namespace naru::cuda
