#include "chips/distant/distant_chip.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "base/checked.h"
#include "base/memory.h"
#include "chips/distant/queue.h"
#include "chips/memory/address_space.h"
#include "chips/planner/planner.h"
#include "contract/op_members.h"
#include "contract/op_table.h"

namespace naru::distant {
namespace {

using contract::PackedMatrix;

// Far from every address that a system maps; buffers lie apart, so that running over the end of one is noticed.
constexpr uint64_t kFirstAddress = uint64_t{0x6d15'0000'0000'0000};
constexpr int64_t kGap = int64_t{1} << 20;

// What the chip shares with its buffers, matrices and sequences, which may outlive it. All of it but the queue's thread
// belongs to the caller's thread. Only the queue's thread runs ops and copies on the inner chip; what allocates, or
// asks for sizes, does so on the caller's, which an inner chip must bear.
struct Core {
  explicit Core(std::unique_ptr<contract::Chip> inner_in, const Options& options_in)
      : inner(std::move(inner_in)), options(options_in) {}

  struct Range {
    int64_t bytes;
    ChipAddress inner;
  };

  // The inner chip's address of `bytes` bytes, which must lie in one buffer.
  ChipAddress translate(ChipAddress address, int64_t bytes) const {
    if (address.is_null()) return {};
    const uint64_t number = AddressSpace::number(address);
    const auto behind = ranges.upper_bound(number);
    NARU_CHECK(behind != ranges.begin(), "an address of no buffer", number);
    const auto& [begin, range] = *std::prev(behind);
    const auto offset = static_cast<int64_t>(number - begin);
    NARU_CHECK(offset + bytes <= range.bytes, "memory outside of its buffer", offset, bytes, range.bytes);
    return range.inner + offset;
  }

  Status take(int64_t bytes) {
    const int64_t left = options.memory_bytes - used_bytes;
    if (bytes > left) {
      return Error{Code::kResourceExhausted,
                   fmt::format("allocating {} on chip distant: {} of its {} are free; use a smaller model, context or "
                               "batch",
                               format_bytes(bytes), format_bytes(left), format_bytes(options.memory_bytes))};
    }
    used_bytes += bytes;
    return {};
  }

  // Counts a call; an error where it is the one that was chosen to fail.
  Status count(Call call) {
    const int64_t before = n_calls[static_cast<size_t>(call)]++;
    if (!options.fault || options.fault->call != call || options.fault->at != before) return {};
    const bool is_memory = call == Call::kAllocate || call == Call::kPack;
    return Error{
        is_memory ? Code::kResourceExhausted : Code::kUnavailable,
        fmt::format("using chip distant: call {} of its kind failed, as it was told to; leave the fault out", before)};
  }

  std::unique_ptr<contract::Chip> inner;
  Options options;
  std::map<uint64_t, Range> ranges;  // by the first address
  uint64_t next_address = kFirstAddress;
  int64_t used_bytes = 0;
  std::array<int64_t, 5> n_calls{};
  Queue queue;  // last: its thread uses the inner chip
};
using SharedCore = std::shared_ptr<Core>;

// An object of the inner chip, given back in the order of the queue: what was queued before may use it.
template <typename Object>
void give_back(Core& core, std::shared_ptr<Object> object) {
  core.queue.add_always([object = std::move(object)]() mutable { object.reset(); });
}

class DistantBuffer : public contract::Buffer {
 public:
  DistantBuffer(SharedCore core, std::unique_ptr<Buffer> inner, int64_t bytes)
      : core_(std::move(core)), inner_(std::move(inner)), begin_(core_->next_address) {
    address_ = AddressSpace::address(begin_);
    bytes_ = bytes;
    core_->ranges[begin_] = {bytes, inner_->address()};
    core_->next_address += static_cast<uint64_t>(round_up(bytes + kGap, kGap));
  }
  ~DistantBuffer() override {
    core_->ranges.erase(begin_);
    core_->used_bytes -= bytes_;
    give_back(*core_, std::move(inner_));
  }

 private:
  SharedCore core_;
  std::shared_ptr<Buffer> inner_;
  uint64_t begin_;
};

class DistantMatrix : public PackedMatrix {
 public:
  DistantMatrix(SharedCore core, std::unique_ptr<PackedMatrix> inner)
      : PackedMatrix(*inner), core_(std::move(core)), inner_(std::move(inner)) {}
  ~DistantMatrix() override {
    core_->used_bytes -= bytes;
    give_back(*core_, std::move(inner_));
  }
  PackedMatrix* inner() const { return inner_.get(); }

 private:
  SharedCore core_;
  std::shared_ptr<PackedMatrix> inner_;
};

// The inner chip makes its own when the queue comes to it.
class DistantSequences : public contract::Sequences {
 public:
  using Slot = std::shared_ptr<std::unique_ptr<Sequences>>;
  DistantSequences(SharedCore core, std::span<const contract::SequenceRows> rows)
      : Sequences(rows), core_(std::move(core)), inner_(std::make_shared<std::unique_ptr<Sequences>>()) {}
  ~DistantSequences() override { give_back(*core_, std::move(inner_)); }
  const Slot& inner() const { return inner_; }

 private:
  SharedCore core_;
  Slot inner_;
};

// An op of the inner chip that holds all that it points to.
class OwnedOp {
 public:
  OwnedOp(const contract::Op& op, const Core& core) : op_(op), core_(core) {
    std::visit([this](auto& o) { contract::visit_members(o, *this); }, op_);
  }
  OwnedOp(const OwnedOp&) = delete;
  OwnedOp& operator=(const OwnedOp&) = delete;

  // On the queue's thread.
  const contract::Op& op() {
    for (const auto& [ref, slot] : sequences_) {
      NARU_CHECK(*slot != nullptr, "an op on sequences whose making failed");
      *ref = **slot;
    }
    return op_;
  }

  void operator()(View& view) {
    const bool is_none = view.rows == 0 || view.cols == 0;
    const int64_t elements = is_none ? 0 : (view.rows - 1) * view.row_stride + view.cols;
    view.address = core_.translate(view.address, elements * view.element_bytes());
  }
  void operator()(contract::CacheStream& stream) { stream.address = core_.translate(stream.address, 0); }
  void operator()(const PackedMatrix*& matrix) {
    if (matrix != nullptr) matrix = static_cast<const DistantMatrix*>(matrix)->inner();
  }
  void operator()(PackedMatrix*& matrix) {
    if (matrix != nullptr) matrix = static_cast<DistantMatrix*>(matrix)->inner();
  }
  void operator()(contract::SequencesRef& sequences) {
    if (sequences.get() != nullptr) {
      sequences_.emplace_back(&sequences, static_cast<const DistantSequences*>(sequences.get())->inner());
    }
  }
  template <typename T>
  void operator()(std::span<const T>& list) {
    auto copy = std::make_shared<std::vector<T>>(list.begin(), list.end());
    for (T& element : *copy) contract::visit_members(element, *this);
    list = *copy;
    lists_.push_back(std::move(copy));
  }

 private:
  contract::Op op_;
  const Core& core_;
  std::vector<std::shared_ptr<void>> lists_;
  std::vector<std::pair<contract::SequencesRef*, DistantSequences::Slot>> sequences_;
};

class DistantChip : public contract::Chip {
 public:
  explicit DistantChip(SharedCore core) : core_(std::move(core)) {}

  contract::ChipInfo info() const override {
    const contract::ChipInfo inner = core_->inner->info();
    return {.name = "distant",
            .level = inner.level,
            .detail =
                fmt::format("{} of memory behind a queue; {}", format_bytes(core_->options.memory_bytes), inner.detail),
            .n_threads = inner.n_threads};
  }
  contract::ChipMemory memory() const override {
    return {.free = core_->options.memory_bytes - core_->used_bytes, .scratch = 0, .is_host = false};
  }
  std::unique_ptr<contract::Chip> planner() const override { return planner::make_planner(*this); }

  Result<std::unique_ptr<contract::Buffer>> allocate(int64_t bytes) override {
    const int64_t size = std::max<int64_t>(bytes, 1);
    NARU_TRY(core_->count(Call::kAllocate));
    NARU_TRY(core_->take(size));
    auto inner = core_->inner->allocate(size);
    if (!inner.ok()) {
      core_->used_bytes -= size;
      return std::move(inner).error();
    }
    return std::unique_ptr<contract::Buffer>(std::make_unique<DistantBuffer>(core_, std::move(*inner), size));
  }
  Status copy_in(ChipAddress to, const void* from_host, int64_t bytes) override {
    NARU_TRY(core_->queue.failure());
    const ChipAddress inner_to = core_->translate(to, bytes);
    const auto* from = static_cast<const std::byte*>(from_host);
    return enqueue(Call::kCopyIn, bytes,
                   [core = core_.get(), inner_to, copy = std::vector<std::byte>(from, from + bytes), bytes] {
                     return core->inner->copy_in(inner_to, copy.data(), bytes);
                   });
  }
  Status copy_out(void* to_host, ChipAddress from, int64_t bytes) override {
    NARU_TRY(core_->count(Call::kCopyOut));
    const ChipAddress inner_from = core_->translate(from, bytes);
    core_->queue.add([=, core = core_.get()] { return core->inner->copy_out(to_host, inner_from, bytes); });
    return core_->queue.finish();
  }

  Result<std::unique_ptr<PackedMatrix>> pack(const contract::MatrixSource& source, contract::Rule rule) override {
    const int64_t bytes = packed_bytes(source.dtype, rule, source.groups, source.outputs, source.inputs);
    NARU_TRY(core_->count(Call::kPack));
    NARU_TRY(core_->take(bytes));
    std::unique_ptr<PackedMatrix> inner;
    core_->queue.add([&, core = core_.get()]() -> Status {
      NARU_ASSIGN(inner, core->inner->pack(source, rule));
      return {};
    });
    Status status = core_->queue.finish();
    if (!status.ok()) {
      core_->used_bytes -= bytes;
      return std::move(status).error();
    }
    NARU_CHECK(inner->bytes == bytes, inner->bytes, bytes);
    return std::unique_ptr<PackedMatrix>(std::make_unique<DistantMatrix>(core_, std::move(inner)));
  }
  int64_t packed_bytes(DType stored, contract::Rule rule, int64_t groups, int64_t outputs,
                       int64_t inputs) const override {
    return core_->inner->packed_bytes(stored, rule, groups, outputs, inputs);
  }

  int64_t cache_page_bytes(const contract::CacheShape& shape) const override {
    return core_->inner->cache_page_bytes(shape);
  }
  Status copy_cache_page(const contract::CacheStream& stream, int32_t from, int32_t to) override {
    NARU_TRY(core_->queue.failure());
    contract::CacheStream inner_stream = stream;
    inner_stream.address = core_->translate(stream.address, (std::max(from, to) + 1) * stream.page_bytes);
    core_->queue.add([=, core = core_.get()] { return core->inner->copy_cache_page(inner_stream, from, to); });
    return {};
  }

  Result<std::unique_ptr<contract::Sequences>> make_sequences(std::span<const contract::SequenceRows> rows) override {
    NARU_TRY(core_->queue.failure());
    auto sequences = std::make_unique<DistantSequences>(core_, rows);
    // The copy that the inner chip reads goes with the job.
    auto copy = std::make_shared<contract::Sequences>(rows);
    core_->queue.add([core = core_.get(), slot = sequences->inner(), copy]() -> Status {
      NARU_ASSIGN(*slot, core->inner->make_sequences(copy->rows()));
      return {};
    });
    return std::unique_ptr<contract::Sequences>(std::move(sequences));
  }

  int64_t scratch_bytes(const contract::Op& op) const override { return core_->inner->scratch_bytes(op); }
  Status run(const contract::Op& op) override {
    contract::validate(op);
    NARU_TRY(core_->queue.failure());
    auto owned = std::make_shared<OwnedOp>(op, *core_);
    return enqueue(Call::kRun, 0, [core = core_.get(), owned, place = place_] {
      core->inner->set_place(place);
      return core->inner->run(owned->op());
    });
  }
  Status wait() override {
    core_->queue.add([core = core_.get()] { return core->inner->wait(); });
    return core_->queue.finish();
  }

  std::vector<contract::KernelUse> kernel_uses() const override {
    std::vector<contract::KernelUse> uses;
    core_->queue.add_always([&] { uses = core_->inner->kernel_uses(); });
    core_->queue.settle();
    return uses;
  }

 private:
  // Queues the job, or in its place the failure that was asked for.
  template <typename Job>
  Status enqueue(Call call, int64_t bytes, Job job) {
    Status fault = core_->count(call);
    if (fault.ok()) {
      core_->queue.add(std::move(job), bytes);
    } else {
      core_->queue.add([error = std::move(fault).error()]() -> Status { return error; });
    }
    return {};
  }

  SharedCore core_;
};

}  // namespace

std::unique_ptr<contract::Chip> make_distant_chip(std::unique_ptr<contract::Chip> inner, const Options& options) {
  return std::make_unique<DistantChip>(std::make_shared<Core>(std::move(inner), options));
}

}  // namespace naru::distant
