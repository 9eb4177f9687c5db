#include "chips/cpu/cpu_chip.h"

#include <fmt/format.h>

#include <cstring>

#include "base/memory.h"
#include "chips/cpu/cache_layout.h"
#include "chips/cpu/machine.h"
#include "chips/cpu/memory.h"
#include "chips/cpu/scratch_bytes.h"
#include "chips/planner/planner.h"
#include "contract/op_table.h"

namespace naru::cpu {
namespace {

constexpr int kThreadsMax = 1024;

class CpuBuffer : public contract::Buffer {
 public:
  explicit CpuBuffer(Memory memory) : memory_(std::move(memory)) {
    address_ = address_of(memory_.data());
    bytes_ = memory_.bytes();
  }

 private:
  Memory memory_;
};

class CpuChip : public contract::Chip {
 public:
  CpuChip(const KernelTable& table, std::unique_ptr<ThreadPool> pool, bool bf16_dot, bool emulate_tiles)
      : table_(table),
        machine_(describe_machine()),
        pool_(std::move(pool)),
        scratch_(static_cast<size_t>(pool_->n_threads())),
        work_{.pool = *pool_,
              .scratch = scratch_,
              .shared = shared_,
              .lists = lists_,
              .bf16_dot = bf16_dot,
              .emulate_tiles = emulate_tiles} {
    if (machine_.l2_bytes > 0) work_.row_group_bytes = machine_.l2_bytes / 2;
  }

  contract::ChipInfo info() const override {
    return {.name = "cpu",
            .level = std::string(table_.level),
            .detail = fmt::format("{}; {} cores; caches {} KiB, {} KiB, {} KiB; {}", machine_.processor, machine_.cores,
                                  machine_.l1_bytes / 1024, machine_.l2_bytes / 1024, machine_.l3_bytes / 1024,
                                  feature_names(features())),
            .n_threads = pool_->n_threads()};
  }
  contract::ChipMemory memory() const override {
    return {.free = available_memory_bytes(), .scratch = held_scratch_bytes(), .is_host = true};
  }
  std::unique_ptr<contract::Chip> planner() const override { return planner::make_planner(*this); }

  Result<std::unique_ptr<contract::Buffer>> allocate(int64_t bytes) override {
    NARU_CHECK(bytes >= 0, bytes);
    NARU_ASSIGN(Memory memory, Memory::map(bytes, "the cache and activations"));
    return std::unique_ptr<contract::Buffer>(std::make_unique<CpuBuffer>(std::move(memory)));
  }
  Status copy_in(ChipAddress to, const void* from_host, int64_t bytes) override {
    std::memcpy(pointer_of(to), from_host, static_cast<size_t>(bytes));
    return {};
  }
  Status copy_out(void* to_host, ChipAddress from, int64_t bytes) override {
    std::memcpy(to_host, pointer_of(from), static_cast<size_t>(bytes));
    return {};
  }

  Result<std::unique_ptr<contract::PackedMatrix>> pack(const contract::MatrixSource& source,
                                                       contract::Rule rule) override {
    const FloatMode mode(table_);
    return table_.pack(source, rule, work_);
  }
  int64_t packed_bytes(DType stored, contract::Rule rule, int64_t groups, int64_t outputs,
                       int64_t inputs) const override {
    return table_.packed_bytes(stored, rule, groups, outputs, inputs);
  }

  int64_t cache_page_bytes(const contract::CacheShape& shape) const override { return cpu::cache_page_bytes(shape); }
  Status copy_cache_page(const contract::CacheStream& stream, int32_t from, int32_t to) override {
    cpu::copy_cache_page(stream, from, to);
    return {};
  }

  Result<std::unique_ptr<contract::Sequences>> make_sequences(std::span<const contract::SequenceRows> rows) override {
    return std::make_unique<contract::Sequences>(rows);
  }

  Status run(const contract::Op& op) override {
    contract::validate(op);
    const FloatMode mode(table_);
    std::string_view kernel;
    Status status = std::visit([&](const auto& o) { return table_.run(o, work_, &kernel); }, op);
    count(static_cast<int>(op.index()), kernel);
    return at_place(std::move(status));
  }
  Status wait() override { return {}; }
  int64_t scratch_bytes(const contract::Op& op) const override { return cpu::scratch_bytes(op); }

  std::vector<contract::KernelUse> kernel_uses() const override { return uses_; }

  int64_t held_scratch_bytes() const {
    int64_t bytes = shared_.bytes() + lists_.bytes();
    for (const Scratch& scratch : scratch_) bytes += scratch.bytes();
    return bytes;
  }

 private:
  void count(int op, std::string_view kernel) {
    const std::string_view name = contract::op_name(op);
    for (contract::KernelUse& use : uses_) {
      if (use.op == name && use.kernel == kernel) {
        ++use.calls;
        return;
      }
    }
    uses_.push_back({name, kernel, 1});
  }

  const KernelTable& table_;
  Machine machine_;
  std::unique_ptr<ThreadPool> pool_;
  std::vector<Scratch> scratch_;
  Scratch shared_, lists_;
  Work work_;
  std::vector<contract::KernelUse> uses_;
};

// Restores the constructing thread's floating-point mode, which the pool's start changes.
Result<std::unique_ptr<contract::Chip>> make_chip(const KernelTable& table, int n_threads, const CpuOptions& options) {
  const FloatMode mode(table);
  NARU_ASSIGN(auto pool, ThreadPool::create(n_threads, [&table] { prepare_thread(table); }));
  return std::unique_ptr<contract::Chip>(std::make_unique<CpuChip>(
      table, std::move(pool), options.bf16_dot.value_or(features().is_amd), options.emulate_tiles));
}

}  // namespace

Result<std::unique_ptr<contract::Chip>> make_cpu_chip(const CpuOptions& options) {
  NARU_ASSIGN(const KernelTable* table, choose_level(options.level));
  if (options.n_threads < 0 || options.n_threads > kThreadsMax) {
    return Error{Code::kInvalidArgument,
                 fmt::format("starting the CPU chip: {} threads asked for, 0 (all cores) to {} are possible; choose a "
                             "number in that range",
                             options.n_threads, kThreadsMax)};
  }
  const int n_threads = options.n_threads == 0 ? describe_machine().cores : options.n_threads;
  return make_chip(*table, n_threads, options);
}

}  // namespace naru::cpu
