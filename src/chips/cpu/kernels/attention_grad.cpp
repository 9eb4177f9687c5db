// The gradient of attention: which thread runs what. Documents that are a small part of the batch are run whole, one
// task a document and key head. A document that would keep one thread busy while the others wait, or that is longer
// than a segment, is run by all threads together, head by head: its pages in batches (dK and dV, and dS kept), then
// what those pages add to dQ, by blocks of queries.
#include "chips/cpu/kernels/attention_grad_head.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

using contract::AttentionGrad;
using contract::SequenceRows;

constexpr int64_t kWholeMax = 2048;  // rows of a document that one thread may run
constexpr int64_t kTogetherMin = 256;

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
  using Left = typename GradForm<Rule>::Left;
  using Right = typename GradForm<Rule>::Right;
  static constexpr int64_t kRightTile = HeadWorker<Rule>::kRightTile;

  static double square_of(const SequenceRows& rows) {
    return static_cast<double>(rows.n_rows) * static_cast<double>(rows.n_rows);
  }
  // A task of more than a quarter of a thread's share.
  bool is_together(const SequenceRows& rows) const {
    if (rows.n_rows > kWholeMax) return true;
    if (work_.pool.n_threads() == 1 || rows.n_rows < kTogetherMin) return false;
    return square_of(rows) * 4 * work_.pool.n_threads() > square_ * static_cast<double>(key_heads_);
  }

  void run_whole() {
    const auto n_sequences = static_cast<int64_t>(op_.sequences.size());
    Carver list(work_.shared.get(op_.sequences.size() * sizeof(int64_t)));
    auto* order = list.take<int64_t>(n_sequences);
    int64_t n = 0, n_rows_max = 0;
    for (int64_t s = 0; s < n_sequences; ++s) {  // longest first
      const SequenceRows& rows = op_.sequences[static_cast<size_t>(s)];
      if (is_together(rows) || rows.n_rows == 0) continue;
      int64_t at = n++;
      for (; at > 0 && op_.sequences[static_cast<size_t>(order[at - 1])].n_rows < rows.n_rows; --at)
        order[at] = order[at - 1];
      order[at] = s;
      n_rows_max = rows.n_rows > n_rows_max ? rows.n_rows : n_rows_max;
    }
    Carver count(nullptr);
    const HeadMemory<Rule> head_size(count, sizes_, (n_rows_max + 31) / 32);
    const PageMemory<Rule> page_size(count, sizes_, 0);
    work_.pool.parallel_for(n * key_heads_, [&](int64_t task, int thread) {
      Carver carver(work_.scratch[static_cast<size_t>(thread)].get(count.bytes()));
      const SequenceRows& rows = op_.sequences[static_cast<size_t>(order[task / key_heads_])];
      const HeadMemory<Rule> memory(carver, sizes_, (rows.n_rows + 31) / 32);
      const PageMemory<Rule> page(carver, sizes_, 0);
      for (int64_t h = 0; h < sizes_.group; ++h)
        run_head(HeadWorker<Rule>(op_, sizes_, rows, task % key_heads_ * sizes_.group + h, memory), page);
    });
  }

  static void run_head(const HeadWorker<Rule>& worker, const PageMemory<Rule>& page) {
    bool is_finite = true;
    for (int64_t b = 0; b < worker.n_blocks(); ++b) is_finite = worker.load_block(b, page.rows) && is_finite;
    if (!is_finite) return worker.fill_nan();
    for (int64_t p = 0; p < worker.n_blocks(); ++p) {
      worker.make_page(p, page, page.key_rows);
      const auto lanes_of = [&](int64_t b) { return page.ds_lanes + (b - p) % kGradChunk * kRightTile; };
      worker.run_page(p, page, lanes_of, [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; ++b) worker.add_to_dq(p, b, page.key_rows, lanes_of(b));
      });
      worker.write_dq(p, page.rows);  // block p has seen its last page
    }
  }

  void run_together(const SequenceRows& rows, int64_t head) {
    const int64_t n_blocks = (rows.n_rows + 31) / 32;
    int64_t batch = 8;  // pages; a divisor of a segment's
    while (batch < kDotSegmentBlocks && batch < 4 * work_.pool.n_threads()) batch *= 2;
    const auto carve = [&](Carver& carver) {
      const HeadMemory<Rule> memory(carver, sizes_, n_blocks);
      auto* key_rows = carver.take<Left>(batch * PageMemory<Rule>::key_rows_size(sizes_));
      auto* ds = carver.take<Right>(batch * n_blocks * kRightTile);
      return Together{memory, key_rows, ds, carver.take<int32_t>(n_blocks)};
    };
    Carver count(nullptr), thread_count(nullptr);
    const PageMemory<Rule> page_size(thread_count, sizes_, carve(count).memory.levels);
    Carver carver(work_.shared.get(count.bytes()));
    const Together shared = carve(carver);
    const HeadWorker<Rule> worker(op_, sizes_, rows, head, shared.memory);
    const auto page_of_thread = [&](int thread) {
      Carver memory(work_.scratch[static_cast<size_t>(thread)].get(thread_count.bytes()));
      return PageMemory<Rule>(memory, sizes_, shared.memory.levels);
    };
    work_.pool.parallel_for(n_blocks, [&](int64_t b, int thread) {
      shared.is_finite[b] = worker.load_block(b, page_of_thread(thread).rows) ? 1 : 0;
    });
    for (int64_t b = 0; b < n_blocks; ++b) {
      if (shared.is_finite[b] == 0) return worker.fill_nan();
    }
    for (int64_t begin = 0; begin < n_blocks; begin += batch) {
      const int64_t end = begin + batch < n_blocks ? begin + batch : n_blocks;
      const auto key_rows_of = [&](int64_t p) {
        return shared.key_rows + (p - begin) * PageMemory<Rule>::key_rows_size(sizes_);
      };
      const auto ds_of = [&](int64_t p, int64_t b) { return shared.ds + ((p - begin) * n_blocks + b) * kRightTile; };
      work_.pool.parallel_for(end - begin, [&](int64_t task, int thread) {
        const PageMemory<Rule> page = page_of_thread(thread);
        const int64_t p = begin + task;
        worker.make_page(p, page, key_rows_of(p));
        worker.run_page(
            p, page, [&](int64_t b) { return ds_of(p, b); }, [](int64_t, int64_t) {});
      });
      work_.pool.parallel_for(n_blocks - begin, [&](int64_t task, int thread) {
        const int64_t b = n_blocks - 1 - task;
        for (int64_t p = begin; p < end && p <= b; ++p) worker.add_to_dq(p, b, key_rows_of(p), ds_of(p, b));
        if (b < end) worker.write_dq(b, page_of_thread(thread).rows);
      });
    }
  }

  // What all threads share.
  struct Together {
    HeadMemory<Rule> memory;
    Left* key_rows;      // [batch]
    Right* ds;           // [batch][blocks]
    int32_t* is_finite;  // [blocks]
  };

  const AttentionGrad& op_;
  Work& work_;
  const GradSizes sizes_;
  const int64_t key_heads_;
  double square_ = 0;
};

}  // namespace

Status attention_grad(const AttentionGrad& op, Work& work, std::string_view* kernel) {
  if (op.key.shape.dtype == DType::kF32) {
    *kernel = "attention_grad_f32";
    Runner<F32Rule>(op, work).run();
    return {};
  }
#if defined(NARU_LEVEL_avx512vnni)
  if (work.bf16_dot) {
    *kernel = "attention_grad_bf16_dot";
    Runner<DotRule>(op, work).run();
    return {};
  }
#endif
  *kernel = "attention_grad_bf16_fma";
  Runner<FmaRule>(op, work).run();
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
