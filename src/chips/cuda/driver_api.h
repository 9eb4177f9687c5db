// The functions of CUDA's driver API that are used, of a library that is opened when the program runs (libcuda.so.1,
// which comes with NVIDIA's driver). Types, names and numbers are those that its public documentation gives, written
// down here so that naru needs nothing of CUDA to be built.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace naru::cuda {

using DriverCode = int;  // CUresult
using DeviceId = int;
using Address = unsigned long long;  // CUdeviceptr
using ContextId = struct OpaqueContext*;
using StreamId = struct OpaqueStream*;
using ModuleId = struct OpaqueModule*;
using FunctionId = struct OpaqueFunction*;

constexpr DriverCode kSuccess = 0, kOutOfMemory = 2;
// Of an image that this driver or device does not take.
constexpr DriverCode kInvalidImage = 200, kNoBinaryForGpu = 209, kInvalidPtx = 218, kUnsupportedPtxVersion = 222;
constexpr int kMaxThreadsPerBlock = 1, kMaxSharedMemoryPerBlock = 8, kIntegrated = 18, kComputeMode = 20,
              kCapabilityMajor = 75, kCapabilityMinor = 76;  // CUdevice_attribute
constexpr int kComputeModeProhibited = 2;
constexpr unsigned kStreamNonBlocking = 1;

struct DriverApi {
  std::string file;  // of the library

  DriverCode (*init)(unsigned);
  DriverCode (*driver_version)(int*);
  DriverCode (*device_count)(int*);
  DriverCode (*device)(DeviceId*, int);
  DriverCode (*device_name)(char*, int, DeviceId);
  DriverCode (*device_attribute)(int*, int, DeviceId);
  DriverCode (*device_memory)(size_t*, DeviceId);
  DriverCode (*retain_context)(ContextId*, DeviceId);
  DriverCode (*release_context)(DeviceId);
  DriverCode (*set_context)(ContextId);
  DriverCode (*memory_info)(size_t*, size_t*);
  DriverCode (*allocate)(Address*, size_t);
  DriverCode (*free)(Address);
  DriverCode (*allocate_host)(void**, size_t);
  DriverCode (*free_host)(void*);
  DriverCode (*copy_in)(Address, const void*, size_t, StreamId);
  DriverCode (*copy_out)(void*, Address, size_t, StreamId);
  DriverCode (*fill)(Address, unsigned char, size_t, StreamId);
  DriverCode (*create_stream)(StreamId*, unsigned);
  DriverCode (*destroy_stream)(StreamId);
  DriverCode (*synchronize)(StreamId);
  DriverCode (*load_module)(ModuleId*, const void*, unsigned, int*, void**);
  DriverCode (*unload_module)(ModuleId);
  DriverCode (*function)(FunctionId*, ModuleId, const char*);
  DriverCode (*launch)(FunctionId, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, StreamId,
                       void**, void**);
  DriverCode (*error_name)(DriverCode, const char**);
  DriverCode (*error_text)(DriverCode, const char**);

  // "CUDA_ERROR_LAUNCH_FAILED (unspecified launch failure)"; "error 9999" where the library has no name for it.
  std::string describe(DriverCode code) const;
};

// What NARU_LIBCUDA names, else "libcuda.so.1".
std::string driver_library_name();

// That library, opened once for the life of the program and not initialised.
Result<const DriverApi*> load_driver_api();

// "13.0" of 13000, as the driver counts versions.
std::string version_words(int version);

}  // namespace naru::cuda
