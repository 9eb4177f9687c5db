// The GPU chip's driver over OpenCL 1.2: one context and one queue in order on one device.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "chips/gpu/driver.h"
#include "chips/gpu/program_cache.h"
#include "chips/opencl/devices.h"

namespace naru::opencl {

class OpenclDriver : public gpu::Driver {
 public:
  static Result<std::unique_ptr<OpenclDriver>> open(const Api& api, const DeviceFacts& device);
  ~OpenclDriver() override;
  OpenclDriver(const OpenclDriver&) = delete;
  OpenclDriver& operator=(const OpenclDriver&) = delete;

  const gpu::DriverInfo& info() const override { return info_; }
  void choose(gpu::Software software) override;
  Result<gpu::Memory> allocate(int64_t bytes) override;
  Status write(gpu::MemoryPlace to, const void* from, int64_t bytes) override;
  Status read(void* to, gpu::MemoryPlace from, int64_t bytes) override;
  Status launch(const gpu::KernelInfo& kernel, int64_t groups_x, int64_t groups_y, int64_t groups_z,
                std::span<const gpu::Argument> arguments) override;
  Status wait() override;

 private:
  OpenclDriver(const Api& api, const DeviceFacts& device) : api_(api), device_(device) {}
  // Memory of the host that costs nothing until it is touched, for devices that share it.
  Result<gpu::Memory> allocate_host(int64_t bytes);
  Error failure(std::string_view doing, Int code) const;
  // Of what runs on the device, where no memory is asked for: CL_OUT_OF_RESOURCES is how some say that a kernel was
  // aborted.
  Error running_failure(std::string_view doing, Int code) const;
  // A call that takes memory; where there is none it is made once more when what was queued has given back its own.
  template <typename Call>
  Int take_memory(const Call& call) const;
  // Looks at the launches that ended: only its event says of a kernel that it ended abnormally, waiting does not.
  void look_at_launches();
  // The error of a launch that ended so, once; `code` is that of the call.
  Status outcome(std::string_view doing, Int code);
  Result<ProgramId> program(std::string_view name);
  Result<ProgramId> build(std::string_view name, const std::string& text, const std::string& key);
  Result<KernelId> kernel(const gpu::KernelInfo& kernel);
  ProgramId from_binary(std::string_view binary) const;  // nullptr: it is none
  std::string binary_of(ProgramId program) const;
  void forget_programs();

  const Api& api_;
  DeviceFacts device_;
  gpu::DriverInfo info_;
  gpu::ProgramCache cache_;
  std::string options_;
  ContextId context_ = nullptr;
  QueueId queue_ = nullptr;
  std::map<std::string, ProgramId, std::less<>> programs_;
  std::map<std::string, KernelId, std::less<>> kernels_;
  int64_t launched_ = 0;  // since the last flush
  struct Launch {
    EventId event;
    std::string_view kernel;
  };
  std::deque<Launch> launches_;  // those that were not looked at
  std::string_view failed_kernel_;
  Int failed_ = kSuccess;
};

}  // namespace naru::opencl
