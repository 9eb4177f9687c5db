// The functions of OpenCL 1.2 that are used, of a library that is opened when the program runs (libOpenCL.so.1, the
// loader of vendors' drivers). Types and numbers are those of the OpenCL 1.2 specification, written down here so that
// naru needs nothing of OpenCL to be built.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace naru::opencl {

using Int = int32_t;
using Uint = uint32_t;
using Bits = uint64_t;
using PlatformId = struct OpaquePlatform*;
using DeviceId = struct OpaqueDevice*;
using ContextId = struct OpaqueContext*;
using QueueId = struct OpaqueQueue*;
using MemId = struct OpaqueMem*;
using ProgramId = struct OpaqueProgram*;
using KernelId = struct OpaqueKernel*;
using EventId = struct OpaqueEvent*;

constexpr Int kSuccess = 0, kNoMemoryForObject = -4, kOutOfResources = -5, kOutOfHostMemory = -6, kDeviceNotFound = -1,
              kPlatformNotFound = -1001;
constexpr Bits kDeviceTypeCpu = 1 << 1, kDeviceTypeGpu = 1 << 2, kDeviceTypeAll = 0xffffffff;
constexpr Bits kMemReadWrite = 1, kMemUseHostPtr = 1 << 3;
constexpr Uint kTrue = 1;
constexpr Uint kPlatformName = 0x0902, kPlatformVersion = 0x0901;
constexpr Uint kDeviceType = 0x1000, kDeviceMaxWorkGroupSize = 0x1004, kDeviceMaxMemAllocSize = 0x1010,
               kDeviceSingleFpConfig = 0x101b, kDeviceGlobalMemSize = 0x101f, kDeviceLocalMemSize = 0x1023,
               kDeviceName = 0x102b, kDriverVersion = 0x102d, kDeviceVersion = 0x102f,
               kDeviceHostUnifiedMemory = 0x1035, kDeviceNativeVectorWidthFloat = 0x103a;
// Of cl_amd_device_attribute_query: KiB that are free, and of them the largest piece; the numbers of other vendors are
// others.
constexpr Uint kDeviceFreeMemoryAmd = 0x4039;
constexpr Bits kFpRoundToNearest = 1 << 2, kFpFma = 1 << 5, kFpCorrectlyRoundedDivideSqrt = 1 << 7;
constexpr Uint kProgramBinarySizes = 0x1165, kProgramBinaries = 0x1166, kProgramBuildLog = 0x1183;
constexpr Uint kEventStatus = 0x11d3;  // 0: done; below: the error that ended the command; above: under way

// The end of an error that there is no library or no driver.
constexpr std::string_view kInstall =
    "install a vendor's OpenCL driver, or PoCL for the processor (./scripts/setup --opencl)";

struct Api {
  Int (*get_platform_ids)(Uint, PlatformId*, Uint*);
  Int (*get_platform_info)(PlatformId, Uint, size_t, void*, size_t*);
  Int (*get_device_ids)(PlatformId, Bits, Uint, DeviceId*, Uint*);
  Int (*get_device_info)(DeviceId, Uint, size_t, void*, size_t*);
  ContextId (*create_context)(const intptr_t*, Uint, const DeviceId*, void (*)(const char*, const void*, size_t, void*),
                              void*, Int*);
  Int (*release_context)(ContextId);
  QueueId (*create_queue)(ContextId, DeviceId, Bits, Int*);
  Int (*release_queue)(QueueId);
  MemId (*create_buffer)(ContextId, Bits, size_t, void*, Int*);
  Int (*on_release)(MemId, void (*)(MemId, void*), void*);
  Int (*release_mem)(MemId);
  Int (*fill_buffer)(QueueId, MemId, const void*, size_t, size_t, size_t, Uint, const EventId*, EventId*);
  Int (*read_buffer)(QueueId, MemId, Uint, size_t, size_t, void*, Uint, const EventId*, EventId*);
  Int (*write_buffer)(QueueId, MemId, Uint, size_t, size_t, const void*, Uint, const EventId*, EventId*);
  ProgramId (*create_program)(ContextId, Uint, const char**, const size_t*, Int*);
  ProgramId (*create_program_of_binary)(ContextId, Uint, const DeviceId*, const size_t*, const unsigned char**, Int*,
                                        Int*);
  Int (*build_program)(ProgramId, Uint, const DeviceId*, const char*, void (*)(ProgramId, void*), void*);
  Int (*get_program_info)(ProgramId, Uint, size_t, void*, size_t*);
  Int (*get_build_info)(ProgramId, DeviceId, Uint, size_t, void*, size_t*);
  Int (*release_program)(ProgramId);
  KernelId (*create_kernel)(ProgramId, const char*, Int*);
  Int (*set_argument)(KernelId, Uint, size_t, const void*);
  Int (*release_kernel)(KernelId);
  Int (*launch)(QueueId, KernelId, Uint, const size_t*, const size_t*, const size_t*, Uint, const EventId*, EventId*);
  Int (*get_event_info)(EventId, Uint, size_t, void*, size_t*);
  Int (*release_event)(EventId);
  Int (*flush)(QueueId);
  Int (*finish)(QueueId);
};

// Opened once for the life of the program: drivers do not bear to be closed. The error says what is missing.
Result<const Api*> load_api();

// "CL_OUT_OF_RESOURCES"; "error -9999" where the specification has no name for it.
std::string error_name(Int code);

}  // namespace naru::opencl
