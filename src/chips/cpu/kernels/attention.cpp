// Attention over the cache: cuts the batch into blocks of query rows, runs their segments of positions (one task a
// block, or one a block and segment where blocks are few), and merges segments in ascending order.
#include "chips/cpu/kernels/attention_segment.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

using contract::Attention;
using contract::SequenceRows;

constexpr int64_t kRoundSegments = 32;  // segments of a block whose partial results are kept at a time

// Merges rows [begin, count) of `next` into `total`.
void merge(const Partial& total, const Partial& next, int64_t begin, int64_t count, int64_t columns) {
  for (int64_t r = begin; r < count; ++r) {
    const float m = add(max(total.m[r], next.m[r]), 0.0f);
    const float a = exp(sub(total.m[r], m)), b = exp(sub(next.m[r], m));
    total.m[r] = m;
    total.l[r] = fma(total.l[r], a, mul(b, next.l[r]));
    const F32x16 old_weight = splat(a), new_weight = splat(b);
    float* o = total.o + r * columns;
    const float* o_next = next.o + r * columns;
    for (int64_t c = 0; c < columns; c += 16)
      store(o + c, fma(load(o + c), old_weight, mul(new_weight, load(o_next + c))));
  }
}

template <typename Rule>
void finish(const Attention& op, const SegmentWorker<Rule>& worker, const Partial& total, int64_t count,
            int64_t columns) {
  for (int64_t r = 0; r < count; ++r) {
    float* out = f32(op.out, worker.operand_row(r));
    const F32x16 l = splat(total.l[r]);
    const float* o = total.o + r * columns;
    for_lanes(op.out.cols, [&](int64_t i, int64_t) { store_at(out, i, op.out.cols, div(load(o + i), l)); });
    if (op.stats.empty()) continue;
    float* stats = f32(op.stats, worker.operand_row(r));
    stats[0] = total.m[r];
    stats[1] = total.l[r];
  }
}

// The blocks of all sequences and key heads, numbered sequence by sequence, heads within, rows within.
class Plan {
 public:
  Plan(std::span<const SequenceRows> sequences, int64_t key_heads, const AttentionSizes& sizes, int n_threads)
      : sequences_(sequences), key_heads_(key_heads), sizes_(sizes) {
    int64_t rows_max = 0;
    for (const SequenceRows& rows : sequences) {
      is_uniform_ = is_uniform_ && rows.n_rows == sequences[0].n_rows;
      rows_max = rows.n_rows > rows_max ? rows.n_rows : rows_max;
      const int64_t end = rows.position_begin + rows.n_rows;
      positions_ = end > positions_ ? end : positions_;
      const int64_t n = (end + kAttentionSegment - 1) / kAttentionSegment;
      n_segments_ = n > n_segments_ ? n : n_segments_;
    }
    // A latent page is transposed once a block, and a list is gathered once, so blocks are large there.
    const int64_t wanted = sizes.is_latent || sizes.is_selected ? 128 : 48;
    block_rows_ = rows_max * sizes.group < wanted ? rows_max * sizes.group : wanted;
    count_blocks();
    // A short cache of one key head makes too few tasks for the threads: smaller blocks, though each reads the pages.
    while (n_threads > 1 && n_blocks_ * n_segments_ < 2 * n_threads && block_rows_ >= 16) {
      block_rows_ = (block_rows_ + 1) / 2;
      count_blocks();
    }
    is_split_ = n_threads > 1 && n_segments_ > 1 && n_blocks_ < 4 * n_threads;
  }

  int64_t n_blocks() const { return n_blocks_; }
  int64_t positions() const { return positions_; }    // of the longest sequence
  int64_t n_segments() const { return n_segments_; }  // of that one
  int64_t block_rows() const { return block_rows_; }
  bool is_split() const { return is_split_; }

  AttentionBlock block(int64_t index) const {
    const SequenceRows* sequence = sequences_.data();
    if (is_uniform_) {
      const int64_t each = key_heads_ * blocks_of(*sequence);
      sequence += index / each;
      index %= each;
    } else {
      for (; index >= key_heads_ * blocks_of(*sequence); ++sequence) index -= key_heads_ * blocks_of(*sequence);
    }
    const int64_t n = blocks_of(*sequence);
    const int64_t begin = index % n * block_rows_, rows = sequence->n_rows * sizes_.group;
    return {sequence, index / n, begin, rows - begin < block_rows_ ? rows - begin : block_rows_};
  }

 private:
  int64_t blocks_of(const SequenceRows& rows) const {
    return (rows.n_rows * sizes_.group + block_rows_ - 1) / block_rows_;
  }

  void count_blocks() {
    n_blocks_ = 0;
    for (const SequenceRows& rows : sequences_) n_blocks_ += key_heads_ * blocks_of(rows);
  }

  std::span<const SequenceRows> sequences_;
  const int64_t key_heads_;
  const AttentionSizes& sizes_;
  bool is_uniform_ = true;  // sequences of equally many rows
  int64_t n_blocks_ = 0;
  int64_t positions_ = 0;
  int64_t n_segments_ = 0;
  int64_t block_rows_ = 0;
  bool is_split_ = false;
};

// A thread is woken for no less than about this many products: blocks of few rows over a short cache go together.
constexpr int64_t kProductsPerTask = int64_t{1} << 16;

// Of each block its segments in order.
template <typename Rule>
void run_blocks(const Attention& op, const AttentionSizes& sizes, const Plan& plan, Work& work) {
  const size_t segment_bytes = (SegmentScratch<Rule>::bytes(sizes, plan.block_rows()) + 63) / 64 * 64;
  const int64_t floats = partial_floats(plan.block_rows(), sizes.columns);
  const int64_t products = plan.block_rows() * plan.positions() * (op.q.cols + op.out.cols);
  const int64_t enough_tasks = plan.n_blocks() / (4 * work.pool.n_threads());
  const int64_t fewest = kProductsPerTask / (products + 1) + 1;
  const int64_t per_task = fewest < enough_tasks ? fewest : enough_tasks > 1 ? enough_tasks : 1;
  const auto run_block = [&](int64_t index, int thread) {
    std::byte* memory =
        work.scratch[static_cast<size_t>(thread)].get(segment_bytes + static_cast<size_t>(2 * floats) * sizeof(float));
    auto* partials = reinterpret_cast<float*>(memory + segment_bytes);
    const AttentionBlock block = plan.block(index);
    const SegmentWorker<Rule> worker(op, sizes, block, SegmentScratch<Rule>(sizes, plan.block_rows(), memory));
    const Partial total = partial_at(partials, plan.block_rows(), sizes.columns);
    const Partial next = partial_at(partials + floats, plan.block_rows(), sizes.columns);
    worker.load_queries();
    worker.attend(0, total);
    const int64_t visible = worker.visible(block.count - 1);
    for (int64_t segment = 1; segment * kAttentionSegment < visible; ++segment) {
      worker.attend(segment, next);
      merge(total, next, worker.first_row(segment), block.count, sizes.columns);
    }
    finish(op, worker, total, block.count, sizes.columns);
  };
  // The last blocks of a sequence see most, so they go first where they are few.
  const int64_t n_tasks = (plan.n_blocks() + per_task - 1) / per_task;
  if (n_tasks < 16 * work.pool.n_threads()) {
    work.pool.parallel_for(n_tasks, [&](int64_t task, int thread) {
      const int64_t end = plan.n_blocks() - task * per_task;
      for (int64_t index = end; index-- > (end > per_task ? end - per_task : 0);) run_block(index, thread);
    });
    return;
  }
  work.pool.parallel_for_near(n_tasks, [&](int64_t task, int thread) {
    const int64_t begin = task * per_task, end = plan.n_blocks();
    for (int64_t index = begin; index < begin + per_task && index < end; ++index) run_block(index, thread);
  });
}

// One task a block and segment, in rounds, each followed by the merge of its segments.
template <typename Rule>
void run_segments(const Attention& op, const AttentionSizes& sizes, const Plan& plan, Work& work) {
  const int64_t floats = partial_floats(plan.block_rows(), sizes.columns);
  auto* shared = reinterpret_cast<float*>(
      work.shared.get(static_cast<size_t>(floats * plan.n_blocks() * (kRoundSegments + 1)) * sizeof(float)));
  const auto partial = [&](int64_t block, int64_t slot) {
    return partial_at(shared + (block * (kRoundSegments + 1) + slot) * floats, plan.block_rows(), sizes.columns);
  };
  for (int64_t begin = 0; begin < plan.n_segments(); begin += kRoundSegments) {
    const int64_t rest = plan.n_segments() - begin;
    const int64_t n_segments = rest < kRoundSegments ? rest : kRoundSegments;
    work.pool.parallel_for(plan.n_blocks() * n_segments, [&](int64_t task, int thread) {
      const int64_t index = task / n_segments, segment = begin + task % n_segments;
      std::byte* memory =
          work.scratch[static_cast<size_t>(thread)].get(SegmentScratch<Rule>::bytes(sizes, plan.block_rows()));
      const SegmentWorker<Rule> worker(op, sizes, plan.block(index),
                                       SegmentScratch<Rule>(sizes, plan.block_rows(), memory));
      worker.load_queries();
      worker.attend(segment, partial(index, segment == 0 ? 0 : 1 + segment - begin));
    });
    work.pool.parallel_for(plan.n_blocks(), [&](int64_t index, int) {
      const AttentionBlock block = plan.block(index);
      const SegmentWorker<Rule> worker(op, sizes, block, SegmentScratch<Rule>(sizes, plan.block_rows(), nullptr));
      for (int64_t segment = begin; segment < begin + n_segments; ++segment) {
        if (segment > 0)
          merge(partial(index, 0), partial(index, 1 + segment - begin), worker.first_row(segment), block.count,
                sizes.columns);
      }
      if (begin + n_segments == plan.n_segments()) finish(op, worker, partial(index, 0), block.count, sizes.columns);
    });
  }
}

template <typename Rule>
Status run_rule(const Attention& op, Work& work, std::string_view* kernel) {
  *kernel = op.selected.empty() ? Rule::kName : Rule::kListName;
  std::span<const SequenceRows> sequences = op.sequences;
  if (!op.selected.empty()) NARU_TRY(read_lists(op.kName, op.selected, op.sequences, work, &sequences));
  if (sequences.empty()) return {};
  const AttentionSizes sizes(op);
  const Plan plan(sequences, op.key.shape.heads, sizes, work.pool.n_threads());
  if (plan.is_split()) {
    run_segments<Rule>(op, sizes, plan, work);
  } else {
    run_blocks<Rule>(op, sizes, plan, work);
  }
  return {};
}

}  // namespace

template <>
Status run(const Attention& op, Work& work, std::string_view* kernel) {
  if (op.key.shape.dtype == DType::kF32) return run_rule<F32Rule>(op, work, kernel);
#if defined(NARU_LEVEL_avx512vnni)
  if (work.bf16_dot) return run_rule<DotRule>(op, work, kernel);
#endif
  return run_rule<FmaRule>(op, work, kernel);
}

}  // namespace naru::cpu::NARU_LEVEL
