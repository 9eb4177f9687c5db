// The gradient of attention: which thread runs what. Documents that are a small part of the batch are run whole, one
// task a document and key head. A document that would keep one thread busy while the others wait, or that is longer
// than a segment, is run by all threads together, head by head: its blocks of queries in batches (dQ, and the tiles of
// P and dS kept), then what those blocks add to dK and dV, by pages.
#include "chips/cpu/kernels/attention_grad_head.h"
#include "chips/cpu/kernels/attention_grad_list_run.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

using contract::AttentionGrad;
using contract::SequenceRows;

constexpr int64_t kWholeMax = 2048;  // positions of a document that one thread may run
constexpr int64_t kTogetherMin = 256;
constexpr int64_t kGradChunk = 4;  // blocks of queries whose tiles are kept before dK and dV take them

template <typename Rule>
class Runner {
 public:
  Runner(const AttentionGrad& op, Work& work)
      : op_(op), work_(work), sizes_(op, Rule::kIsBF16), key_heads_(op.key.shape.heads) {
    for (const SequenceRows& rows : op.sequences) square_ += square_of(rows);
  }

  void run() {
    run_whole();
    for (const SequenceRows& rows : op_.sequences) {
      if (!is_together(rows)) continue;
      for (int64_t head = 0; head < op_.heads; ++head) run_together(rows, head);
    }
  }

 private:
  static double square_of(const SequenceRows& rows) {
    return static_cast<double>(rows.n_rows) * static_cast<double>(rows.n_rows + 2 * rows.position_begin);
  }
  // A task of more than a quarter of a thread's share.
  bool is_together(const SequenceRows& rows) const {
    if (rows.end_position() > kWholeMax) return true;
    if (work_.pool.n_threads() == 1 || rows.end_position() < kTogetherMin) return false;
    return square_of(rows) * 4 * work_.pool.n_threads() > square_ * static_cast<double>(key_heads_);
  }

  void run_whole() {
    const auto n_sequences = static_cast<int64_t>(op_.sequences.size());
    Carver list(work_.shared.get(op_.sequences.size() * sizeof(int64_t)));
    auto* order = list.take<int64_t>(n_sequences);
    int64_t n = 0, n_blocks_max = 0;
    for (int64_t s = 0; s < n_sequences; ++s) {  // longest first
      const SequenceRows& rows = op_.sequences[static_cast<size_t>(s)];
      if (is_together(rows) || rows.n_rows == 0) continue;
      int64_t at = n++;
      for (; at > 0 && op_.sequences[static_cast<size_t>(order[at - 1])].n_rows < rows.n_rows; --at)
        order[at] = order[at - 1];
      order[at] = s;
      n_blocks_max = rows.n_pages() > n_blocks_max ? rows.n_pages() : n_blocks_max;
    }
    Carver count(nullptr);
    (void)carve(count, n_blocks_max);
    work_.pool.parallel_for_near(n * key_heads_, [&](int64_t task, int thread) {
      Carver carver(work_.scratch[static_cast<size_t>(thread)].get(count.bytes()));
      const SequenceRows& rows = op_.sequences[static_cast<size_t>(order[task / key_heads_])];
      const Whole memory = carve(carver, rows.n_pages());
      for (int64_t h = 0; h < sizes_.group; ++h)
        run_head(HeadWorker<Rule>(op_, sizes_, rows, task % key_heads_ * sizes_.group + h, memory.keys), h == 0,
                 memory);
    });
  }

  // What a thread needs for a document of n blocks.
  struct Whole {
    KeyMemory<Rule> keys;
    QueryMemory<Rule> queries;
    OperandTiles<Rule> tiles;
    ThreadMemory<Rule> thread;
  };
  Whole carve(Carver& carver, int64_t n_blocks) const {
    const int64_t chunk = chunk_of(n_blocks);
    const KeyMemory<Rule> keys(carver, sizes_, n_blocks);
    const QueryMemory<Rule> queries(carver, sizes_, chunk);
    const OperandTiles<Rule> tiles(carver, n_blocks, chunk);
    return {keys, queries, tiles, ThreadMemory<Rule>(carver, sizes_, n_blocks)};
  }
  // Batches begin at multiples of `batch`, so that none reaches into two segments; the first one may begin later.
  static int64_t end_of_batch(int64_t begin, int64_t batch, int64_t n_blocks) {
    const int64_t end = (begin / batch + 1) * batch;
    return end < n_blocks ? end : n_blocks;
  }
  static int64_t chunk_of(int64_t n_blocks) { return n_blocks < kGradChunk ? n_blocks : kGradChunk; }

  static void run_head(const HeadWorker<Rule>& worker, bool is_first, const Whole& memory) {
    const int64_t n = worker.n_blocks(), chunk = chunk_of(n);
    for (int64_t p = 0; p < n && is_first; ++p) worker.make_page(p, memory.thread);
    for (int64_t begin = worker.first_block(), end = 0; begin < n; begin = end) {
      end = end_of_batch(begin, chunk, n);
      for (int64_t b = begin; b < end; ++b) {
        if (!worker.run_block(b, b - begin, memory.queries, memory.tiles, memory.thread)) return worker.fill_nan();
      }
      for (int64_t p = 0; p < end; ++p) worker.add_to_page(p, begin, end, memory.queries, memory.tiles);
    }
  }

  void run_together(const SequenceRows& rows, int64_t head) {
    const int64_t n_blocks = rows.n_pages();
    int64_t batch = 8;  // blocks; a divisor of a segment's
    while (batch < kDotSegmentBlocks && batch < 4 * work_.pool.n_threads()) batch *= 2;
    const auto carve = [&](Carver& carver) {
      const KeyMemory<Rule> keys(carver, sizes_, n_blocks);
      const QueryMemory<Rule> queries(carver, sizes_, batch);
      const OperandTiles<Rule> tiles(carver, n_blocks, batch);
      return Together{keys, queries, tiles, carver.take<int32_t>(batch)};
    };
    Carver count(nullptr), thread_count(nullptr);
    (void)carve(count);
    (void)ThreadMemory<Rule>(thread_count, sizes_, n_blocks);
    Carver carver(work_.shared.get(count.bytes()));
    const Together shared = carve(carver);
    const HeadWorker<Rule> worker(op_, sizes_, rows, head, shared.keys);
    const auto memory_of = [&](int thread) {
      Carver memory(work_.scratch[static_cast<size_t>(thread)].get(thread_count.bytes()));
      return ThreadMemory<Rule>(memory, sizes_, n_blocks);
    };
    if (head % sizes_.group == 0)
      work_.pool.parallel_for(n_blocks, [&](int64_t p, int thread) { worker.make_page(p, memory_of(thread)); });
    for (int64_t begin = worker.first_block(), end = 0; begin < n_blocks; begin = end) {
      end = end_of_batch(begin, batch, n_blocks);
      work_.pool.parallel_for(end - begin, [&](int64_t task, int thread) {
        const int64_t slot = end - begin - 1 - task;  // the longest first
        const ThreadMemory<Rule> memory = memory_of(thread);
        shared.is_finite[slot] = worker.run_block(begin + slot, slot, shared.queries, shared.tiles, memory) ? 1 : 0;
      });
      for (int64_t slot = 0; slot < end - begin; ++slot) {
        if (shared.is_finite[slot] == 0) return worker.fill_nan();
      }
      work_.pool.parallel_for(end,
                              [&](int64_t p, int) { worker.add_to_page(p, begin, end, shared.queries, shared.tiles); });
    }
  }

  // What all threads share.
  struct Together {
    KeyMemory<Rule> keys;
    QueryMemory<Rule> queries;
    OperandTiles<Rule> tiles;
    int32_t* is_finite;  // [batch]
  };

  const AttentionGrad& op_;
  Work& work_;
  const GradSizes sizes_;
  const int64_t key_heads_;
  double square_ = 0;
};

template <typename Rule>
Status run_rule(const AttentionGrad& op, Work& work) {
  if (op.selected.empty()) {
    Runner<Rule>(op, work).run();
    return {};
  }
  std::span<const SequenceRows> lists;
  NARU_TRY(read_lists(op.kName, op.selected, op.sequences, work, &lists));
  ListRunner<Rule>(op, lists, work).run();
  return {};
}

}  // namespace

template <>
Status run(const AttentionGrad& op, Work& work, std::string_view* kernel) {
  const bool is_selected = !op.selected.empty();
  if (op.key.shape.dtype == DType::kF32) {
    *kernel = is_selected ? "attention_selected_grad_f32" : "attention_grad_f32";
    return run_rule<F32Rule>(op, work);
  }
#if defined(NARU_LEVEL_avx512vnni)
  if (work.bf16_dot) {
    *kernel = is_selected ? "attention_selected_grad_bf16_dot" : "attention_grad_bf16_dot";
    return run_rule<DotRule>(op, work);
  }
#endif
  *kernel = is_selected ? "attention_selected_grad_bf16_fma" : "attention_grad_bf16_fma";
  return run_rule<FmaRule>(op, work);
}

}  // namespace naru::cpu::NARU_LEVEL
