#include "check/replay_chip.h"

#include <fmt/format.h>

#include "check/judge_op.h"

namespace naru::check {
namespace {

Error other_program(const std::filesystem::path& folder, int64_t number, std::string_view found,
                    std::string_view wanted) {
  return {Code::kInvalidArgument,
          fmt::format("running beside {}: op {} is {}, and in the recording {}; make the recording anew with this "
                      "version of naru",
                      folder.string(), number, found, wanted)};
}

}  // namespace

Result<std::unique_ptr<contract::PackedMatrix>> ReplayChip::pack(const contract::MatrixSource& source,
                                                                 contract::Rule rule) {
  log_.tick();
  return chip_.pack(source, rule);
}

Result<std::unique_ptr<contract::Sequences>> ReplayChip::make_sequences(std::span<const contract::SequenceRows> rows) {
  places_.begin_pass();
  return chip_.make_sequences(rows);
}

void ReplayChip::set_place(contract::Place place) {
  places_.set_place(place);
  chip_.set_place(place);
}

Status ReplayChip::check_same(const OpPlace& place, const contract::Op& op) const {
  const auto& ops = recording_.run().ops;
  const std::string here = fmt::format("{} ({})", place_text(place), operands_text(op));
  if (place.number >= std::ssize(ops)) {
    return other_program(recording_.folder(), place.number, here, "there is none");
  }
  const RecordedOp& recorded = ops[static_cast<size_t>(place.number)];
  const auto other = [&](const std::string& wanted) -> Status {
    return other_program(recording_.folder(), place.number, here, wanted);
  };
  if (recorded.place != place || recorded.operands != operands_text(op)) {
    return other(fmt::format("{} ({})", place_text(recorded.place), recorded.operands));
  }
  size_t n = 0;
  for (const OpOutput& output : outputs_of(op)) {
    if (!has_values(output.view)) continue;
    if (n == recorded.outputs.size()) return other("it has fewer outputs");
    const RecordedOutput& there = recorded.outputs[n++];
    if (there.dtype != output.view.dtype || there.rows != output.view.rows || there.cols != output.view.cols) {
      return other(fmt::format("its '{}' is [{}, {}]", there.name, there.rows, there.cols));
    }
  }
  return n == recorded.outputs.size() ? Status() : other("it has more outputs");
}

Status ReplayChip::run(const contract::Op& op) {
  const OpPlace place = places_.next(op);
  NARU_TRY(log_.begin(place));
  NARU_TRY(check_same(place, op));
  const std::vector<OpOutput> outputs = outputs_of(op);
  std::vector<size_t> recorded(outputs.size());  // by output: which of the recording's
  for (size_t i = 1; i < outputs.size(); ++i) recorded[i] = recorded[i - 1] + (has_values(outputs[i - 1].view) ? 1 : 0);
  const auto view = [&](size_t i) { return outputs[i].view; };
  const auto want = [&](size_t i) { return recording_.values(static_cast<size_t>(place.number), recorded[i]); };
  const Status status = run_to_end(chip_, op);
  if (!status.ok()) return settle_error(chip_, place, op, status.error(), view, want, log_);
  const auto also = [&] { return unseen_operands(op); };
  NARU_TRY(settle_outputs(chip_, place, op, view, want, also, log_));
  return {};
}

Status ReplayChip::finish() const {
  const int64_t n = log_.n_ops(), wanted = std::ssize(recording_.run().ops);
  if (n == wanted) return {};
  return other_program(recording_.folder(), n, "not there any more",
                       place_text(recording_.run().ops[static_cast<size_t>(n)].place));
}

}  // namespace naru::check
