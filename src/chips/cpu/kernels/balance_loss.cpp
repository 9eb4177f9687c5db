// V3's sequence-wise balance loss: scores as shares of one by rows; then, for each sequence and strip of experts, how
// often they were chosen and their mean share; then the losses; then the gradients by rows.
#include "chips/cpu/kernels/column_dots.h"
#include "chips/cpu/kernels/expert_scores.h"
#include "chips/cpu/row_errors.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

using contract::BalanceLoss;
using contract::SequenceRows;

constexpr int64_t kExpertStrip = 64;  // experts

// In shared scratch; rows of experts are `stride` floats.
struct BalanceScratch {
  int64_t stride = 0;
  float* shares = nullptr;         // [T, stride]
  float* divisors = nullptr;       // [T] what scores were divided by
  float* loads = nullptr;          // [sequences, stride] f
  float* means = nullptr;          // [sequences, stride] P
  int32_t* sequence_of = nullptr;  // [T] or -1
};

BalanceScratch make_scratch(const BalanceLoss& op, Work& work) {
  BalanceScratch scratch;
  const int64_t rows = op.logits.rows, n_sequences = static_cast<int64_t>(op.sequences.size());
  scratch.stride = padded_columns(op.logits.cols);
  const int64_t floats = (rows + 2 * n_sequences) * scratch.stride + 2 * rows;
  auto* memory = reinterpret_cast<float*>(work.shared.get(static_cast<size_t>(floats) * sizeof(float)));
  scratch.shares = memory;
  scratch.loads = scratch.shares + rows * scratch.stride;
  scratch.means = scratch.loads + n_sequences * scratch.stride;
  scratch.divisors = scratch.means + n_sequences * scratch.stride;
  scratch.sequence_of = reinterpret_cast<int32_t*>(scratch.divisors + rows);
  for (int64_t t = 0; t < rows; ++t) scratch.sequence_of[t] = -1;
  for (int64_t i = 0; i < n_sequences; ++i) {
    const SequenceRows& sequence = op.sequences[static_cast<size_t>(i)];
    for (int64_t j = 0; j < sequence.n_rows; ++j) scratch.sequence_of[sequence.row_begin + j] = static_cast<int32_t>(i);
  }
  return scratch;
}

void make_shares(const BalanceLoss& op, int64_t t, const BalanceScratch& scratch) {
  const int64_t n = op.logits.cols;
  float* shares = scratch.shares + t * scratch.stride;
  make_scores(f32(op.logits, t), n, op.scoring, shares);
  if (op.scoring == contract::Scoring::kSoftmax) return;
  scratch.divisors[t] = row_sum(shares, n);
  const F32x16 divisor = splat(scratch.divisors[t]);
  for_lanes(n, [&](int64_t i, int64_t) { store_at(shares, i, n, div(load_at(shares, i, n), divisor)); });
}

// f of experts [begin, end): all indices are checked, those of the strip counted.
void count_strip(const BalanceLoss& op, const SequenceRows& rows, int64_t begin, int64_t end, float* loads) {
  int32_t counts[kExpertStrip] = {};
  const int64_t n_chosen = op.experts.cols;
  for (int64_t t = rows.row_begin; t < rows.row_begin + rows.n_rows; ++t) {
    const int32_t* experts = i32(op.experts, t);
    for (int64_t s = 0; s < n_chosen; ++s) {
      check_index("balance_loss", experts[s], op.logits.cols);
      if (experts[s] >= begin && experts[s] < end) ++counts[experts[s] - begin];
    }
  }
  const float factor = div(static_cast<float>(op.logits.cols), static_cast<float>(n_chosen * rows.n_rows));
  for (int64_t e = begin; e < end; ++e) loads[e] = mul(factor, static_cast<float>(counts[e - begin]));
}

// P of experts [begin, end).
void mean_strip(const SequenceRows& rows, int64_t begin, int64_t end, const BalanceScratch& scratch, float* means) {
  TreeOf<F32x16> trees[kExpertStrip / 16];
  const float* shares = scratch.shares + rows.row_begin * scratch.stride;
  for (int64_t first = 0; first < rows.n_rows; first += kRowSegment) {
    const int64_t last = rows.n_rows - first < kRowSegment ? rows.n_rows : first + kRowSegment;
    float partial[kExpertStrip] = {};
    chain_columns<4>(first, last, 0, padded_columns(end - begin), partial, [&](F32x16 acc, int64_t t, int64_t i) {
      return add(acc, load(shares + t * scratch.stride + begin + i));
    });
    for (int64_t i = 0; i < kExpertStrip / 16; ++i) trees[i].push(load(partial + 16 * i));
  }
  const F32x16 n = splat(static_cast<float>(rows.n_rows));
  for_lanes(end - begin,
            [&](int64_t i, int64_t) { store_at(means + begin, i, end - begin, div(trees[i / 16].total(), n)); });
}

void grad_row(const BalanceLoss& op, int64_t t, const BalanceScratch& scratch) {
  const int64_t n = op.logits.cols, sequence = scratch.sequence_of[t];
  float* out = f32(op.dscores, t);
  if (sequence < 0) {
    for_lanes(n, [&](int64_t i, int64_t) { store_at(out, i, n, zero()); });
    return;
  }
  const auto count = static_cast<float>(op.sequences[static_cast<size_t>(sequence)].n_rows);
  const F32x16 factor = splat(div(op.weight, count));
  const float* loads = scratch.loads + sequence * scratch.stride;
  if (op.scoring == contract::Scoring::kSoftmax) {
    for_lanes(n, [&](int64_t i, int64_t) { store_at(out, i, n, mul(load_at(loads, i, n), factor)); });
    return;
  }
  const float* shares = scratch.shares + t * scratch.stride;
  const F32x16 divisor = splat(scratch.divisors[t]);
  const F32x16 c = splat(row_reduce_at(n, [&](F32x16 lanes, int64_t i) {
    return fma(mul(load_at(loads, i, n), factor), load_at(shares, i, n), lanes);
  }));
  for_lanes(n,
            [&](int64_t i, int64_t) { store_at(out, i, n, div(sub(mul(load_at(loads, i, n), factor), c), divisor)); });
}

}  // namespace

template <>
Status run(const BalanceLoss& op, Work& work, std::string_view* kernel) {
  *kernel = "sequences";
  const int64_t n = op.logits.cols, n_sequences = static_cast<int64_t>(op.sequences.size());
  const BalanceScratch scratch = make_scratch(op, work);
  for_row_ranges(work, op.logits.rows, 8 * n, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) make_shares(op, t, scratch);
  });
  const int64_t n_strips = (n + kExpertStrip - 1) / kExpertStrip;
  work.pool.parallel_for(n_sequences * n_strips, [&](int64_t task, int) {
    const int64_t i = task / n_strips, begin = task % n_strips * kExpertStrip;
    const int64_t end = n - begin < kExpertStrip ? n : begin + kExpertStrip;
    const SequenceRows& rows = op.sequences[static_cast<size_t>(i)];
    count_strip(op, rows, begin, end, scratch.loads + i * scratch.stride);
    mean_strip(rows, begin, end, scratch, scratch.means + i * scratch.stride);
  });
  for (int64_t i = 0; i < n_sequences; ++i) {
    const float* loads = scratch.loads + i * scratch.stride;
    const float* means = scratch.means + i * scratch.stride;
    const float sum = row_reduce_at(
        n, [&](F32x16 lanes, int64_t k) { return fma(load_at(loads, k, n), load_at(means, k, n), lanes); });
    *f32(op.loss, i) = mul(op.weight, sum);
  }
  for_row_ranges(work, op.logits.rows, 4 * n, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) grad_row(op, t, scratch);
  });
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
