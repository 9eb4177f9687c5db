// The GPU chip's driver over CUDA: the primary context of a device, one stream, and programs that NVRTC compiles.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chips/cuda/compiler.h"
#include "chips/cuda/devices.h"
#include "chips/cuda/memory.h"
#include "chips/gpu/driver.h"
#include "chips/gpu/program_cache.h"

namespace naru::cuda {

class CudaDriver : public gpu::Driver {
 public:
  static Result<std::unique_ptr<CudaDriver>> open(const DriverApi& api, const CompilerApi& compiler,
                                                  const DeviceFacts& device);
  ~CudaDriver() override;
  CudaDriver(const CudaDriver&) = delete;
  CudaDriver& operator=(const CudaDriver&) = delete;

  const gpu::DriverInfo& info() const override { return info_; }
  void choose(gpu::Software software) override;
  Result<gpu::Memory> allocate(int64_t bytes) override;
  Status write(gpu::MemoryPlace to, const void* from, int64_t bytes) override;
  Status read(void* to, gpu::MemoryPlace from, int64_t bytes) override;
  Status launch(const gpu::KernelInfo& kernel, int64_t groups_x, int64_t groups_y, int64_t groups_z,
                std::span<const gpu::Argument> arguments) override;
  Status wait() override;

 private:
  CudaDriver(const DriverApi& api, const CompilerApi& compiler, const DeviceFacts& device)
      : api_(api), compiler_(compiler), device_(device) {}
  Error failure(std::string_view doing, std::string_view call, DriverCode code) const;
  // Makes the context that of the calling thread.
  Status enter();
  Result<FunctionId> kernel(const gpu::KernelInfo& kernel);
  Result<ModuleId> program(std::string_view name);
  void forget_programs();

  const DriverApi& api_;
  const CompilerApi& compiler_;
  DeviceFacts device_;
  gpu::DriverInfo info_;
  gpu::ProgramCache cache_;
  Target target_;
  std::vector<std::string> options_;
  ContextId context_ = nullptr;
  StreamId stream_ = nullptr;
  std::shared_ptr<Heap> heap_;
  std::map<std::string, ModuleId, std::less<>> programs_;
  std::map<std::string, FunctionId, std::less<>> kernels_;
  // Of a launch: each parameter in 8 bytes, and where it is.
  std::vector<uint64_t> values_;
  std::vector<void*> parameters_;
};

}  // namespace naru::cuda
