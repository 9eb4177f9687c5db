// A chip that turns a bit of what one op of a model's pass gives: on passes of a number of rows, in one layer, so
// often.
#pragma once

#include "check/op_outputs.h"
#include "contract/forwarding_chip.h"
#include "contract/op_table.h"

namespace naru::test {

struct Flip {
  std::string op;
  int64_t layer = -1;  // -1: outside of layers
  int64_t rows_min = 1, rows_max = 1;
  int64_t times = INT64_MAX;
  int64_t output = 0;
  int64_t row = 0;  // of the output, whose first element it is
};

class FlippingChip : public contract::ForwardingChip {
 public:
  FlippingChip(contract::Chip& chip, const Flip& flip) : ForwardingChip(chip), flip_(flip) {}

  Result<std::unique_ptr<contract::Sequences>> make_sequences(std::span<const contract::SequenceRows> rows) override {
    n_rows_ = 0;
    for (const contract::SequenceRows& each : rows) n_rows_ += each.n_rows;
    return chip_.make_sequences(rows);
  }
  void set_place(contract::Place place) override {
    layer_ = place.what.empty() ? -1 : place.number;
    chip_.set_place(place);
  }
  Status run(const contract::Op& op) override {
    NARU_TRY(chip_.run(op));
    if (contract::op_name(op) != flip_.op || layer_ != flip_.layer) return {};
    if (n_rows_ < flip_.rows_min || n_rows_ > flip_.rows_max || flip_.times == 0) return {};
    --flip_.times;
    ++n_flips_;
    const View view = check::outputs_of(op)[static_cast<size_t>(flip_.output)].view.slice_rows(flip_.row, 1);
    uint32_t bits = 0;
    NARU_TRY(chip_.copy_out(&bits, view.address, 4));
    bits ^= 0x00200000;
    return chip_.copy_in(view.address, &bits, 4);
  }

  int64_t n_flips() const { return n_flips_; }

 private:
  Flip flip_;
  int64_t n_flips_ = 0;
  int64_t n_rows_ = 0;
  int64_t layer_ = -1;
};

}  // namespace naru::test
