#include "check/lock_step_chip.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "check/judge_op.h"
#include "check/matrix_difference.h"
#include "chips/planner/planner.h"
#include "contract/op_members.h"
#include "contract/op_table.h"

namespace naru::check {
namespace {

using contract::Chip;
using contract::PackedMatrix;

// Where the checked chip has what the other one has at an address.
struct Ranges {
  struct Range {
    int64_t bytes;
    ChipAddress checked;
  };
  std::map<ChipAddress, Range> by_begin;

  ChipAddress translate(ChipAddress address) const {
    if (address.is_null()) return {};
    const auto behind = by_begin.upper_bound(address);
    NARU_CHECK(behind != by_begin.begin(), "an address of no buffer");
    const auto& [begin, range] = *std::prev(behind);
    NARU_CHECK(address - begin < range.bytes, "an address of no buffer", address - begin, range.bytes);
    return range.checked + (address - begin);
  }
};
using SharedRanges = std::shared_ptr<Ranges>;

class BothBuffers : public contract::Buffer {
 public:
  BothBuffers(SharedRanges ranges, std::unique_ptr<Buffer> checked, std::unique_ptr<Buffer> against, int64_t bytes)
      : ranges_(std::move(ranges)), checked_(std::move(checked)), against_(std::move(against)) {
    address_ = against_->address();
    bytes_ = bytes;
    ranges_->by_begin[address_] = {std::max<int64_t>(bytes, 1), checked_->address()};
  }
  ~BothBuffers() override { ranges_->by_begin.erase(address_); }

 private:
  SharedRanges ranges_;
  std::unique_ptr<Buffer> checked_, against_;
};

struct BothMatrices : public PackedMatrix {
  BothMatrices(std::unique_ptr<PackedMatrix> checked_in, std::unique_ptr<PackedMatrix> against_in)
      : PackedMatrix(*against_in), checked(std::move(checked_in)), against(std::move(against_in)) {}
  std::unique_ptr<PackedMatrix> checked, against;  // checked: null where that chip does not have the rule
};

struct BothSequences : public contract::Sequences {
  using Sequences::Sequences;
  std::unique_ptr<Sequences> checked, against;
};

// An op as one of the two chips has it, with all that it points to.
class OpOfOne {
 public:
  OpOfOne(const contract::Op& op, const Ranges* checked_ranges) : op_(op), ranges_(checked_ranges) {
    std::visit([this](auto& o) { contract::visit_members(o, *this); }, op_);
  }
  OpOfOne(const OpOfOne&) = delete;
  OpOfOne& operator=(const OpOfOne&) = delete;
  const contract::Op& op() const { return op_; }
  bool has_all_matrices() const { return has_all_matrices_; }
  const std::vector<const PackedMatrix*>& matrices() const { return matrices_; }

  void operator()(View& view) { view.address = address(view.address); }
  void operator()(contract::CacheStream& stream) { stream.address = address(stream.address); }
  void operator()(const PackedMatrix*& matrix) { matrix = one_of(matrix); }
  void operator()(PackedMatrix*& matrix) { matrix = one_of(matrix); }
  void operator()(contract::SequencesRef& sequences) {
    const auto* both = static_cast<const BothSequences*>(sequences.get());
    if (both != nullptr) sequences = is_checked() ? *both->checked : *both->against;
  }
  template <typename T>
  void operator()(std::span<const T>& list) {
    auto copy = std::make_shared<std::vector<T>>(list.begin(), list.end());
    for (T& element : *copy) contract::visit_members(element, *this);
    list = *copy;
    lists_.push_back(std::move(copy));
  }

 private:
  bool is_checked() const { return ranges_ != nullptr; }
  ChipAddress address(ChipAddress of_against) const {
    return is_checked() ? ranges_->translate(of_against) : of_against;
  }
  PackedMatrix* one_of(const PackedMatrix* matrix) {
    if (matrix == nullptr) return nullptr;
    const auto* both = static_cast<const BothMatrices*>(matrix);
    PackedMatrix* one = is_checked() ? both->checked.get() : both->against.get();
    has_all_matrices_ = has_all_matrices_ && one != nullptr;
    matrices_.push_back(one);
    return one;
  }

  contract::Op op_;
  const Ranges* ranges_;  // of the checked chip; null: the op is the other one's
  bool has_all_matrices_ = true;
  std::vector<const PackedMatrix*> matrices_;
  std::vector<std::shared_ptr<void>> lists_;
};

class LockStepChip final : public Chip {
 public:
  LockStepChip(Chip& checked, Chip& against, DifferenceLog& log) : checked_(checked), against_(against), log_(log) {}

  contract::ChipInfo info() const override { return checked_.info(); }
  // A byte that is taken is taken on both.
  contract::ChipMemory memory() const override {
    const contract::ChipMemory checked = checked_.memory(), against = against_.memory();
    const int64_t free = std::min(checked.free, against.free);
    return {.free = checked.is_host && against.is_host ? free / 2 : free,
            .scratch = std::max(checked.scratch, against.scratch),
            .is_host = checked.is_host || against.is_host};
  }
  std::unique_ptr<Chip> planner() const override { return planner::make_planner(*this); }

  Result<std::unique_ptr<contract::Buffer>> allocate(int64_t bytes) override {
    NARU_ASSIGN(auto against, against_.allocate(bytes));
    NARU_ASSIGN(auto checked, checked_.allocate(bytes));
    log_.tick();
    return std::unique_ptr<contract::Buffer>(
        std::make_unique<BothBuffers>(ranges_, std::move(checked), std::move(against), bytes));
  }
  Status copy_in(ChipAddress to, const void* from_host, int64_t bytes) override {
    log_.tick();
    NARU_TRY(against_.copy_in(to, from_host, bytes));
    return checked_.copy_in(ranges_->translate(to), from_host, bytes);
  }
  Status copy_out(void* to_host, ChipAddress from, int64_t bytes) override {
    log_.tick();
    return against_.copy_out(to_host, from, bytes);
  }

  Result<std::unique_ptr<PackedMatrix>> pack(const contract::MatrixSource& source, contract::Rule rule) override {
    log_.turn_to_other(true);
    NARU_ASSIGN(auto against, against_.pack(source, rule));
    log_.turn_to_other(false);
    auto checked = checked_.pack(source, rule);
    if (!checked.ok() && checked.error().code != Code::kUnsupported) return std::move(checked).error();
    if (!checked.ok()) not_packed_ = checked.error().message;
    return std::unique_ptr<PackedMatrix>(
        std::make_unique<BothMatrices>(checked.ok() ? std::move(*checked) : nullptr, std::move(against)));
  }
  int64_t packed_bytes(DType stored, contract::Rule rule, int64_t groups, int64_t outputs,
                       int64_t inputs) const override {
    return std::max(checked_.packed_bytes(stored, rule, groups, outputs, inputs),
                    against_.packed_bytes(stored, rule, groups, outputs, inputs));
  }

  int64_t cache_page_bytes(const contract::CacheShape& shape) const override {
    return std::max(checked_.cache_page_bytes(shape), against_.cache_page_bytes(shape));
  }
  Status copy_cache_page(const contract::CacheStream& stream, int32_t from, int32_t to) override {
    NARU_TRY(against_.copy_cache_page(stream, from, to));
    contract::CacheStream of_checked = stream;
    of_checked.address = ranges_->translate(stream.address);
    return checked_.copy_cache_page(of_checked, from, to);
  }

  Result<std::unique_ptr<contract::Sequences>> make_sequences(std::span<const contract::SequenceRows> rows) override {
    places_.begin_pass();
    auto both = std::make_unique<BothSequences>(rows);
    NARU_ASSIGN(both->against, against_.make_sequences(rows));
    NARU_ASSIGN(both->checked, checked_.make_sequences(rows));
    return std::unique_ptr<contract::Sequences>(std::move(both));
  }

  void set_place(contract::Place place) override {
    Chip::set_place(place);
    places_.set_place(place);
    checked_.set_place(place);
    against_.set_place(place);
  }
  int64_t scratch_bytes(const contract::Op& op) const override {
    return std::max(checked_.scratch_bytes(op), against_.scratch_bytes(op));
  }
  std::vector<contract::KernelUse> kernel_uses() const override { return checked_.kernel_uses(); }

  Status wait() override {
    NARU_TRY(against_.wait());
    return checked_.wait();
  }
  Status run(const contract::Op& op) override {
    contract::validate(op);
    const OpPlace place = places_.next(op);
    NARU_TRY(log_.begin(place));
    const OpOfOne on_against(op, nullptr), on_checked(op, ranges_.get());
    log_.turn_to_other(true);
    const Status right = run_to_end(against_, on_against.op());
    log_.turn_to_other(false);
    const Status status = run_checked(on_checked);
    if (!right.ok()) {
      note_error_of_against(place, op, right.error(), status);
      return right;
    }
    const std::vector<OpOutput> outputs = outputs_of(on_against.op());
    const std::vector<OpOutput> theirs = outputs_of(on_checked.op());
    const auto view = [&](size_t i) { return theirs[i].view; };
    const auto want = [&](size_t i) { return read_values(against_, outputs[i].view); };
    if (!status.ok()) return settle_error(checked_, place, op, status.error(), view, want, log_);
    const auto also = [&] { return unseen_difference(op, on_checked, on_against); };
    NARU_ASSIGN(const bool differs, settle_outputs(checked_, place, op, view, want, also, log_));
    if (std::holds_alternative<contract::Embed>(op)) is_embed_trusted_ = is_embed_trusted_ && !differs;
    return {};
  }

 private:
  Status run_checked(const OpOfOne& op) {
    if (op.has_all_matrices()) return run_to_end(checked_, op.op());
    return Error{Code::kUnsupported, fmt::format("a matrix that it takes could not be packed: {}", not_packed_)};
  }
  // Both fail alike, or there is something to note: the run ends with the error in any case.
  void note_error_of_against(const OpPlace& place, const contract::Op& op, const Error& right, const Status& status) {
    if (!status.ok() && status.error().code == right.code && status.error().failed.rows == right.failed.rows) return;
    OpDifference found;
    found.place = place;
    found.operands = operands_text(op);
    found.error = status.ok() ? fmt::format("none, where chip {} says: {}", against_.info().name, right.message)
                              : status.error().message;
    log_.add(std::move(found));
  }

  // What the op reads beside what was compared: of matrices that embed reads alike on both chips, nothing.
  std::string unseen_difference(const contract::Op& op, const OpOfOne& on_checked, const OpOfOne& on_against) {
    const std::string unseen = unseen_operands(op);
    const auto &its = on_checked.matrices(), &others = on_against.matrices();
    if (its.empty() || !is_embed_trusted_ || std::holds_alternative<contract::Embed>(op)) return unseen;
    for (size_t i = 0; i < its.size(); ++i) {
      const auto difference = matrix_difference(checked_, *its[i], against_, *others[i]);
      if (!difference.ok()) return unseen;
      if (*difference) return fmt::format("{}: {}, as embed reads it", unseen, **difference);
    }
    return "";
  }

  Chip& checked_;
  Chip& against_;
  DifferenceLog& log_;
  bool is_embed_trusted_ = true;  // its rows were alike so far
  SharedRanges ranges_ = std::make_shared<Ranges>();
  PlaceTracker places_;
  std::string not_packed_;  // why, of the last matrix
};

}  // namespace

std::unique_ptr<contract::Chip> make_lock_step_chip(contract::Chip& checked, contract::Chip& against,
                                                    DifferenceLog& log) {
  return std::make_unique<LockStepChip>(checked, against, log);
}

}  // namespace naru::check
