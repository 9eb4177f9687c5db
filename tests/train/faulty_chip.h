// A chip whose k-th gradient of a weight comes out with one element wrong.
#pragma once

#include "contract/chip.h"

namespace naru::test {

enum class Fault { kBit, kNaN };

class FaultyChip : public contract::Chip {
 public:
  FaultyChip(contract::Chip& chip, int64_t fault_at, Fault fault = Fault::kBit)
      : chip_(chip), left_(fault_at), fault_(fault) {}

  contract::ChipInfo info() const override { return chip_.info(); }
  Result<std::unique_ptr<contract::Buffer>> allocate(int64_t bytes) override { return chip_.allocate(bytes); }
  Status copy_in(void* to, const void* from, int64_t bytes) override { return chip_.copy_in(to, from, bytes); }
  Status copy_out(void* to, const void* from, int64_t bytes) override { return chip_.copy_out(to, from, bytes); }
  Result<std::unique_ptr<contract::PackedMatrix>> pack(const contract::MatrixSource& source,
                                                       contract::Rule rule) override {
    return chip_.pack(source, rule);
  }
  int64_t packed_bytes(DType stored, contract::Rule rule, int64_t groups, int64_t outputs,
                       int64_t inputs) const override {
    return chip_.packed_bytes(stored, rule, groups, outputs, inputs);
  }
  int64_t cache_page_bytes(const contract::CacheShape& shape) const override { return chip_.cache_page_bytes(shape); }
  Status copy_cache_page(const contract::CacheStream& stream, int32_t from, int32_t to) override {
    return chip_.copy_cache_page(stream, from, to);
  }
  Status run(const contract::Op& op) override {
    NARU_TRY(chip_.run(op));
    const auto* grad = std::get_if<contract::WeightGrad>(&op);
    if (grad == nullptr || left_-- != 0) return {};
    NARU_TRY(chip_.wait());
    auto* bits = static_cast<uint32_t*>(grad->out[0].data);
    *bits = fault_ == Fault::kNaN ? 0x7fc00000 : *bits ^ 0x00400000;
    return {};
  }
  Status wait() override { return chip_.wait(); }
  std::vector<contract::KernelUse> kernel_uses() const override { return chip_.kernel_uses(); }

 private:
  contract::Chip& chip_;
  int64_t left_;
  Fault fault_;
};

}  // namespace naru::test
