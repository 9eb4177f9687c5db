#include "chips/cuda/driver_api.h"

#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>

#include "chips/gpu/library.h"

namespace naru::cuda {
namespace {

constexpr const char* kLibrary = "libcuda.so.1";

Result<DriverApi> open_driver_library(const std::string& named) {
  const bool is_usual = named == kLibrary;
  const std::string_view next = is_usual ? "install NVIDIA's driver, or use another chip"
                                         : "unset NARU_LIBCUDA, or let it name the libcuda.so.1 of NVIDIA's driver";
  auto library = gpu::Library::open(named);
  if (!library.ok()) {
    return Error{Code::kUnavailable,
                 fmt::format("opening CUDA's driver library: {}; {}", library.error().message, next)};
  }
  DriverApi api{};
  api.file = library->file();
  library->find("cuInit", api.init);
  library->find("cuDriverGetVersion", api.driver_version);
  library->find("cuDeviceGetCount", api.device_count);
  library->find("cuDeviceGet", api.device);
  library->find("cuDeviceGetName", api.device_name);
  library->find("cuDeviceGetAttribute", api.device_attribute);
  library->find("cuDeviceTotalMem_v2", api.device_memory);
  library->find("cuDevicePrimaryCtxRetain", api.retain_context);
  library->find("cuDevicePrimaryCtxRelease_v2", api.release_context);
  library->find("cuCtxSetCurrent", api.set_context);
  library->find("cuMemGetInfo_v2", api.memory_info);
  library->find("cuMemAlloc_v2", api.allocate);
  library->find("cuMemFree_v2", api.free);
  library->find("cuMemAllocHost_v2", api.allocate_host);
  library->find("cuMemFreeHost", api.free_host);
  library->find("cuMemcpyHtoDAsync_v2", api.copy_in);
  library->find("cuMemcpyDtoHAsync_v2", api.copy_out);
  library->find("cuMemsetD8Async", api.fill);
  library->find("cuStreamCreate", api.create_stream);
  library->find("cuStreamDestroy_v2", api.destroy_stream);
  library->find("cuStreamSynchronize", api.synchronize);
  library->find("cuModuleLoadDataEx", api.load_module);
  library->find("cuModuleUnload", api.unload_module);
  library->find("cuModuleGetFunction", api.function);
  library->find("cuLaunchKernel", api.launch);
  library->find("cuGetErrorName", api.error_name);
  library->find("cuGetErrorString", api.error_text);
  if (library->missing().empty()) return api;
  return Error{Code::kUnavailable,
               fmt::format("opening CUDA's driver library {}: it lacks {}, the driver API of CUDA 11.2 "
                           "or later was wanted; {}",
                           library->file(), library->missing(), next)};
}

}  // namespace

std::string DriverApi::describe(DriverCode code) const {
  const char *name = nullptr, *text = nullptr;
  if (error_name(code, &name) != kSuccess || name == nullptr) return fmt::format("error {}", code);
  if (error_text(code, &text) != kSuccess || text == nullptr) return name;
  return fmt::format("{} ({})", name, text);
}

std::string driver_library_name() {
  const char* named = std::getenv("NARU_LIBCUDA");
  return named != nullptr && *named != '\0' ? named : kLibrary;
}

Result<const DriverApi*> load_driver_api() {
  static std::mutex lock;
  static std::map<std::string, std::unique_ptr<Result<DriverApi>>> opened;
  const std::string name = driver_library_name();
  const std::lock_guard guard(lock);
  auto& api = opened[name];
  if (api == nullptr) api = std::make_unique<Result<DriverApi>>(open_driver_library(name));
  if (api->ok()) return &**api;
  return Error(api->error());
}

std::string version_words(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

}  // namespace naru::cuda
