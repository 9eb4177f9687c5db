#include "chips/cpu/cpu_chip.h"

#include <fmt/format.h>

#include <cstring>

#include "chips/cpu/cache_layout.h"
#include "chips/cpu/machine.h"
#include "chips/cpu/memory.h"
#include "contract/op_table.h"

namespace naru::cpu {
namespace {

constexpr int kThreadsMax = 1024;

class CpuBuffer : public contract::Buffer {
 public:
  explicit CpuBuffer(Memory memory) : memory_(std::move(memory)) {
    data_ = memory_.data();
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

  Result<std::unique_ptr<contract::Buffer>> allocate(int64_t bytes) override {
    NARU_CHECK(bytes >= 0, bytes);
    NARU_ASSIGN(Memory memory, Memory::map(bytes, "the cache and activations"));
    return std::unique_ptr<contract::Buffer>(std::make_unique<CpuBuffer>(std::move(memory)));
  }
  Status copy_in(void* to, const void* from_host, int64_t bytes) override {
    std::memcpy(to, from_host, static_cast<size_t>(bytes));
    return {};
  }
  Status copy_out(void* to_host, const void* from, int64_t bytes) override {
    std::memcpy(to_host, from, static_cast<size_t>(bytes));
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

  Status run(const contract::Op& op) override {
    contract::validate(op);
    const FloatMode mode(table_);
    std::string_view kernel;
    Status status = std::visit([&](const auto& o) { return run_op(o, &kernel); }, op);
    count(static_cast<int>(op.index()), kernel);
    return status;
  }
  Status wait() override { return {}; }

  std::vector<contract::KernelUse> kernel_uses() const override { return uses_; }

 private:
  Status run_op(const contract::Embed& op, std::string_view* kernel) { return table_.embed(op, work_, kernel); }
  Status run_op(const contract::RmsNorm& op, std::string_view* kernel) { return table_.rms_norm(op, work_, kernel); }
  Status run_op(const contract::Matmul& op, std::string_view* kernel) { return table_.matmul(op, work_, kernel); }
  Status run_op(const contract::GroupedMatmul& op, std::string_view* kernel) {
    return table_.grouped_matmul(op, work_, kernel);
  }
  Status run_op(const contract::RopeTable& op, std::string_view* kernel) {
    return table_.rope_table(op, work_, kernel);
  }
  Status run_op(const contract::Rope& op, std::string_view* kernel) { return table_.rope(op, work_, kernel); }
  Status run_op(const contract::RoundBF16& op, std::string_view* kernel) {
    return table_.round_bf16(op, work_, kernel);
  }
  Status run_op(const contract::CacheWrite& op, std::string_view* kernel) {
    return table_.cache_write(op, work_, kernel);
  }
  Status run_op(const contract::Attention& op, std::string_view* kernel) { return table_.attention(op, work_, kernel); }
  Status run_op(const contract::SiluMul& op, std::string_view* kernel) { return table_.silu_mul(op, work_, kernel); }
  Status run_op(const contract::Add& op, std::string_view* kernel) { return table_.add(op, work_, kernel); }
  Status run_op(const contract::Route& op, std::string_view* kernel) { return table_.route(op, work_, kernel); }
  Status run_op(const contract::Combine& op, std::string_view* kernel) { return table_.combine(op, work_, kernel); }
  Status run_op(const contract::LogProb& op, std::string_view* kernel) { return table_.log_prob(op, work_, kernel); }
  Status run_op(const contract::Pack& op, std::string_view* kernel) { return table_.repack(op, work_, kernel); }
  Status run_op(const contract::WeightGrad& op, std::string_view* kernel) {
    return table_.weight_grad(op, work_, kernel);
  }
  Status run_op(const contract::Product& op, std::string_view* kernel) { return table_.product(op, work_, kernel); }
  Status run_op(const contract::ColumnSum& op, std::string_view* kernel) {
    return table_.column_sum(op, work_, kernel);
  }
  Status run_op(const contract::SumSlots& op, std::string_view* kernel) { return table_.sum_slots(op, work_, kernel); }
  Status run_op(const contract::RmsNormGrad& op, std::string_view* kernel) {
    return table_.rms_norm_grad(op, work_, kernel);
  }
  Status run_op(const contract::RopeGrad& op, std::string_view* kernel) { return table_.rope_grad(op, work_, kernel); }
  Status run_op(const contract::AttentionGrad& op, std::string_view* kernel) {
    return table_.attention_grad(op, work_, kernel);
  }
  Status run_op(const contract::SiluMulGrad& op, std::string_view* kernel) {
    return table_.silu_mul_grad(op, work_, kernel);
  }
  Status run_op(const contract::CombineGrad& op, std::string_view* kernel) {
    return table_.combine_grad(op, work_, kernel);
  }
  Status run_op(const contract::RouteGrad& op, std::string_view* kernel) {
    return table_.route_grad(op, work_, kernel);
  }
  Status run_op(const contract::BalanceLoss& op, std::string_view* kernel) {
    return table_.balance_loss(op, work_, kernel);
  }
  Status run_op(const contract::CrossEntropy& op, std::string_view* kernel) {
    return table_.cross_entropy(op, work_, kernel);
  }
  Status run_op(const contract::EmbedGrad& op, std::string_view* kernel) {
    return table_.embed_grad(op, work_, kernel);
  }
  Status run_op(const contract::Fill& op, std::string_view* kernel) { return table_.fill(op, work_, kernel); }
  Status run_op(const contract::Axpby& op, std::string_view* kernel) { return table_.axpby(op, work_, kernel); }
  Status run_op(const contract::SumOfSquares& op, std::string_view* kernel) {
    return table_.sum_of_squares(op, work_, kernel);
  }
  Status run_op(const contract::AdamW& op, std::string_view* kernel) { return table_.adamw(op, work_, kernel); }

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
  Scratch shared_;
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
