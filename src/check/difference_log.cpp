#include "check/difference_log.h"

#include <fmt/format.h>

#include "contract/op_members.h"

namespace naru::check {
namespace {

class Unseen {
 public:
  void operator()(const View&) {}
  void operator()(const contract::CacheStream&) { reads_cache_ = true; }
  void operator()(const contract::SequencesRef&) {}
  void operator()(const contract::PackedMatrix* const& matrix) { reads_matrix_ = reads_matrix_ || matrix != nullptr; }
  void operator()(contract::PackedMatrix* const&) {}
  template <typename T>
  void operator()(const std::span<const T>&) {}

  std::string text() const {
    if (reads_cache_) return "the rows of the cache that it reads";
    return reads_matrix_ ? "the packed matrix that it reads" : "";
  }

 private:
  bool reads_cache_ = false, reads_matrix_ = false;
};

}  // namespace

std::string unseen_operands(const contract::Op& op) {
  Unseen unseen;
  std::visit([&](const auto& o) { contract::visit_members(o, unseen); }, op);
  return unseen.text();
}

std::string difference_text(const OpDifference& d, std::string_view checked, std::string_view against) {
  std::string text = place_text(d.place);
  if (!d.error.empty()) {
    return text + (d.is_absent ? fmt::format(" is not there on {}: {}", checked, d.error)
                               : fmt::format(" ends with an error on {} alone: {}", checked, d.error));
  }
  const ValueDifference& v = d.values;
  text += fmt::format(
      ": '{}' [{}, {}], row {}, column {}, is {} on {} and {} on {}; {} of {} values differ, the most by "
      "{:.3g}",
      d.output, d.rows, d.cols, v.row, v.col, value_text(d.dtype, v.checked), checked, value_text(d.dtype, v.against),
      against, v.n, d.rows * d.cols, v.largest);
  if (d.n_outputs > 1) text += fmt::format("; {} of its outputs do", d.n_outputs);
  return text;
}

Status DifferenceLog::begin(const OpPlace& place) {
  if (is_stopped_) {
    return Error{Code::kCancelled, fmt::format("running op {}: stopped by you; run it again", place.number)};
  }
  ++pulse_;
  ++n_ops_;
  const std::lock_guard lock(mutex_);
  last_ = place;
  return {};
}

void DifferenceLog::add(OpDifference difference) {
  const std::lock_guard lock(mutex_);
  differences_.push_back(std::move(difference));
}

DifferenceLog::Found DifferenceLog::found() const {
  const std::lock_guard lock(mutex_);
  return {.differences = differences_, .n_ops = n_ops_, .last = last_, .is_other_at_work = is_other_at_work_};
}

}  // namespace naru::check
