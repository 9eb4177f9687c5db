#include "check/run_recorder.h"

#include <fmt/format.h>

#include <cstring>

#include "base/memory.h"
#include "check/judge_op.h"

namespace naru::check {

Result<std::unique_ptr<contract::PackedMatrix>> RunRecorder::pack(const contract::MatrixSource& source,
                                                                  contract::Rule rule) {
  log_.tick();
  NARU_ASSIGN(auto packed, chip_.pack(source, rule));
  inputs_.packed(packed.get());
  return packed;
}

Result<std::unique_ptr<contract::Sequences>> RunRecorder::make_sequences(std::span<const contract::SequenceRows> rows) {
  places_.begin_pass();
  return chip_.make_sequences(rows);
}

void RunRecorder::set_place(contract::Place place) {
  places_.set_place(place);
  chip_.set_place(place);
}

Status RunRecorder::run(const contract::Op& op) {
  RecordedOp recorded;
  recorded.place = places_.next(op);
  NARU_TRY(log_.begin(recorded.place));
  recorded.operands = operands_text(op);
  recorded.unseen = unseen_operands(op);
  NARU_ASSIGN(recorded.inputs, inputs_.of(chip_, op));
  NARU_TRY(run_to_end(chip_, op));
  inputs_.ran(op, recorded.inputs);
  for (const OpOutput& output : outputs_of(op)) {
    if (has_values(output.view)) NARU_TRY(record_output(output.view, output.name, recorded));
  }
  run_.ops.push_back(std::move(recorded));
  return check_recordable(std::ssize(run_.ops), bytes_);
}

Status RunRecorder::record_output(const View& view, std::string_view name, RecordedOp& op) {
  NARU_ASSIGN(std::vector<uint32_t> values, read_values(chip_, view));
  for (uint32_t& bits : values) bits = canonical(view.dtype, bits);
  NARU_TRY(values_.write(std::as_bytes(std::span(values))));
  op.outputs.push_back({.name = std::string(name),
                        .dtype = view.dtype,
                        .rows = view.rows,
                        .cols = view.cols,
                        .sha256 = values_digest(values),
                        .begin = bytes_});
  bytes_ += op.outputs.back().bytes();
  return {};
}

Status OpCounter::copy_out(void* to, ChipAddress, int64_t bytes) {
  std::memset(to, 0, static_cast<size_t>(bytes));
  return {};
}

Status OpCounter::run(const contract::Op& op) {
  NARU_TRY(chip_.run(op));
  ++n_ops_;
  for (const OpOutput& output : outputs_of(op)) {
    if (has_values(output.view)) values_bytes_ += output.view.rows * output.view.cols * 4;
  }
  return {};
}

Status check_recordable(int64_t n_ops, int64_t values_bytes) {
  if (n_ops <= kRecordedOpsMax && values_bytes <= kRecordedValuesBytesMax) return {};
  return Error{Code::kResourceExhausted,
               fmt::format("recording a run: {} ops with {} of values, at most {} with {} are recorded; give a shorter "
                           "prompt or a smaller model",
                           n_ops, format_bytes(values_bytes), kRecordedOpsMax, format_bytes(kRecordedValuesBytesMax))};
}

}  // namespace naru::check
