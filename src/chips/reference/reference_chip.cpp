#include "chips/reference/reference_chip.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <array>
#include <cstring>

#include "base/memory.h"
#include "chips/planner/planner.h"
#include "chips/reference/ops.h"
#include "contract/op_table.h"

namespace naru::reference {
namespace {

class HostBuffer : public contract::Buffer {
 public:
  HostBuffer(void* data, int64_t bytes) { address_ = address_of(data), bytes_ = bytes; }
  ~HostBuffer() override { ::munmap(pointer_of(address_), static_cast<size_t>(bytes_)); }
};

class ReferenceChip : public contract::Chip {
 public:
  contract::ChipInfo info() const override {
    return {.name = "reference", .level = "", .detail = "plain loops, one thread", .n_threads = 1};
  }
  contract::ChipMemory memory() const override {
    return {.free = available_memory_bytes(), .scratch = 0, .is_host = true};
  }
  std::unique_ptr<contract::Chip> planner() const override { return planner::make_planner(*this); }

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
    std::byte* base = pointer_of(stream.address);
    std::memcpy(base + to * stream.page_bytes, base + from * stream.page_bytes, static_cast<size_t>(stream.page_bytes));
    return {};
  }

  Result<std::unique_ptr<contract::Sequences>> make_sequences(std::span<const contract::SequenceRows> rows) override {
    return std::make_unique<contract::Sequences>(rows);
  }

  Status run(const contract::Op& op) override {
    contract::validate(op);
    ++calls_[op.index()];
    return at_place(std::visit([](const auto& o) { return reference::run(o); }, op));
  }
  Status wait() override { return {}; }
  // Vectors of a few rows at a time.
  int64_t scratch_bytes(const contract::Op&) const override { return 0; }

  std::vector<contract::KernelUse> kernel_uses() const override {
    std::vector<contract::KernelUse> uses;
    for (int i = 0; i < contract::kOpCount; ++i) {
      const int64_t calls = calls_[static_cast<size_t>(i)];
      if (calls > 0) uses.push_back({contract::op_name(i), "reference", calls});
    }
    return uses;
  }

 private:
  std::array<int64_t, contract::kOpCount> calls_{};
};

}  // namespace

std::unique_ptr<contract::Chip> make_reference_chip() {
  return std::make_unique<ReferenceChip>();
}

}  // namespace naru::reference
