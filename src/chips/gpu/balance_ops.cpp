// V3's balance loss of the experts, with its gradient: sequence after sequence.
#include "chips/gpu/ops.h"

namespace naru::gpu {

Status run(Device& device, const contract::BalanceLoss& op) {
  const int64_t rows = op.logits.rows, experts = op.logits.cols;
  const bool is_sigmoid = op.scoring == contract::Scoring::kSigmoid;
  NARU_ASSIGN(const MemoryPlace shares, device.scratch(0, rows * experts * 4));
  NARU_ASSIGN(const MemoryPlace divisors, device.scratch(1, rows * 4));
  NARU_ASSIGN(const MemoryPlace of_experts, device.scratch(2, experts * 3 * 4));
  NARU_TRY(
      device.launch_rows("balance_shares", rows, op.logits, op.dscores, shares, divisors, rows, experts, is_sigmoid));
  for (size_t i = 0; i < op.sequences.size(); ++i) {
    const contract::SequenceRows& at = op.sequences[i];
    NARU_TRY(device.launch_rows("balance_experts", experts, op.experts, shares, of_experts, at.row_begin, at.n_rows,
                                experts, op.experts.cols, op.weight));
    const View loss = op.loss.slice_rows(static_cast<int64_t>(i), 1);
    NARU_TRY(device.launch("balance_loss", {}, of_experts, device.place(loss), experts, op.weight));
    NARU_TRY(device.launch_rows("balance_dscores", at.n_rows, shares, divisors, of_experts, op.dscores, at.row_begin,
                                at.n_rows, experts, is_sigmoid));
  }
  return {};
}

}  // namespace naru::gpu
