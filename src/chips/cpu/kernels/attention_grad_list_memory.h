// The memory of attention's gradient with selected keys (attention_grad_lists.h): what belongs to a document and some
// query heads of a key head, to blocks of 32 queries, and to a thread. Everything is cut from scratch memory of the
// chip.
#pragma once

#include "chips/cpu/kernels/attention_grad_memory.h"

namespace naru::cpu::NARU_LEVEL {

constexpr int64_t kListHeads = 12;  // query heads at once, at most
// What the heads of one key head in one document take.
struct ListSizes {
  ListSizes(const contract::AttentionGrad& op, const contract::SequenceRows* lists, int64_t n_rows_)
      : is_latent(op.value.shape.use == contract::CacheUse::kKeyAndValue),
        group(op.heads / op.key.shape.heads),
        width(op.q.cols),
        value_width(op.out.cols),
        key_stride(padded(op.key.shape.width, 32)),
        value_stride(is_latent ? key_stride : padded(op.out.cols, 32)),
        dk_columns(padded(op.q.cols, 16)),
        dv_columns(padded(op.out.cols, 16)),
        n_rows(n_rows_),
        levels(tree_levels(n_blocks())) {
    for (int64_t begin = 0; begin < n_rows; begin += 32) {
      int64_t entries = 0;
      for (int64_t i = begin; i < begin + 32 && i < n_rows; ++i) {
        const int64_t n = lists[i].position_begin + 1;
        entries += n;
        list_max = n > list_max ? n : list_max;
      }
      entries_max = entries > entries_max ? entries : entries_max;
    }
    list_max = padded(list_max, 32);
  }
  int64_t n_blocks() const { return (n_rows + 31) / 32; }
  int64_t row_stride() const { return key_stride > value_stride ? key_stride : value_stride; }
  int64_t head_floats() const { return (1 + levels) * n_blocks() * 32 * (dk_columns + dv_columns); }

  bool is_latent;
  int64_t group;                     // query heads a key head
  int64_t width, value_width;        // of a key, of a value
  int64_t key_stride, value_stride;  // of their rows
  int64_t dk_columns, dv_columns;
  int64_t n_rows;
  int64_t levels;           // of the tree over segments of queries
  int64_t list_max = 0;     // entries of a list, padded
  int64_t entries_max = 0;  // of the lists of a block
};

// The entries of the lists of a block of 32 queries, by key: key k of `n_keys` has entries [begin[k], begin[k + 1]),
// each of a query; under the bf16 rules those of even queries first, from odd[k] on the others.
struct BlockIndex {
  BlockIndex(Carver& carver, const ListSizes& sizes)
      : list_max(sizes.list_max),
        n_keys(carver.take<int64_t>(1)),
        key(carver.take<int32_t>(sizes.entries_max)),
        begin(carver.take<int32_t>(sizes.entries_max + 1)),
        odd(carver.take<int32_t>(sizes.entries_max)),
        query(carver.take<int32_t>(sizes.entries_max)),
        place(carver.take<int32_t>(32 * sizes.list_max)) {}

  int64_t list_max;
  int64_t* n_keys;
  int32_t *key, *begin, *odd, *query;
  int32_t* place;  // [32][list_max]: where an entry of a query's list went
};

// Of a block of queries: its index; rows of q and dout as operands [heads][32][columns]; P and dS by the index.
struct ListBlock {
  ListBlock(Carver& carver, const ListSizes& sizes, int64_t heads)
      : index(carver, sizes),
        q(carver.take(heads * 32 * sizes.dk_columns)),
        dout(carver.take(heads * 32 * sizes.dv_columns)),
        p(carver.take(heads * sizes.entries_max)),
        ds(carver.take(heads * sizes.entries_max)) {}
  BlockIndex index;
  float *q, *dout, *p, *ds;
};

constexpr int64_t kListBatchMax = 16;  // blocks of queries that are kept at a time

// Of the document and its heads.
struct ListMemory {
  ListMemory(Carver& carver, const ListSizes& sizes, int64_t heads_, int64_t batch_)
      : heads(heads_),
        batch(batch_),
        keys(carver.take(sizes.n_blocks() * 32 * sizes.key_stride)),
        values(sizes.is_latent ? keys : carver.take(sizes.n_blocks() * 32 * sizes.value_stride)),
        dk(carver.take(heads * (1 + sizes.levels) * sizes.n_blocks() * 32 * sizes.dk_columns)),
        dv(carver.take(heads * (1 + sizes.levels) * sizes.n_blocks() * 32 * sizes.dv_columns)),
        is_wrong(carver.take<uint8_t>(sizes.n_rows * heads)),
        blocks(carver.take<ListBlock>(batch)) {
    for (int64_t i = 0; i < batch; ++i) {
      const ListBlock block(carver, sizes, heads);
      if (blocks != nullptr) blocks[i] = block;
    }
  }
  int64_t heads;         // at a time
  int64_t batch;         // blocks at a time
  float *keys, *values;  // rows of the cache, f32
  float *dk, *dv;        // [heads][1 + levels][rows][columns]
  uint8_t* is_wrong;     // [rows][heads]: an operand that is not finite
  ListBlock* blocks;     // [batch]
};

// Of one thread: a query's operands and what becomes of them, and a page of its list.
template <typename Rule>
struct ListThread {
  using Right = typename GradForm<Rule>::Right;
  using Operand = typename Rule::Operand;
  ListThread(Carver& carver, const ListSizes& sizes, int64_t heads)
      : rows(carver.take(32 * sizes.row_stride())),
        made(carver.take<Right>(32 * sizes.row_stride())),
        key_form(carver.take<Right>(32 * sizes.key_stride)),
        value_form(carver.take<Right>(32 * sizes.value_stride)),
        q(carver.take<Operand>(heads * sizes.key_stride / 32 * Rule::kBlockOperands)),
        dout(carver.take<Operand>(heads * sizes.value_stride / 32 * Rule::kBlockOperands)),
        p(carver.take(heads * sizes.list_max)),
        e(carver.take(heads * sizes.list_max)),
        ds(carver.take(heads * 32)),
        dq(carver.take(heads * (1 + tree_levels(sizes.list_max / 32)) * sizes.dk_columns)) {}
  float* rows;                   // [32][stride]
  Right* made;                   // a page on its way from the cache
  Right *key_form, *value_form;  // key forms of a page of the list
  Operand *q, *dout;             // [heads][blocks]
  float *p, *e;                  // [heads][list_max]
  float* ds;                     // [heads][32]
  float* dq;                     // [heads][1 + levels][columns]
};

}  // namespace naru::cpu::NARU_LEVEL
