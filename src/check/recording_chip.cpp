#include "check/recording_chip.h"

#include <algorithm>
#include <bit>

#include "contract/scalar.h"

namespace naru::check {

RecordingChip::RecordingChip(contract::Chip& chip, const Wanted& wanted) : ForwardingChip(chip), wanted_(wanted) {
  recording_.tokens.resize(static_cast<size_t>(wanted.n_tokens));
  counts_.resize(static_cast<size_t>(wanted.n_tokens));
}

void RecordingChip::begin_pass(std::span<const contract::SequenceRows> rows) {
  n_rows_ = 0;
  tokens_.clear();
  is_behind_layers_ = false;
  head_rows_.clear();
  is_head_open_ = false;
  for (const contract::SequenceRows& sequence : rows) {
    n_rows_ = std::max(n_rows_, sequence.row_begin + sequence.n_rows);
    if (sequence.n_rows == 0) continue;
    if (sequence.position_begin == 0) sequence_of_[sequence.pages[0]] = n_sequences_++;
    const auto number = sequence_of_.find(sequence.pages[0]);
    if (number == sequence_of_.end() || number->second != wanted_.sequence) continue;
    for (int64_t i = 0; i < sequence.n_rows && sequence.position_begin + i < wanted_.n_tokens; ++i) {
      tokens_.push_back({sequence.row_begin + i, sequence.position_begin + i});
    }
  }
}

Result<std::unique_ptr<contract::Sequences>> RecordingChip::make_sequences(
    std::span<const contract::SequenceRows> rows) {
  begin_pass(rows);
  return chip_.make_sequences(rows);
}

void RecordingChip::set_place(contract::Place place) {
  place_ = place;
  if (!place.what.empty()) is_behind_layers_ = true;
  chip_.set_place(place);
}

// The final norm says by its place of which rows it is; several of them may precede one product.
void RecordingChip::follow_head(const contract::Op& op) {
  const auto* norm = std::get_if<contract::RmsNorm>(&op);
  if (norm == nullptr) {
    is_head_open_ = false;
    return;
  }
  if (!is_head_open_) head_rows_.clear();
  is_head_open_ = true;
  for (int64_t i = 0; i < norm->out.rows && place_.n_rows > 0; ++i) head_rows_.push_back(place_.row_begin + i);
}

// Behind the layers a view has the last rows of the head; before, several rows a token where there are heads or
// experts.
std::vector<RecordingChip::Part> RecordingChip::parts_of(const View& view) const {
  std::vector<Part> parts;
  if (!place_.what.empty() || !is_behind_layers_) {
    const int64_t n = view.rows / n_rows_;
    if (view.rows % n_rows_ != 0) return parts;
    for (const TokenRow& token : tokens_) parts.push_back({token.position, token.row * n, n});
    return parts;
  }
  const auto n_head = static_cast<int64_t>(head_rows_.size());
  for (int64_t i = 0; i < view.rows && view.rows <= n_head; ++i) {
    const int64_t row = head_rows_[static_cast<size_t>(n_head - view.rows + i)];
    const auto token = std::find_if(tokens_.begin(), tokens_.end(), [&](const TokenRow& t) { return t.row == row; });
    if (token != tokens_.end()) parts.push_back({token->position, i, 1});
  }
  return parts;
}

Status RecordingChip::record(const Part& part, const OpOutput& output, const OutputPlace& place) {
  const View view = output.view.slice_rows(part.begin, part.n);
  OutputValues values{.name = std::string(output.name),
                      .weight = output.weight,
                      .dtype = view.dtype,
                      .rows = view.rows,
                      .cols = view.cols,
                      .bits = std::vector<uint32_t>(static_cast<size_t>(view.rows * view.cols))};
  for (int64_t r = 0; r < view.rows; ++r) {
    uint32_t* row = values.bits.data() + r * view.cols;
    NARU_TRY(chip_.copy_out(row, view.slice_rows(r, 1).address, view.cols * 4));
    if (view.dtype != DType::kF32) continue;
    for (int64_t c = 0; c < view.cols; ++c) row[c] = contract::canonical_bits(std::bit_cast<float>(row[c]));
  }
  recording_.tokens[static_cast<size_t>(part.position)].push_back({place, hash_of(values)});
  if (wanted_.spot && wanted_.spot->position == part.position && wanted_.spot->place == place) {
    values_ = std::move(values);
  }
  return {};
}

Status RecordingChip::run(const contract::Op& op) {
  NARU_TRY(chip_.run(op));
  const bool is_in_layer = !place_.what.empty();
  if (!is_in_layer && is_behind_layers_) follow_head(op);
  if (tokens_.empty()) return {};
  const OutputPlace::Stage stage = is_in_layer         ? OutputPlace::Stage::kLayer
                                   : is_behind_layers_ ? OutputPlace::Stage::kHead
                                                       : OutputPlace::Stage::kEmbedding;
  OutputPlace place{.stage = stage, .layer = is_in_layer ? place_.number : 0, .op = static_cast<int>(op.index())};
  const std::vector<OpOutput> outputs = outputs_of(op);
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].view.element_bytes() != 4) continue;
    place.output = static_cast<int64_t>(i);
    for (const Part& part : parts_of(outputs[i].view)) {
      int64_t& count = counts_[static_cast<size_t>(part.position)][{place.stage, place.layer, place.op}];
      place.count = i == 0 ? count++ : count - 1;
      NARU_TRY(record(part, outputs[i], place));
    }
  }
  return {};
}

}  // namespace naru::check
