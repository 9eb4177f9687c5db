// ForwardingChip: a chip that hands every call to another one. What stands in front of a chip (and counts, spoils or
// delays some of its calls) overrides those.
#pragma once

#include "contract/chip.h"

namespace naru::contract {

class ForwardingChip : public Chip {
 public:
  explicit ForwardingChip(Chip& chip) : chip_(chip) {}

  ChipInfo info() const override { return chip_.info(); }
  ChipMemory memory() const override { return chip_.memory(); }
  std::unique_ptr<Chip> planner() const override { return chip_.planner(); }
  Result<std::unique_ptr<Buffer>> allocate(int64_t bytes) override { return chip_.allocate(bytes); }
  Status copy_in(ChipAddress to, const void* from, int64_t bytes) override { return chip_.copy_in(to, from, bytes); }
  Status copy_out(void* to, ChipAddress from, int64_t bytes) override { return chip_.copy_out(to, from, bytes); }
  Result<std::unique_ptr<PackedMatrix>> pack(const MatrixSource& source, Rule rule) override {
    return chip_.pack(source, rule);
  }
  int64_t packed_bytes(DType stored, Rule rule, int64_t groups, int64_t outputs, int64_t inputs) const override {
    return chip_.packed_bytes(stored, rule, groups, outputs, inputs);
  }
  int64_t cache_page_bytes(const CacheShape& shape) const override { return chip_.cache_page_bytes(shape); }
  Status copy_cache_page(const CacheStream& stream, int32_t from, int32_t to) override {
    return chip_.copy_cache_page(stream, from, to);
  }
  Result<std::unique_ptr<Sequences>> make_sequences(std::span<const SequenceRows> rows) override {
    return chip_.make_sequences(rows);
  }
  void set_place(Place place) override { chip_.set_place(place); }
  int64_t scratch_bytes(const Op& op) const override { return chip_.scratch_bytes(op); }
  Status run(const Op& op) override { return chip_.run(op); }
  Status wait() override { return chip_.wait(); }
  std::vector<KernelUse> kernel_uses() const override { return chip_.kernel_uses(); }

 protected:
  Chip& chip_;
};

}  // namespace naru::contract
