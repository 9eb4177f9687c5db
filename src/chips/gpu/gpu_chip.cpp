#include "chips/gpu/gpu_chip.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/memory.h"
#include "chips/gpu/ops.h"
#include "chips/gpu/scratch_bytes.h"
#include "chips/planner/planner.h"
#include "contract/op_table.h"

namespace naru::gpu {
namespace {

class GpuBuffer : public contract::Buffer {
 public:
  GpuBuffer(SharedDevice device, Memory memory, int64_t bytes) : device_(std::move(device)), taken_(memory->bytes()) {
    bytes_ = bytes;
    address_ = device_->map(std::move(memory));
  }
  ~GpuBuffer() override {
    device_->unmap(address_);
    device_->give_back(taken_);
  }

 private:
  SharedDevice device_;
  int64_t taken_;
};

class GpuChip : public contract::Chip {
 public:
  explicit GpuChip(SharedDevice device) : device_(std::move(device)) {}

  contract::ChipInfo info() const override {
    const DriverInfo& info = device_->info();
    return {.name = info.chip,
            .level = "",
            .detail = fmt::format("{}; {}", info.device, info.software.words()),
            .n_threads = 1};
  }
  contract::ChipMemory memory() const override {
    const DriverInfo& info = device_->info();
    int64_t free = info.memory_bytes - device_->used_bytes();
    if (info.is_host_memory) free = std::min(free, available_memory_bytes());
    return {.free = std::max<int64_t>(free, 0), .scratch = device_->scratch_bytes(), .is_host = info.is_host_memory};
  }
  std::unique_ptr<contract::Chip> planner() const override {
    return planner::make_planner(*this, device_->info().allocation_max);
  }

  Result<std::unique_ptr<contract::Buffer>> allocate(int64_t bytes) override {
    const int64_t size = std::max<int64_t>(bytes, 1);
    NARU_ASSIGN(Memory memory, of_queued(device_->take(size)));
    return std::unique_ptr<contract::Buffer>(std::make_unique<GpuBuffer>(device_, std::move(memory), size));
  }
  Status copy_in(ChipAddress to, const void* from_host, int64_t bytes) override {
    NARU_TRY(settle());
    if (bytes == 0) return {};
    return of_queued(device_->driver().write(device_->place(to, bytes), from_host, bytes));
  }
  Status copy_out(void* to_host, ChipAddress from, int64_t bytes) override {
    NARU_TRY(settle());
    if (bytes == 0) return wait();
    return when_done(device_->driver().read(to_host, device_->place(from, bytes), bytes));
  }

  Result<std::unique_ptr<contract::PackedMatrix>> pack(const contract::MatrixSource& source,
                                                       contract::Rule rule) override {
    return of_queued(gpu::pack(device_, source, rule));
  }
  int64_t packed_bytes(DType stored, contract::Rule rule, int64_t groups, int64_t outputs,
                       int64_t inputs) const override {
    return gpu::packed_bytes(stored, rule, groups, outputs, inputs);
  }

  int64_t cache_page_bytes(const contract::CacheShape& shape) const override { return gpu::cache_page_bytes(shape); }
  Status copy_cache_page(const contract::CacheStream& stream, int32_t from, int32_t to) override {
    NARU_TRY(device_->begin_op("copy_cache_page", place_));
    const int64_t bytes = stream.page_bytes;
    return queued("copy_cache_page",
                  device_->launch_rows("copy_words", bytes / 2, device_->place(stream.address + from * bytes, bytes),
                                       device_->place(stream.address + to * bytes, bytes), bytes / 2));
  }

  Result<std::unique_ptr<contract::Sequences>> make_sequences(std::span<const contract::SequenceRows> rows) override {
    return of_queued(GpuSequences::make(device_, rows));
  }

  Status run(const contract::Op& op) override {
    contract::validate(op);
    // Host work of an op waits for what is queued; many ops that may fail are looked at now and then.
    if (std::holds_alternative<contract::RopeTable>(op) || device_->has_many_watched()) NARU_TRY(settle());
    NARU_TRY(device_->usable());
    const std::string_view name = contract::op_name(op);
    NARU_TRY(queued(name, device_->begin_op(name, place_, scratch_slots(op))));
    return queued(name, std::visit([&](const auto& o) { return run_here(o); }, op));
  }
  Status wait() override {
    if (device_->is_watching()) return settle();
    NARU_TRY(device_->usable());
    return when_done(device_->driver().wait());
  }
  int64_t scratch_bytes(const contract::Op& op) const override { return total_bytes(scratch_slots(op)); }

  std::vector<contract::KernelUse> kernel_uses() const override { return device_->kernel_uses(); }

 private:
  template <typename O>
  Status run_here(const O& op) {
    if constexpr (requires { gpu::run(*device_, op); }) {
      return gpu::run(*device_, op);
    } else {
      return Error{Code::kUnsupported,
                   fmt::format("running {} on chip {}: it has no kernel for this op yet; use chip cpu", O::kName,
                               device_->info().chip)};
    }
  }

  // The error of an op that was queued, where there is one.
  Status settle() {
    if (!device_->is_watching()) return device_->usable();
    return when_done(device_->check());
  }

  // What a driver says of a call may be of anything that was queued before: the last op is named.
  static Error naming(Error error, std::string_view op) {
    if (error.code != Code::kUnavailable) return error;
    error.message = fmt::format("running {}, or what was queued before it: {}", op, error.message);
    return error;
  }
  // The outcome of queueing an op, of any call behind it, and of one that waited for all that is queued.
  Status queued(std::string_view op, Status status) {
    last_op_ = op, last_place_ = place_;
    if (status.ok()) return status;
    last_op_ = {};
    return contract::at_place(naming(std::move(status).error(), op), place_);
  }
  template <typename Outcome>
  Outcome of_queued(Outcome outcome) {
    if (outcome.ok() || outcome.error().code != Code::kUnavailable || last_op_.empty()) return outcome;
    return contract::at_place(naming(std::move(outcome).error(), std::exchange(last_op_, {})), last_place_);
  }
  Status when_done(Status status) {
    status = of_queued(std::move(status));
    last_op_ = {};
    return status;
  }

  std::string_view last_op_;  // of those that were queued since all was done; empty: none was
  contract::Place last_place_;
  SharedDevice device_;
};

}  // namespace

Result<std::unique_ptr<contract::Chip>> make_gpu_chip(std::unique_ptr<Driver> driver) {
  auto device = std::make_shared<Device>(std::move(driver));
  NARU_TRY(device->open());
  return std::unique_ptr<contract::Chip>(std::make_unique<GpuChip>(std::move(device)));
}

}  // namespace naru::gpu
