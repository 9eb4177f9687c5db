#include "chips/reference/reference_chip.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <array>
#include <cstring>

#include "chips/reference/ops.h"
#include "contract/op_table.h"

namespace naru::reference {
namespace {

class HostBuffer : public contract::Buffer {
 public:
  HostBuffer(void* data, int64_t bytes) { data_ = data, bytes_ = bytes; }
  ~HostBuffer() override { ::munmap(data_, static_cast<size_t>(bytes_)); }
};

class ReferenceChip : public contract::Chip {
 public:
  contract::ChipInfo info() const override {
    return {.name = "reference", .level = "", .detail = "plain loops, one thread", .n_threads = 1};
  }

  Result<std::unique_ptr<contract::Buffer>> allocate(int64_t bytes) override {
    const int64_t size = std::max<int64_t>(bytes, 1);
    void* data = ::mmap(nullptr, static_cast<size_t>(size), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) {
      return Error{Code::kResourceExhausted,
                   fmt::format("allocating {} bytes on chip reference: the system has none left; free memory", bytes)};
    }
    return std::unique_ptr<contract::Buffer>(std::make_unique<HostBuffer>(data, size));
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
    return reference::pack(source, rule);
  }
  int64_t packed_bytes(DType stored, contract::Rule rule, int64_t groups, int64_t outputs,
                       int64_t inputs) const override {
    const int64_t rows = groups * outputs;
    if (contract::is_block_rule(rule)) return rows * dtype_bytes(stored, inputs).value_or(0);
    return rule == contract::Rule::kW8A8 ? rows * (inputs + 4) : rows * inputs * 4;
  }

  int64_t cache_page_bytes(const contract::CacheShape& shape) const override {
    return reference::cache_page_bytes(shape);
  }
  Status copy_cache_page(const contract::CacheStream& stream, int32_t from, int32_t to) override {
    char* base = static_cast<char*>(stream.data);
    std::memcpy(base + to * stream.page_bytes, base + from * stream.page_bytes, static_cast<size_t>(stream.page_bytes));
    return {};
  }

  Status run(const contract::Op& op) override {
    contract::validate(op);
    ++calls_[op.index()];
    return std::visit([](const auto& o) { return run_op(o); }, op);
  }
  Status wait() override { return {}; }

  std::vector<contract::KernelUse> kernel_uses() const override {
    std::vector<contract::KernelUse> uses;
    for (int i = 0; i < contract::kOpCount; ++i) {
      const int64_t calls = calls_[static_cast<size_t>(i)];
      if (calls > 0) uses.push_back({contract::op_name(i), "reference", calls});
    }
    return uses;
  }

 private:
  static Status run_op(const contract::Embed& op) { return run_embed(op); }
  static Status run_op(const contract::RmsNorm& op) { return run_rms_norm(op); }
  static Status run_op(const contract::Matmul& op) { return run_matmul(op); }
  static Status run_op(const contract::GroupedMatmul& op) { return run_grouped_matmul(op); }
  static Status run_op(const contract::RopeTable& op) { return run_rope_table(op); }
  static Status run_op(const contract::Rope& op) { return run_rope(op); }
  static Status run_op(const contract::RoundBF16& op) { return run_round_bf16(op); }
  static Status run_op(const contract::CacheWrite& op) { return run_cache_write(op); }
  static Status run_op(const contract::Attention& op) { return run_attention(op); }
  static Status run_op(const contract::SiluMul& op) { return run_silu_mul(op); }
  static Status run_op(const contract::Add& op) { return run_add(op); }
  static Status run_op(const contract::Route& op) { return run_route(op); }
  static Status run_op(const contract::Combine& op) { return run_combine(op); }
  static Status run_op(const contract::LogProb& op) { return run_log_prob(op); }
  static Status run_op(const contract::Pack& op) { return run_repack(op); }
  static Status run_op(const contract::WeightGrad& op) { return run_weight_grad(op); }
  static Status run_op(const contract::Product& op) { return run_product(op); }
  static Status run_op(const contract::ColumnSum& op) { return run_column_sum(op); }
  static Status run_op(const contract::SumSlots& op) { return run_sum_slots(op); }
  static Status run_op(const contract::RmsNormGrad& op) { return run_rms_norm_grad(op); }
  static Status run_op(const contract::RopeGrad& op) { return run_rope_grad(op); }
  static Status run_op(const contract::AttentionGrad& op) { return run_attention_grad(op); }
  static Status run_op(const contract::SiluMulGrad& op) { return run_silu_mul_grad(op); }
  static Status run_op(const contract::CombineGrad& op) { return run_combine_grad(op); }
  static Status run_op(const contract::RouteGrad& op) { return run_route_grad(op); }
  static Status run_op(const contract::BalanceLoss& op) { return run_balance_loss(op); }
  static Status run_op(const contract::CrossEntropy& op) { return run_cross_entropy(op); }
  static Status run_op(const contract::EmbedGrad& op) { return run_embed_grad(op); }
  static Status run_op(const contract::Fill& op) { return run_fill(op); }
  static Status run_op(const contract::Axpby& op) { return run_axpby(op); }
  static Status run_op(const contract::SumOfSquares& op) { return run_sum_of_squares(op); }
  static Status run_op(const contract::AdamW& op) { return run_adamw(op); }

  std::array<int64_t, contract::kOpCount> calls_{};
};

}  // namespace

std::unique_ptr<contract::Chip> make_reference_chip() {
  return std::make_unique<ReferenceChip>();
}

}  // namespace naru::reference
