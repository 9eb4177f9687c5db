// Selection of experts and its gradient.
#include "chips/gpu/ops.h"
#include "contract/op_table.h"

namespace naru::gpu {
namespace {

// Words beside the logits of a token that the kernels work in.
constexpr int64_t kRouteWork = 3, kGradWork = 4;

// Of `chosen` experts a token.
Describe broken_experts(int64_t n_experts, int64_t chosen) {
  return [n_experts, chosen](Marks marks) {
    const auto n_rows = static_cast<int64_t>(marks.size() / 4);
    for (int64_t t = 0; t < n_rows; ++t) {
      const int32_t* mark = marks.data() + 4 * t;
      if (mark[0] == 0) continue;
      if (mark[0] < 1 || mark[0] > chosen) break;
      return contract::given_experts_error(n_rows, t, int64_t{mark[0]} - 1, mark[1], mark[2], n_experts);
    }
    return fault_of_device("route");
  };
}

}  // namespace

Status run(Device& device, const contract::Route& op) {
  const int64_t rows = op.logits.rows, experts = op.logits.cols, chosen = op.experts.cols;
  if (rows == 0) return {};
  if (op.is_given) {
    NARU_ASSIGN(const MemoryPlace marks, device.watch(2 * rows, broken_experts(experts, chosen)));
    NARU_TRY(device.launch_rows("check_given", rows, op.experts, marks, rows, experts, chosen));
  }
  NARU_ASSIGN(const MemoryPlace work, device.scratch(0, rows * experts * kRouteWork * 4));
  return device.launch_rows("route", rows, op.logits, device.place(op.bias), op.experts, op.gates, work, rows, experts,
                            chosen, !op.bias.empty(), op.scoring == contract::Scoring::kSigmoid,
                            static_cast<int64_t>(op.group_score), op.n_group, op.topk_group, op.normalise, op.is_given,
                            op.scale);
}

Status run(Device& device, const contract::RouteGrad& op) {
  const int64_t rows = op.logits.rows, experts = op.logits.cols;
  if (rows == 0) return {};
  NARU_ASSIGN(const MemoryPlace work, device.scratch(0, rows * experts * kGradWork * 4));
  return device.launch_rows("route_grad", rows, op.logits, op.experts, op.dgates, op.dscores, op.dlogits, work, rows,
                            experts, op.experts.cols, !op.dscores.empty(), op.scoring == contract::Scoring::kSigmoid,
                            op.normalise, op.scale);
}

}  // namespace naru::gpu
