#include "chips/opencl/driver.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/memory.h"
#include "chips/gpu/texts.h"

namespace naru::opencl {
namespace {

constexpr int64_t kLaunchesAFlush = 32;
constexpr size_t kLaunchesALook = 64;
constexpr size_t kLogMax = 2000;
// Floats of a register that programs have a text for beside eight (gpu/text/dialect.cl).
constexpr int64_t kWideVector = 16;
// Smaller buffers are not worth a mapping of their own.
constexpr int64_t kMappedFrom = int64_t{64} << 10, kPage = 4096;

class OpenclMemory : public gpu::DeviceMemory {
 public:
  OpenclMemory(const Api& api, MemId id, int64_t bytes) : api_(api), id_(id) { bytes_ = bytes; }
  ~OpenclMemory() override { api_.release_mem(id_); }
  MemId id() const { return id_; }

 private:
  const Api& api_;
  MemId id_;
};

MemId id_of(const gpu::DeviceMemory* memory) {
  return static_cast<const OpenclMemory*>(memory)->id();
}

struct Mapped {
  void* data;
  size_t bytes;
};
// The last command that used it is done.
void unmap(MemId, void* data) {
  const std::unique_ptr<Mapped> mapped(static_cast<Mapped*>(data));
  ::munmap(mapped->data, mapped->bytes);
}

Code code_of(Int code) {
  switch (code) {
    case kNoMemoryForObject:
    case kOutOfResources:
    case kOutOfHostMemory: return Code::kResourceExhausted;
    default: return Code::kUnavailable;
  }
}

}  // namespace

Error OpenclDriver::failure(std::string_view doing, Int code) const {
  const Code kind = code_of(code);
  return {kind, fmt::format("{} on chip opencl ({}): the driver says {}; {}", doing, device_.name, error_name(code),
                            kind == Code::kResourceExhausted ? "use a smaller model, context or batch"
                                                             : "see the system's log for the device, or use chip cpu")};
}

Error OpenclDriver::running_failure(std::string_view doing, Int code) const {
  if (code == kNoMemoryForObject || code == kOutOfHostMemory) return failure(doing, code);
  return {
      Code::kUnavailable,
      fmt::format("{} on chip opencl ({}): the driver says {}; the device is lost to this process: start naru "
                  "again; if it comes again see the system's log for the device, and run `naru check --chip opencl`",
                  doing, device_.name, error_name(code))};
}

Result<std::unique_ptr<OpenclDriver>> OpenclDriver::open(const Api& api, const DeviceFacts& device) {
  auto driver = std::unique_ptr<OpenclDriver>(new OpenclDriver(api, device));
  Int code = kSuccess;
  driver->context_ = api.create_context(nullptr, 1, &device.id, nullptr, nullptr, &code);
  if (driver->context_ == nullptr) return driver->failure("making a context", code);
  driver->queue_ = api.create_queue(driver->context_, device.id, 0, &code);
  if (driver->queue_ == nullptr) return driver->failure("making a queue", code);
  driver->info_ = {.chip = "opencl",
                   .device = fmt::format("{} ({})", device.name, device.version),
                   .software = {},
                   .memory_bytes = device.free_bytes,
                   .allocation_max = device.allocation_max,
                   .is_host_memory = device.is_host_memory,
                   .is_narrow = (device.type & kDeviceTypeCpu) != 0};
  driver->choose({});
  return driver;
}

OpenclDriver::~OpenclDriver() {
  if (queue_ != nullptr) api_.finish(queue_);
  for (const Launch& launch : launches_) api_.release_event(launch.event);
  forget_programs();
  if (queue_ != nullptr) api_.release_queue(queue_);
  if (context_ != nullptr) api_.release_context(context_);
}

void OpenclDriver::forget_programs() {
  for (const auto& [name, kernel] : kernels_) api_.release_kernel(kernel);
  for (const auto& [name, program] : programs_) api_.release_program(program);
  kernels_.clear();
  programs_.clear();
}

void OpenclDriver::choose(gpu::Software software) {
  forget_programs();
  options_ = "-cl-std=CL1.2";
  if (info_.is_narrow) options_ += " -D NARU_NARROW";
  if (info_.is_narrow && device_.vector_floats >= kWideVector)
    options_ += fmt::format(" -D NARU_VECTOR={}", kWideVector);
  if (!software.flush) options_ += " -cl-denorms-are-zero";
  if ((device_.float_config & kFpCorrectlyRoundedDivideSqrt) != 0)
    options_ += " -cl-fp32-correctly-rounded-divide-sqrt";
  for (const std::string& name : software.names()) options_ += " -D " + name;
  info_.software = std::move(software);
}

template <typename Call>
Int OpenclDriver::take_memory(const Call& call) const {
  const Int code = call();
  if (code != kNoMemoryForObject && code != kOutOfResources) return code;
  return api_.finish(queue_) == kSuccess ? call() : code;
}

Result<gpu::Memory> OpenclDriver::allocate_host(int64_t bytes) {
  const std::string doing = fmt::format("allocating {}", format_bytes(bytes));
  const auto size = static_cast<size_t>(round_up(bytes, kPage));
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) return failure(doing, kOutOfHostMemory);
  // A device writes there by its own way: a process that is forked must not turn the pages into copies.
  if (::madvise(data, size, MADV_DONTFORK) != 0) {
    ::munmap(data, size);
    return failure(doing, kOutOfHostMemory);
  }
  MemId id = nullptr;
  Int code = take_memory([&] {
    Int created = kSuccess;
    id = api_.create_buffer(context_, kMemReadWrite | kMemUseHostPtr, size, data, &created);
    return created;
  });
  if (id == nullptr) {
    ::munmap(data, size);
    return failure(doing, code);
  }
  gpu::Memory memory = std::make_shared<OpenclMemory>(api_, id, static_cast<int64_t>(size));
  auto mapped = std::make_unique<Mapped>(Mapped{data, size});
  code = api_.on_release(id, unmap, mapped.get());
  if (code != kSuccess) return failure(doing, code);  // the mapping stays: nobody says when it is not used any more
  static_cast<void>(mapped.release());
  return memory;
}

Result<gpu::Memory> OpenclDriver::allocate(int64_t bytes) {
  if (info_.is_host_memory && bytes >= kMappedFrom) return allocate_host(bytes);
  const int64_t size = round_up(std::max<int64_t>(bytes, 1), 16);
  MemId id = nullptr;
  Int code = take_memory([&] {
    Int created = kSuccess;
    id = api_.create_buffer(context_, kMemReadWrite, static_cast<size_t>(size), nullptr, &created);
    return created;
  });
  if (id == nullptr) return failure(fmt::format("allocating {}", format_bytes(size)), code);
  auto memory = std::make_shared<OpenclMemory>(api_, id, size);
  const uint64_t zero[2] = {0, 0};
  code = take_memory([&] {
    return api_.fill_buffer(queue_, id, zero, sizeof(zero), 0, static_cast<size_t>(size), 0, nullptr, nullptr);
  });
  if (code != kSuccess) return failure(fmt::format("allocating {}", format_bytes(size)), code);
  return gpu::Memory(std::move(memory));
}

Status OpenclDriver::write(gpu::MemoryPlace to, const void* from, int64_t bytes) {
  const Int code = api_.write_buffer(queue_, id_of(to.memory), kTrue, static_cast<size_t>(to.offset),
                                     static_cast<size_t>(bytes), from, 0, nullptr, nullptr);
  return outcome(fmt::format("copying {} in", format_bytes(bytes)), code);
}

Status OpenclDriver::read(void* to, gpu::MemoryPlace from, int64_t bytes) {
  const Int code = api_.read_buffer(queue_, id_of(from.memory), kTrue, static_cast<size_t>(from.offset),
                                    static_cast<size_t>(bytes), to, 0, nullptr, nullptr);
  return outcome(fmt::format("copying {} out", format_bytes(bytes)), code);
}

Status OpenclDriver::wait() {
  return outcome("waiting", api_.finish(queue_));
}

void OpenclDriver::look_at_launches() {
  for (; !launches_.empty(); launches_.pop_front()) {
    const Launch& launch = launches_.front();
    Int status = kSuccess;
    const Int code = api_.get_event_info(launch.event, kEventStatus, sizeof(status), &status, nullptr);
    if (code != kSuccess) status = code;
    if (status > 0) return;  // the queue is in order: those behind it are not done either
    if (status < 0 && failed_ == kSuccess) failed_ = status, failed_kernel_ = launch.kernel;
    api_.release_event(launch.event);
  }
}

Status OpenclDriver::outcome(std::string_view doing, Int code) {
  look_at_launches();
  if (const Int failed = std::exchange(failed_, kSuccess); failed != kSuccess) {
    return running_failure(fmt::format("running kernel {}", failed_kernel_), failed);
  }
  if (code != kSuccess) return running_failure(doing, code);
  return {};
}

Status OpenclDriver::launch(const gpu::KernelInfo& info, int64_t groups_x, int64_t groups_y, int64_t groups_z,
                            std::span<const gpu::Argument> arguments) {
  NARU_ASSIGN(const KernelId id, kernel(info));
  Uint index = 0;
  Int code = kSuccess;
  const auto set = [&](const auto& value) {
    if (code == kSuccess) code = api_.set_argument(id, index++, sizeof(value), &value);
  };
  for (const gpu::Argument& argument : arguments) {
    if (const auto* place = std::get_if<gpu::MemoryPlace>(&argument)) {
      set(id_of(place->memory));
      set(place->offset);
    } else if (const auto* number = std::get_if<int64_t>(&argument)) {
      set(*number);
    } else {
      set(std::get<float>(argument));
    }
  }
  const size_t local[] = {static_cast<size_t>(info.items_x), static_cast<size_t>(info.items_y), 1};
  const size_t global[] = {static_cast<size_t>(groups_x) * local[0], static_cast<size_t>(groups_y) * local[1],
                           static_cast<size_t>(groups_z)};
  EventId event = nullptr;
  if (code == kSuccess) code = api_.launch(queue_, id, 3, nullptr, global, local, 0, nullptr, &event);
  if (code != kSuccess) return running_failure(fmt::format("launching kernel {}", info.name), code);
  launches_.push_back({event, info.name});
  if (launches_.size() >= kLaunchesALook) look_at_launches();
  if (++launched_ % kLaunchesAFlush == 0) api_.flush(queue_);
  return {};
}

Result<KernelId> OpenclDriver::kernel(const gpu::KernelInfo& info) {
  if (const auto found = kernels_.find(info.name); found != kernels_.end()) return found->second;
  NARU_ASSIGN(const ProgramId built, program(info.program));
  Int code = kSuccess;
  const std::string name(info.name);
  const KernelId id = api_.create_kernel(built, name.c_str(), &code);
  if (id == nullptr) return failure(fmt::format("making kernel {}", name), code);
  kernels_.emplace(name, id);
  return id;
}

Result<ProgramId> OpenclDriver::program(std::string_view name) {
  if (const auto found = programs_.find(name); found != programs_.end()) return found->second;
  const std::string text = gpu::program_text(name);
  const std::string key = fmt::format("{}\n{}\n{}\n{}", device_.name, device_.version, options_, text);
  ProgramId id = nullptr;
  if (const std::string binary = cache_.find(key); !binary.empty()) {
    id = from_binary(binary);
    if (id == nullptr) cache_.drop(key);
  }
  if (id == nullptr) {
    NARU_ASSIGN(id, build(name, text, key));
  }
  programs_.emplace(std::string(name), id);
  return id;
}

ProgramId OpenclDriver::from_binary(std::string_view binary) const {
  const size_t size = binary.size();
  const auto* bytes = reinterpret_cast<const unsigned char*>(binary.data());
  Int status = kSuccess, code = kSuccess;
  const ProgramId id = api_.create_program_of_binary(context_, 1, &device_.id, &size, &bytes, &status, &code);
  if (id == nullptr) return nullptr;
  if (code == kSuccess && status == kSuccess &&
      api_.build_program(id, 1, &device_.id, options_.c_str(), nullptr, nullptr) == kSuccess) {
    return id;
  }
  api_.release_program(id);
  return nullptr;
}

Result<ProgramId> OpenclDriver::build(std::string_view name, const std::string& text, const std::string& key) {
  const char* source = text.c_str();
  const size_t size = text.size();
  Int code = kSuccess;
  const ProgramId id = api_.create_program(context_, 1, &source, &size, &code);
  if (id == nullptr) return failure(fmt::format("reading program {}", name), code);
  code = api_.build_program(id, 1, &device_.id, options_.c_str(), nullptr, nullptr);
  if (code == kSuccess) {
    cache_.keep(key, binary_of(id));
    return id;
  }
  size_t log_size = 0;
  api_.get_build_info(id, device_.id, kProgramBuildLog, 0, nullptr, &log_size);
  std::string log(std::min<size_t>(log_size, size_t{1} << 20), '\0');
  if (!log.empty()) api_.get_build_info(id, device_.id, kProgramBuildLog, log.size(), log.data(), nullptr);
  log.resize(std::min(log.size(), kLogMax));
  api_.release_program(id);
  Error error = failure(fmt::format("building program {}", name), code);
  error.message += fmt::format("\n{}", log);
  return error;
}

std::string OpenclDriver::binary_of(ProgramId program) const {
  size_t size = 0;
  if (api_.get_program_info(program, kProgramBinarySizes, sizeof(size), &size, nullptr) != kSuccess || size == 0)
    return {};
  std::string binary(size, '\0');
  auto* bytes = reinterpret_cast<unsigned char*>(binary.data());
  if (api_.get_program_info(program, kProgramBinaries, sizeof(bytes), &bytes, nullptr) != kSuccess) return {};
  return binary;
}

}  // namespace naru::opencl
