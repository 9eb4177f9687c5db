// RecordingChip: a chip in front of another that records the forward passes that go through it (recording.h).
//
// It learns from the calls alone which rows are whose: make_sequences() begins a pass, sequences are numbered as they
// begin (at position 0), and places (Chip::set_place) tell layers apart. Rows behind the layers are those that the
// final norms name by their places. It reads each result back as soon as it is there, so a chip with a queue waits.
#pragma once

#include <map>
#include <tuple>

#include "check/op_outputs.h"
#include "check/recording.h"
#include "contract/forwarding_chip.h"

namespace naru::check {

class RecordingChip final : public contract::ForwardingChip {
 public:
  // What is kept: of one sequence the tokens below a position; and of one output of one of them the values.
  struct Wanted {
    int64_t sequence = 0;
    int64_t n_tokens = 0;
    std::optional<Spot> spot = {};
  };
  RecordingChip(contract::Chip& chip, const Wanted& wanted);

  Result<std::unique_ptr<contract::Sequences>> make_sequences(std::span<const contract::SequenceRows> rows) override;
  void set_place(contract::Place place) override;
  Status run(const contract::Op& op) override;

  const Recording& recording() const { return recording_; }
  const std::optional<OutputValues>& values() const { return values_; }  // of the spot, once it came by

 private:
  struct TokenRow {
    int64_t row = 0;  // of the batch
    int64_t position = 0;
  };
  // Rows [begin, begin + n) of an op's views are those of a token.
  struct Part {
    int64_t position = 0;
    int64_t begin = 0, n = 0;
  };
  void begin_pass(std::span<const contract::SequenceRows> rows);
  void follow_head(const contract::Op& op);
  std::vector<Part> parts_of(const View& view) const;
  Status record(const Part& part, const OpOutput& output, const OutputPlace& place);

  Wanted wanted_;
  Recording recording_;
  std::optional<OutputValues> values_;
  std::map<int32_t, int64_t> sequence_of_;  // by the first page of a sequence: its number
  int64_t n_sequences_ = 0;
  // Of the pass at work.
  int64_t n_rows_ = 0;
  std::vector<TokenRow> tokens_;  // those wanted
  bool is_behind_layers_ = false;
  std::vector<int64_t> head_rows_;  // of the batch: what the head's ops have as rows
  bool is_head_open_ = false;       // more may join them
  using Kind = std::tuple<OutputPlace::Stage, int64_t, int>;
  std::vector<std::map<Kind, int64_t>> counts_;  // by position: ops that came by
};

}  // namespace naru::check
