#include "chips/null/null_chip.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/checked.h"
#include "contract/op_table.h"

namespace naru::null {
namespace {

// Addresses that no 64-bit system maps, whatever the width of its page tables and however many upper bits it ignores:
// bit 62 makes them no addresses of x86-64 and RISC-V; where that bit is ignored (AArch64), one of bits 52 to 55 is
// set, which 48 and 52 bits of addresses do not have. Following one is a fault at once.
constexpr int64_t kFirstAddress = 0x4010'0000'0000'0000;
constexpr int64_t kBehindAddresses = 0x4100'0000'0000'0000;
constexpr int64_t kAlignment = 64;

// Ends of the ranges that are handed out. Shared, as a buffer may outlive its chip; of one thread, as the chip is.
using Ends = std::set<int64_t>;

class Addresses : public contract::Buffer {
 public:
  Addresses(std::shared_ptr<Ends> ends, int64_t begin, int64_t bytes) : ends_(std::move(ends)), end_(begin + bytes) {
    data_ = reinterpret_cast<void*>(begin);  // NOLINT: a number in the clothes of a pointer
    bytes_ = bytes;
    ends_->insert(end_);
  }
  ~Addresses() override { ends_->erase(end_); }

 private:
  std::shared_ptr<Ends> ends_;
  int64_t end_;
};

class NullChip : public contract::Chip {
 public:
  contract::ChipInfo info() const override {
    return {.name = "null", .level = "", .detail = "computes nothing", .n_threads = 1, .is_host_addressable = false};
  }

  Result<std::unique_ptr<contract::Buffer>> allocate(int64_t bytes) override {
    const int64_t size = std::max<int64_t>(bytes, 1);
    // Behind the last range that is still held, so that ranges never overlap.
    const int64_t begin = ends_->empty() ? kFirstAddress : round_up(*ends_->rbegin() + 1, kAlignment);
    if (size > kBehindAddresses - begin) {
      return Error{
          Code::kResourceExhausted,
          fmt::format("reserving {} bytes on chip null: there are {} addresses left; plan for something smaller", bytes,
                      kBehindAddresses - begin)};
    }
    return std::unique_ptr<contract::Buffer>(std::make_unique<Addresses>(ends_, begin, size));
  }
  Status copy_in(void*, const void*, int64_t) override { return {}; }
  Status copy_out(void*, const void*, int64_t) override { return {}; }

  Result<std::unique_ptr<contract::PackedMatrix>> pack(const contract::MatrixSource& source,
                                                       contract::Rule rule) override {
    auto matrix = std::make_unique<contract::PackedMatrix>();
    matrix->rule = rule;
    matrix->stored = source.dtype;
    matrix->groups = source.groups;
    matrix->outputs = source.outputs;
    matrix->inputs = source.inputs;
    return matrix;
  }
  int64_t packed_bytes(DType, contract::Rule, int64_t, int64_t, int64_t) const override { return 0; }

  int64_t cache_page_bytes(const contract::CacheShape& shape) const override {
    return shape.heads * shape.width * contract::kCachePage * dtype_info(shape.dtype).block_bytes;
  }
  Status copy_cache_page(const contract::CacheStream&, int32_t, int32_t) override { return {}; }

  Status run(const contract::Op& op) override {
    contract::validate(op);
    ++calls_[op.index()];
    return {};
  }
  Status wait() override { return {}; }

  std::vector<contract::KernelUse> kernel_uses() const override {
    std::vector<contract::KernelUse> uses;
    for (int i = 0; i < contract::kOpCount; ++i) {
      const int64_t calls = calls_[static_cast<size_t>(i)];
      if (calls > 0) uses.push_back({contract::op_name(i), "none", calls});
    }
    return uses;
  }

 private:
  std::shared_ptr<Ends> ends_ = std::make_shared<Ends>();
  std::array<int64_t, contract::kOpCount> calls_{};
};

}  // namespace

std::unique_ptr<contract::Chip> make_null_chip() {
  return std::make_unique<NullChip>();
}

}  // namespace naru::null
