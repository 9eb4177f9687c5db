// The gradient of attention with selected keys: which thread runs what. A document that is a small part of the batch is
// run whole, one task a document and key head. One that would keep a thread busy while the others wait, or whose rows
// are many, is run by all threads together.
#pragma once

#include "chips/cpu/kernels/attention_grad_lists.h"

namespace naru::cpu::NARU_LEVEL {

template <typename Rule>
class ListRunner {
 public:
  ListRunner(const contract::AttentionGrad& op, std::span<const contract::SequenceRows> lists, Work& work)
      : op_(op), work_(work), key_heads_(op.key.shape.heads), lists_(lists.data()) {
    for (const contract::SequenceRows& list : lists) n_entries_ += list.position_begin + 1;
  }

  void run() {
    const auto n = static_cast<int64_t>(op_.sequences.size());
    work_.pool.parallel_for(n * key_heads_, [&](int64_t task, int thread) {
      const Document document = find(task / key_heads_);
      if (!is_together(document)) run_whole(document, task % key_heads_, work_.scratch[static_cast<size_t>(thread)]);
    });
    for (int64_t s = 0; s < n; ++s) {
      const Document document = find(s);
      for (int64_t k = 0; k < key_heads_ && is_together(document); ++k) run_together(document, k);
    }
  }

 private:
  using Worker = ListWorker<Rule>;
  using Thread = ListThread<Rule>;
  static constexpr int64_t kRowsMax = 2048;  // of a document that one thread may run
  static constexpr int64_t kRowsMin = 64;    // of one that threads share
  static constexpr int64_t kBatchEntries = int64_t{1} << 18;
  // Bytes that the heads at work may take: of one thread, of all together.
  static constexpr int64_t kWholeBytes = int64_t{32} << 20, kTogetherBytes = int64_t{256} << 20;

  struct Document {
    const contract::SequenceRows& rows;
    const contract::SequenceRows* lists;
  };
  Document find(int64_t s) const {
    const contract::SequenceRows* lists = lists_;
    for (int64_t i = 0; i < s; ++i) lists += op_.sequences[static_cast<size_t>(i)].n_rows;
    return {op_.sequences[static_cast<size_t>(s)], lists};
  }
  // A task of more than a quarter of a thread's share.
  bool is_together(const Document& document) const {
    if (document.rows.n_rows > kRowsMax) return true;
    if (work_.pool.n_threads() == 1 || document.rows.n_rows < kRowsMin) return false;
    int64_t entries = 0;
    for (int64_t i = 0; i < document.rows.n_rows; ++i) entries += document.lists[i].position_begin + 1;
    return entries * 4 * work_.pool.n_threads() > n_entries_ * key_heads_;
  }

  // Blocks of queries at a time, a divisor of a segment's: as many as meet a key together, within bounds.
  static int64_t batch_of(const ListSizes& sizes) {
    int64_t batch = 1;
    while (batch < kListBatchMax && batch < sizes.n_blocks() && batch * sizes.entries_max < kBatchEntries) batch *= 2;
    return batch;
  }
  // Heads at a time: parts of the group that are alike.
  static int64_t heads_within(const ListSizes& sizes, int64_t batch, int64_t bytes) {
    const int64_t each = 4 * (sizes.head_floats() + batch * (2 * sizes.entries_max + 64 * sizes.row_stride()));
    int64_t most = bytes / each;
    most = most < 1 ? 1 : most < kListHeads ? most : kListHeads;
    const int64_t n_parts = (sizes.group + most - 1) / most;
    return (sizes.group + n_parts - 1) / n_parts;
  }

  void run_whole(const Document& document, int64_t key_head, Scratch& scratch) const {
    const ListSizes sizes(op_, document.lists, document.rows.n_rows);
    const int64_t batch = batch_of(sizes), heads = heads_within(sizes, batch, kWholeBytes);
    Carver count(nullptr);
    (void)ListMemory(count, sizes, heads, batch);
    (void)Thread(count, sizes, heads);
    Carver carver(scratch.get(count.bytes()));
    const ListMemory memory(carver, sizes, heads, batch);
    const Thread thread(carver, sizes, heads);
    run_heads(document, key_head, sizes, memory, [&](int64_t n, const auto& body) {
      for (int64_t i = 0; i < n; ++i) body(i, thread);
    });
  }

  void run_together(const Document& document, int64_t key_head) const {
    const ListSizes sizes(op_, document.lists, document.rows.n_rows);
    const int64_t batch = batch_of(sizes), heads = heads_within(sizes, batch, kTogetherBytes);
    Carver count(nullptr), thread_count(nullptr);
    (void)ListMemory(count, sizes, heads, batch);
    (void)Thread(thread_count, sizes, heads);
    Carver carver(work_.shared.get(count.bytes()));
    const ListMemory memory(carver, sizes, heads, batch);
    run_heads(document, key_head, sizes, memory, [&](int64_t n, const auto& body) {
      work_.pool.parallel_for(n, [&](int64_t i, int thread) {
        Carver own(work_.scratch[static_cast<size_t>(thread)].get(thread_count.bytes()));
        body(i, Thread(own, sizes, heads));
      });
    });
  }

  // for_each(n, body): body(i, thread's memory) for i in [0, n), in any order.
  template <typename ForEach>
  void run_heads(const Document& document, int64_t key_head, const ListSizes& sizes, const ListMemory& memory,
                 const ForEach& for_each) const {
    bool is_wrong = false;
    for (int64_t h = 0; h < sizes.group; h += memory.heads) {
      const int64_t n_heads = sizes.group - h < memory.heads ? sizes.group - h : memory.heads;
      const Worker worker(op_, sizes, document.rows, document.lists, key_head * sizes.group + h, n_heads, memory);
      if (h == 0) for_each(sizes.n_blocks(), [&](int64_t p, const Thread& thread) { worker.make_rows(p, thread); });
      run_some(worker, n_heads, sizes, memory, for_each);
      for (int64_t i = 0; i < n_heads; ++i) is_wrong = worker.check_head(i) || is_wrong;
      if (is_wrong && h + n_heads == sizes.group) worker.fill_keys_nan();
    }
  }

  template <typename ForEach>
  static void run_some(const Worker& worker, int64_t n_heads, const ListSizes& sizes, const ListMemory& memory,
                       const ForEach& for_each) {
    for_each(2 * n_heads, [&](int64_t i, const Thread&) { worker.clear(i / 2, i % 2 == 0); });
    const int64_t n_blocks = sizes.n_blocks();
    const int64_t dk_tiles = worker.n_column_tiles(true), tiles = dk_tiles + worker.n_column_tiles(false);
    for (int64_t begin = 0; begin < n_blocks; begin += memory.batch) {
      const int64_t end = begin + memory.batch < n_blocks ? begin + memory.batch : n_blocks;
      const int64_t rows = end == n_blocks ? sizes.n_rows - begin * 32 : (end - begin) * 32;
      for_each(end - begin, [&](int64_t slot, const Thread&) { worker.index_block(begin + slot, slot); });
      for_each(rows, [&](int64_t i, const Thread& thread) { worker.run_query(begin * 32 + i, i / 32, thread); });
      for_each(n_heads * tiles, [&](int64_t i, const Thread&) {
        const int64_t tile = i % tiles;
        const bool is_dk = tile < dk_tiles;
        worker.add_to_keys(i / tiles, is_dk, (is_dk ? tile : tile - dk_tiles) * kListColumns, end - begin);
      });
      if (sizes.levels == 0 || (end < n_blocks && end % kDotSegmentBlocks != 0)) continue;
      for_each(2 * n_heads, [&](int64_t i, const Thread&) {
        worker.close_segment(begin / kDotSegmentBlocks, end == n_blocks, i / 2, i % 2 == 0);
      });
    }
    for_each(n_blocks, [&](int64_t p, const Thread&) { worker.write_page(p); });
  }

  const contract::AttentionGrad& op_;
  Work& work_;
  const int64_t key_heads_;
  const contract::SequenceRows* lists_;
  int64_t n_entries_ = 0;
};

}  // namespace naru::cpu::NARU_LEVEL
