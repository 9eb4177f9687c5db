#include "chips/null/null_chip.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>

#include "contract/op_table.h"

namespace naru::null {
namespace {

class AddressSpace : public contract::Buffer {
 public:
  AddressSpace(void* data, int64_t bytes) { data_ = data, bytes_ = bytes; }
  ~AddressSpace() override { ::munmap(data_, static_cast<size_t>(bytes_)); }
};

class NullChip : public contract::Chip {
 public:
  contract::ChipInfo info() const override {
    return {.name = "null", .level = "", .detail = "computes nothing", .n_threads = 1, .is_host_addressable = false};
  }

  Result<std::unique_ptr<contract::Buffer>> allocate(int64_t bytes) override {
    const int64_t size = std::max<int64_t>(bytes, 1);
    void* data =
        ::mmap(nullptr, static_cast<size_t>(size), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) {
      return Error{
          Code::kResourceExhausted,
          fmt::format("reserving {} bytes of address space on chip null: the system refuses; ask for less", bytes)};
    }
    return std::unique_ptr<contract::Buffer>(std::make_unique<AddressSpace>(data, size));
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
  std::array<int64_t, contract::kOpCount> calls_{};
};

}  // namespace

std::unique_ptr<contract::Chip> make_null_chip() {
  return std::make_unique<NullChip>();
}

}  // namespace naru::null
