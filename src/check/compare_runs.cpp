#include "check/compare_runs.h"

#include <fmt/format.h>

namespace naru::check {
namespace {

bool are_alike(const RecordedOutput& a, const RecordedOutput& b) {
  return a.dtype == b.dtype && a.rows == b.rows && a.cols == b.cols;
}

Status check_same_op(const OpenRecording& a, const OpenRecording& b, size_t i) {
  const RecordedOp &x = a.run().ops[i], &y = b.run().ops[i];
  bool is_same = x.place == y.place && x.operands == y.operands && x.outputs.size() == y.outputs.size();
  for (size_t o = 0; is_same && o < x.outputs.size(); ++o) is_same = are_alike(x.outputs[o], y.outputs[o]);
  if (is_same) return {};
  return Error{Code::kInvalidArgument,
               fmt::format("comparing {} and {}: op {} is {} ({}) in one and {} ({}) in the other; make both with one "
                           "version of naru",
                           a.folder().string(), b.folder().string(), i, place_text(x.place), x.operands,
                           place_text(y.place), y.operands)};
}

// Of op i, whose outputs have other hashes.
Result<OpDifference> culprit(const OpenRecording& a, const OpenRecording& b, size_t i) {
  const RecordedOp& op = a.run().ops[i];
  OpDifference found;
  found.place = op.place;
  found.operands = op.operands;
  found.also = op.unseen;
  for (size_t o = 0; o < op.outputs.size(); ++o) {
    const RecordedOutput& output = op.outputs[o];
    if (output.sha256 == b.run().ops[i].outputs[o].sha256) continue;
    NARU_ASSIGN(const std::vector<uint32_t> of_a, a.values(i, o));
    NARU_ASSIGN(const std::vector<uint32_t> of_b, b.values(i, o));
    const auto difference = compare_values(output.dtype, output.cols, of_a, of_b);
    if (!difference || found.n_outputs++ > 0) continue;
    found.output = output.name;
    found.dtype = output.dtype;
    found.rows = output.rows;
    found.cols = output.cols;
    found.values = *difference;
  }
  return found;
}

bool has_same_outputs(const RecordedOp& a, const RecordedOp& b) {
  for (size_t o = 0; o < a.outputs.size(); ++o) {
    if (a.outputs[o].sha256 != b.outputs[o].sha256) return false;
  }
  return true;
}

}  // namespace

Result<RunComparison> compare_runs(const OpenRecording& a, const OpenRecording& b, const std::function<bool()>& go_on) {
  NARU_TRY(check_comparable(a.run().identity, a.folder().string(), b.run().identity, b.folder().string()));
  if (a.run().ops.size() != b.run().ops.size()) {
    return Error{Code::kInvalidArgument,
                 fmt::format("comparing {} and {}: one has {} ops and the other {}; make both with one version of naru",
                             a.folder().string(), b.folder().string(), a.run().ops.size(), b.run().ops.size())};
  }
  RunComparison comparison;
  for (size_t i = 0; i < a.run().ops.size(); ++i) {
    if (!go_on()) {
      return Error{Code::kCancelled,
                   fmt::format("comparing op {} of {}: stopped by you; run it again", i, a.run().ops.size())};
    }
    NARU_TRY(check_same_op(a, b, i));
    NARU_TRY(a.check_values(i));  // hashes that are alike say nothing of values that are not theirs
    NARU_TRY(b.check_values(i));
    const RecordedOp &x = a.run().ops[i], &y = b.run().ops[i];
    ++comparison.n_ops;
    if (has_same_outputs(x, y)) {
      ++comparison.n_alike;
    } else if (x.inputs != y.inputs) {
      ++comparison.n_followers;
    } else {
      NARU_ASSIGN(OpDifference found, culprit(a, b, i));
      comparison.culprits.push_back(std::move(found));
    }
  }
  return comparison;
}

}  // namespace naru::check
