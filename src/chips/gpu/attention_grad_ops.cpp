// The gradient of attention: a key head of a document at a time, whose rows of P and ds are kept whole.
#include <algorithm>

#include "chips/gpu/ops.h"

namespace naru::gpu {
namespace {

using contract::SequenceRows;

enum GradientSlot : size_t { kRowsOfP, kRowsOfDs, kFlagsOfHeads };

Status run_key_head(Device& device, const contract::AttentionGrad& op, const SequenceRows& rows,
                    const MemoryPlace& pages, int64_t key_head) {
  const contract::CacheShape &key = op.key.shape, &value = op.value.shape;
  const int64_t n = rows.end_position(), n_queries = rows.n_rows;
  const int64_t group_size = op.heads / key.heads, cols = op.out.cols;
  const int64_t longest = op.selected.empty() ? 0 : op.selected.cols;
  NARU_ASSIGN(const MemoryPlace p, device.scratch(kRowsOfP, group_size * n_queries * n * 4));
  NARU_ASSIGN(const MemoryPlace ds, device.scratch(kRowsOfDs, group_size * n_queries * n * 4));
  NARU_ASSIGN(const MemoryPlace flags, device.scratch(kFlagsOfHeads, group_size * 4));
  NARU_TRY(device.launch_rows("attention_grad_begin", group_size, flags, group_size));
  // The parameters that its kernels share.
  const auto launch = [&](const char* kernel, Device::Groups groups, const auto&... more) {
    return device.launch(kernel, groups, op.q, op.dout, place_of(device, op.key), place_of(device, op.value), pages,
                         flags, p, ds, n, rows.position_begin, rows.row_begin, op.heads, group_size, key_head,
                         key.width, op.key.page_bytes, value.width, op.value.page_bytes, cols,
                         key.dtype == DType::kBF16, more...);
  };
  const int64_t query_rows = n_queries * group_size;
  NARU_TRY(launch("attention_grad_finite", {Device::groups_of("attention_grad_finite", query_rows), 1, 1}));
  NARU_TRY(launch("attention_grad_rows", {query_rows, 1, 1}, op.out, op.stats, op.dq, op.selected, longest, op.scale));
  const int64_t columns = Device::groups_of("attention_grad_columns", key.width + cols);
  return launch("attention_grad_columns", {columns, std::min(n, Device::kGroupsMax), 1}, op.dk, op.dv, key.heads,
                rows.prefix_begin);
}

}  // namespace

Status run(Device& device, const contract::AttentionGrad& op) {
  if (op.q.rows == 0 || op.sequences.empty()) return {};
  const GpuSequences& sequences = of_device(op.sequences);
  NARU_TRY(check_selected_lists(device, op.kName, op.selected, op.sequences));
  int64_t first_page = 0;
  for (const SequenceRows& rows : op.sequences) {
    const MemoryPlace all = sequences.pages();
    const MemoryPlace pages{all.memory, all.offset + first_page * 4};
    first_page += rows.n_pages();
    for (int64_t key_head = 0; key_head < op.key.shape.heads; ++key_head) {
      NARU_TRY(run_key_head(device, op, rows, pages, key_head));
    }
  }
  return {};
}

}  // namespace naru::gpu
