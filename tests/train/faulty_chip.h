// A chip whose k-th gradient of a weight comes out with one element wrong.
#pragma once

#include "contract/forwarding_chip.h"

namespace naru::test {

enum class Fault { kBit, kNaN };

class FaultyChip : public contract::ForwardingChip {
 public:
  FaultyChip(contract::Chip& chip, int64_t fault_at, Fault fault = Fault::kBit)
      : ForwardingChip(chip), left_(fault_at), fault_(fault) {}

  Status run(const contract::Op& op) override {
    NARU_TRY(chip_.run(op));
    const auto* grad = std::get_if<contract::WeightGrad>(&op);
    if (grad == nullptr || left_-- != 0) return {};
    uint32_t bits = 0;
    NARU_TRY(chip_.copy_out(&bits, grad->out[0].address, 4));
    bits = fault_ == Fault::kNaN ? 0x7fc00000 : bits ^ 0x00400000;
    return chip_.copy_in(grad->out[0].address, &bits, 4);
  }

 private:
  int64_t left_;
  Fault fault_;
};

}  // namespace naru::test
