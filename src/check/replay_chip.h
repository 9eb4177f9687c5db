// ReplayChip: a chip in lock step with a recording. Every op runs from the values that were recorded: its outputs are
// compared with those of the recording and noted where they differ, and then they are the recorded ones. The run must
// be of the recorded program: an op that is another one, or of another shape, ends it (kInvalidArgument).
#pragma once

#include "check/difference_log.h"
#include "check/recorded_run.h"
#include "contract/forwarding_chip.h"

namespace naru::check {

class ReplayChip final : public contract::ForwardingChip {
 public:
  ReplayChip(contract::Chip& chip, const OpenRecording& recording, DifferenceLog& log)
      : ForwardingChip(chip), recording_(recording), log_(log) {}

  std::unique_ptr<contract::Chip> planner() const override { return chip_.planner(); }
  Result<std::unique_ptr<contract::PackedMatrix>> pack(const contract::MatrixSource& source,
                                                       contract::Rule rule) override;
  Result<std::unique_ptr<contract::Sequences>> make_sequences(std::span<const contract::SequenceRows> rows) override;
  void set_place(contract::Place place) override;
  Status run(const contract::Op& op) override;

  // Behind the last op: kInvalidArgument where the recording goes on.
  Status finish() const;

 private:
  Status check_same(const OpPlace& place, const contract::Op& op) const;

  const OpenRecording& recording_;
  DifferenceLog& log_;
  PlaceTracker places_;
};

}  // namespace naru::check
