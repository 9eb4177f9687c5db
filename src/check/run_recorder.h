// RunRecorder: a chip in front of another that writes what every op of a run computed (recorded_run.h). It reads what
// an op reads and what it wrote, so a chip with a queue waits. OpCounter learns beforehand, on a planner, how much that
// will be.
#pragma once

#include "base/file.h"
#include "check/difference_log.h"
#include "check/input_hash.h"
#include "check/recorded_run.h"
#include "contract/forwarding_chip.h"

namespace naru::check {

class RunRecorder final : public contract::ForwardingChip {
 public:
  // Values go to `values`, which the caller commits.
  RunRecorder(contract::Chip& chip, DifferenceLog& log, AtomicFile& values)
      : ForwardingChip(chip), log_(log), values_(values) {}

  Result<std::unique_ptr<contract::PackedMatrix>> pack(const contract::MatrixSource& source,
                                                       contract::Rule rule) override;
  Result<std::unique_ptr<contract::Sequences>> make_sequences(std::span<const contract::SequenceRows> rows) override;
  void set_place(contract::Place place) override;
  Status run(const contract::Op& op) override;

  // What was recorded so far, to be given its identity.
  RecordedRun take() && { return std::move(run_); }

 private:
  Status record_output(const View& view, std::string_view name, RecordedOp& op);

  DifferenceLog& log_;
  AtomicFile& values_;
  PlaceTracker places_;
  InputHash inputs_;
  RecordedRun run_;
  int64_t bytes_ = 0;
};

// In front of a planner: counts. What is copied out of it is zeros.
class OpCounter final : public contract::ForwardingChip {
 public:
  explicit OpCounter(contract::Chip& planner) : ForwardingChip(planner) {}

  Status copy_out(void* to, ChipAddress from, int64_t bytes) override;
  Status run(const contract::Op& op) override;

  int64_t n_ops() const { return n_ops_; }
  int64_t values_bytes() const { return values_bytes_; }  // of all outputs

 private:
  int64_t n_ops_ = 0, values_bytes_ = 0;
};

// kResourceExhausted where a run of so many ops and bytes is too large for a recording.
Status check_recordable(int64_t n_ops, int64_t values_bytes);

}  // namespace naru::check
