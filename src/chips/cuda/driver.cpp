#include "chips/cuda/driver.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "base/checked.h"
#include "base/memory.h"
#include "chips/gpu/texts.h"

namespace naru::cuda {
namespace {

// From these on a device does nothing more for the process that met them (cudaErrorECCUncorrectable, ...IllegalAddress,
// ...LaunchTimeout and their like).
constexpr DriverCode kLost[] = {214, 219, 220, 226, 700, 702, 709, 714, 715, 716, 717, 718, 719};

bool is_image_error(DriverCode code) {
  return code == kInvalidImage || code == kNoBinaryForGpu || code == kInvalidPtx || code == kUnsupportedPtxVersion;
}

// What a driver gives at most in a dimension of the grid.
constexpr int64_t kGroupsX = (int64_t{1} << 31) - 1, kGroupsYZ = 65535;

Address address_of(const gpu::MemoryPlace& place) {
  return static_cast<const CudaMemory*>(place.memory)->address();
}

}  // namespace

Error CudaDriver::failure(std::string_view doing, std::string_view call, DriverCode code) const {
  std::string next = "see `nvidia-smi` and the system's log for the device, or use chip cpu";
  if (code == kOutOfMemory) {
    next = "use a smaller model, context or batch";
  } else if (is_image_error(code)) {
    next = fmt::format(
        "{} is newer than the driver of CUDA {} or does not know the device: let NARU_NVRTC name another one, "
        "or renew the driver",
        compiler_.words(), version_words(device_.driver_version));
  } else if (std::find(std::begin(kLost), std::end(kLost), code) != std::end(kLost)) {
    next =
        "the device is lost to this process: start naru again; if it comes again see the system's log for the device, "
        "and "
        "run `naru check --chip cuda`";
  }
  return {code == kOutOfMemory ? Code::kResourceExhausted : Code::kUnavailable,
          fmt::format("{} ({}) on chip cuda ({}): the driver says {}; {}", doing, call, device_.name,
                      api_.describe(code), next)};
}

Result<std::unique_ptr<CudaDriver>> CudaDriver::open(const DriverApi& api, const CompilerApi& compiler,
                                                     const DeviceFacts& device) {
  auto driver = std::unique_ptr<CudaDriver>(new CudaDriver(api, compiler, device));
  NARU_ASSIGN(driver->target_, choose_target(compiler, device.capability));
  DriverCode code = api.retain_context(&driver->context_, device.id);
  if (code != kSuccess) {
    driver->context_ = nullptr;
    return driver->failure("making a context", "cuDevicePrimaryCtxRetain", code);
  }
  NARU_TRY(driver->enter());
  size_t free = 0, total = 0;
  code = api.memory_info(&free, &total);
  if (code != kSuccess) return driver->failure("asking for memory", "cuMemGetInfo", code);
  code = api.create_stream(&driver->stream_, kStreamNonBlocking);
  if (code != kSuccess) {
    driver->stream_ = nullptr;
    return driver->failure("making a stream", "cuStreamCreate", code);
  }
  driver->heap_ = std::make_shared<Heap>(api, driver->context_, driver->stream_);
  code = driver->heap_->open();
  if (code != kSuccess) return driver->failure("allocating memory for copies", "cuMemAllocHost", code);
  driver->info_ = {.chip = "cuda",
                   .device = fmt::format("{}, {}", device.words(), compiler.words()),
                   .software = {},
                   .memory_bytes = static_cast<int64_t>(free),
                   .allocation_max = static_cast<int64_t>(free),
                   .is_host_memory = device.is_host_memory};
  driver->choose({});
  return driver;
}

CudaDriver::~CudaDriver() {
  if (context_ == nullptr) return;
  api_.set_context(context_);
  heap_.reset();
  forget_programs();
  if (stream_ != nullptr) api_.destroy_stream(stream_);
  api_.release_context(device_.id);
}

Status CudaDriver::enter() {
  const DriverCode code = api_.set_context(context_);
  if (code != kSuccess) return failure("taking the context", "cuCtxSetCurrent", code);
  return {};
}

void CudaDriver::forget_programs() {
  for (const auto& [name, module] : programs_) api_.unload_module(module);
  kernels_.clear();
  programs_.clear();
}

void CudaDriver::choose(gpu::Software software) {
  api_.set_context(context_);
  if (heap_ != nullptr && !programs_.empty()) heap_->wait();
  forget_programs();
  options_ = compile_options(target_, software);
  info_.software = std::move(software);
}

Result<gpu::Memory> CudaDriver::allocate(int64_t bytes) {
  NARU_TRY(enter());
  const int64_t size = round_up(std::max<int64_t>(bytes, 1), 16);
  const std::string doing = fmt::format("allocating {}", format_bytes(size));
  Address address = 0;
  DriverCode code = heap_->allocate(&address, static_cast<size_t>(size));
  if (code != kSuccess) return failure(doing, "cuMemAlloc", code);
  auto memory = std::make_shared<CudaMemory>(heap_, address, size);
  code = api_.fill(address, 0, static_cast<size_t>(size), stream_);
  if (code != kSuccess) return failure(doing, "cuMemsetD8Async", code);
  return gpu::Memory(std::move(memory));
}

Status CudaDriver::write(gpu::MemoryPlace to, const void* from, int64_t bytes) {
  NARU_TRY(enter());
  const DriverCode code =
      heap_->copy_in(address_of(to) + static_cast<Address>(to.offset), from, static_cast<size_t>(bytes));
  if (code != kSuccess) return failure(fmt::format("copying {} in", format_bytes(bytes)), "cuMemcpyHtoDAsync", code);
  return {};
}

Status CudaDriver::read(void* to, gpu::MemoryPlace from, int64_t bytes) {
  NARU_TRY(enter());
  const DriverCode code =
      heap_->copy_out(to, address_of(from) + static_cast<Address>(from.offset), static_cast<size_t>(bytes));
  if (code != kSuccess) return failure(fmt::format("copying {} out", format_bytes(bytes)), "cuMemcpyDtoHAsync", code);
  return {};
}

Status CudaDriver::wait() {
  NARU_TRY(enter());
  const DriverCode code = heap_->wait();
  if (code != kSuccess) return failure("waiting", "cuStreamSynchronize", code);
  return {};
}

Status CudaDriver::launch(const gpu::KernelInfo& info, int64_t groups_x, int64_t groups_y, int64_t groups_z,
                          std::span<const gpu::Argument> arguments) {
  if (groups_x > kGroupsX || groups_y > kGroupsYZ || groups_z > kGroupsYZ) {
    return Error{Code::kUnsupported,
                 fmt::format("launching kernel {} on chip cuda ({}): it wants {} x {} x {} groups, {} x {} "
                             "x {} is the most; use a smaller batch, or chip cpu",
                             info.name, device_.name, groups_x, groups_y, groups_z, kGroupsX, kGroupsYZ, kGroupsYZ)};
  }
  NARU_TRY(enter());
  NARU_ASSIGN(const FunctionId function, kernel(info));
  values_.clear();
  for (const gpu::Argument& argument : arguments) {
    if (const auto* place = std::get_if<gpu::MemoryPlace>(&argument)) {
      values_.push_back(address_of(*place));
      values_.push_back(static_cast<uint64_t>(place->offset));
    } else if (const auto* number = std::get_if<int64_t>(&argument)) {
      values_.push_back(static_cast<uint64_t>(*number));
    } else {
      uint64_t bits = 0;
      std::memcpy(&bits, &std::get<float>(argument), sizeof(float));
      values_.push_back(bits);
    }
  }
  parameters_.clear();
  for (uint64_t& value : values_) parameters_.push_back(&value);
  parameters_.push_back(nullptr);  // drivers do not look there; a reader of the list sees its end
  const auto code = api_.launch(function, static_cast<unsigned>(groups_x), static_cast<unsigned>(groups_y),
                                static_cast<unsigned>(groups_z), static_cast<unsigned>(info.items_x),
                                static_cast<unsigned>(info.items_y), 1, 0, stream_, parameters_.data(), nullptr);
  if (code != kSuccess) return failure(fmt::format("launching kernel {}", info.name), "cuLaunchKernel", code);
  return {};
}

Result<FunctionId> CudaDriver::kernel(const gpu::KernelInfo& info) {
  if (const auto found = kernels_.find(info.name); found != kernels_.end()) return found->second;
  NARU_ASSIGN(const ModuleId module, program(info.program));
  const std::string name(info.name);
  FunctionId function = nullptr;
  const DriverCode code = api_.function(&function, module, name.c_str());
  if (code != kSuccess) return failure(fmt::format("looking for kernel {}", name), "cuModuleGetFunction", code);
  kernels_.emplace(name, function);
  return function;
}

Result<ModuleId> CudaDriver::program(std::string_view name) {
  if (const auto found = programs_.find(name); found != programs_.end()) return found->second;
  const std::string text = gpu::program_text(name);
  const std::string key =
      fmt::format("cuda\n{}.{}\n{}\n{}", compiler_.major, compiler_.minor, fmt::join(options_, " "), text);
  ModuleId module = nullptr;
  if (const std::string image = cache_.find(key); !image.empty()) {
    if (api_.load_module(&module, image.c_str(), 0, nullptr, nullptr) != kSuccess) {
      cache_.drop(key);
      module = nullptr;
    }
  }
  if (module == nullptr) {
    NARU_ASSIGN(const std::string image, compile(compiler_, name, text, target_, options_));
    const DriverCode code = api_.load_module(&module, image.c_str(), 0, nullptr, nullptr);
    if (code != kSuccess) return failure(fmt::format("loading kernels '{}'", name), "cuModuleLoadDataEx", code);
    cache_.keep(key, image);
  }
  programs_.emplace(std::string(name), module);
  return module;
}

}  // namespace naru::cuda
