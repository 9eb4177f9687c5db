#include "chips/planner/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "base/checked.h"
#include "base/memory.h"
#include "chips/memory/address_space.h"
#include "contract/op_members.h"
#include "contract/op_table.h"

namespace naru::planner {
namespace {

constexpr int64_t kFirstAddress = 64;
constexpr int64_t kBehindAddresses = int64_t{1} << 62;
constexpr int64_t kAlignment = 64;

// The ranges that are handed out, begin and end. Shared, as a buffer may outlive its chip; of one thread, as the chip
// is.
using Ranges = std::map<int64_t, int64_t>;

class Addresses : public contract::Buffer {
 public:
  Addresses(std::shared_ptr<Ranges> ranges, int64_t begin, int64_t bytes) : ranges_(std::move(ranges)), begin_(begin) {
    address_ = AddressSpace::address(static_cast<uint64_t>(begin));
    bytes_ = bytes;
    ranges_->emplace(begin, begin + bytes);
  }
  ~Addresses() override { ranges_->erase(begin_); }

 private:
  std::shared_ptr<Ranges> ranges_;
  int64_t begin_;
};

// That every view of an op lies in one buffer that is held, and the views of one list in the same.
class MemoryCheck {
 public:
  MemoryCheck(const Ranges& ranges, std::string_view op) : ranges_(ranges), op_(op) {}

  void operator()(const View& view) { buffer_of(view); }
  void operator()(const std::span<const View>& list) {
    int64_t buffer = 0;
    for (const View& view : list) {
      const int64_t here = buffer_of(view);
      NARU_CHECK(here == 0 || buffer == 0 || here == buffer, op_, "a list of views in several buffers");
      if (here != 0) buffer = here;
    }
  }
  template <typename T>
  void operator()(const std::span<const T>& list) {
    for (const T& element : list) contract::visit_members(element, *this);
  }
  void operator()(const contract::CacheStream&) {}
  void operator()(const contract::SequencesRef&) {}
  void operator()(const contract::PackedMatrix* const&) {}
  void operator()(contract::PackedMatrix* const&) {}

  // A program that is too large for any plan has views that do not end in their buffer (nn/workspace.h).
  Status status() const {
    if (fits_) return {};
    return Error{Code::kResourceExhausted,
                 fmt::format("planning memory: an operand of {} ends behind its buffer; use fewer rows at once or a "
                             "smaller model",
                             op_)};
  }

 private:
  // The begin of the buffer; 0 for a view of no elements.
  int64_t buffer_of(const View& view) {
    if (view.empty() || view.rows == 0 || view.cols == 0) return 0;
    const auto begin = static_cast<int64_t>(AddressSpace::number(view.address));
    const auto to_last = checked_mul(view.rows - 1, view.row_stride);  // elements
    const auto elements = to_last ? checked_add(*to_last, view.cols) : std::nullopt;
    const auto bytes = elements ? checked_mul(*elements, view.element_bytes()) : std::nullopt;
    const auto behind = ranges_.upper_bound(begin);
    NARU_CHECK(behind != ranges_.begin() && begin < std::prev(behind)->second, op_, "a view outside of all buffers",
               view.rows, view.cols);
    fits_ = fits_ && bytes && *bytes <= std::prev(behind)->second - begin;
    return std::prev(behind)->first;
  }

  const Ranges& ranges_;
  std::string_view op_;
  bool fits_ = true;
};

class Planner : public contract::Chip {
 public:
  Planner(const contract::Chip& of, int64_t piece_max) : of_(of), piece_max_(piece_max) {}

  contract::ChipInfo info() const override {
    contract::ChipInfo info = of_.info();
    return {.name = info.name, .level = info.level, .detail = "computes nothing", .n_threads = 1, .is_planner = true};
  }
  contract::ChipMemory memory() const override {
    contract::ChipMemory memory = of_.memory();
    memory.scratch = scratch_bytes_;
    return memory;
  }
  std::unique_ptr<contract::Chip> planner() const override { return make_planner(of_, piece_max_); }

  Result<std::unique_ptr<contract::Buffer>> allocate(int64_t bytes) override {
    const int64_t size = std::max<int64_t>(bytes, 1);
    if (size < contract::kMeasuredBytesMax) NARU_TRY(check_piece(size, "a buffer"));
    // Behind the last range that is still held, so that ranges never overlap.
    const int64_t begin = ranges_->empty() ? kFirstAddress : round_up(ranges_->rbegin()->second + 1, kAlignment);
    if (size > kBehindAddresses - begin) {
      return Error{Code::kResourceExhausted,
                   fmt::format("planning memory: {} bytes on chip {}: a plan has {} addresses left; plan for something "
                               "smaller",
                               bytes, of_.info().name, kBehindAddresses - begin)};
    }
    return std::unique_ptr<contract::Buffer>(std::make_unique<Addresses>(ranges_, begin, size));
  }
  Status copy_in(ChipAddress, const void*, int64_t) override { return {}; }
  Status copy_out(void*, ChipAddress, int64_t) override { return {}; }

  Result<std::unique_ptr<contract::PackedMatrix>> pack(const contract::MatrixSource& source,
                                                       contract::Rule rule) override {
    const int64_t bytes = packed_bytes(source.dtype, rule, source.groups, source.outputs, source.inputs);
    NARU_TRY(check_piece(bytes, fmt::format("{} matrices of {} x {}", source.groups, source.outputs, source.inputs)));
    auto matrix = std::make_unique<contract::PackedMatrix>();
    matrix->rule = rule;
    matrix->stored = source.dtype;
    matrix->groups = source.groups;
    matrix->outputs = source.outputs;
    matrix->inputs = source.inputs;
    matrix->bytes = bytes;
    return matrix;
  }
  int64_t packed_bytes(DType stored, contract::Rule rule, int64_t groups, int64_t outputs,
                       int64_t inputs) const override {
    return of_.packed_bytes(stored, rule, groups, outputs, inputs);
  }

  int64_t cache_page_bytes(const contract::CacheShape& shape) const override { return of_.cache_page_bytes(shape); }
  Status copy_cache_page(const contract::CacheStream&, int32_t, int32_t) override { return {}; }

  Result<std::unique_ptr<contract::Sequences>> make_sequences(std::span<const contract::SequenceRows> rows) override {
    return std::make_unique<contract::Sequences>(rows);
  }

  int64_t scratch_bytes(const contract::Op& op) const override { return of_.scratch_bytes(op); }
  Status run(const contract::Op& op) override {
    contract::validate(op);
    MemoryCheck check(*ranges_, contract::op_name(op));
    std::visit([&](const auto& o) { contract::visit_members(o, check); }, op);
    NARU_TRY(check.status());
    const int64_t scratch = of_.scratch_bytes(op);
    NARU_TRY(at_place(check_piece(scratch, fmt::format("what {} works in", contract::op_name(op)))));
    scratch_bytes_ = std::max(scratch_bytes_, scratch);
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
  Status check_piece(int64_t bytes, std::string_view what) const {
    if (bytes <= piece_max_) return {};
    return Error{Code::kResourceExhausted,
                 fmt::format("planning memory: {} takes {} in one piece, but chip {} gives {} at once at most; use a "
                             "smaller model (a quantised kind), context or batch, or chip cpu",
                             what, format_bytes(bytes), of_.info().name, format_bytes(piece_max_))};
  }

  const contract::Chip& of_;
  int64_t piece_max_;
  std::shared_ptr<Ranges> ranges_ = std::make_shared<Ranges>();
  std::array<int64_t, contract::kOpCount> calls_{};
  int64_t scratch_bytes_ = 0;  // the most of an op
};

}  // namespace

std::unique_ptr<contract::Chip> make_planner(const contract::Chip& of, int64_t piece_max) {
  return std::make_unique<Planner>(of, piece_max);
}

}  // namespace naru::planner
