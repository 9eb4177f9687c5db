// Byte-pair encoding of one piece: bytes become the vocabulary's one-byte tokens, then the adjacent pair of the least
// merge rank, leftmost first, becomes one token until no pair merges.
//
// Short pieces are merged by scanning, long ones with a heap over a linked list: n log n for any bytes. Results of
// short pieces are kept in a cache of fixed size, which belongs to the caller so that encoding can run on many threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/tokenizer_files.h"

namespace naru::text {

inline constexpr size_t kPieceBytesMax = 1 << 28;  // a longer piece is merged in parts of this size

class BpeCache;

// What an encoding call works with; reused from call to call.
class BpeScratch {
 public:
  BpeScratch();
  ~BpeScratch();
  BpeScratch(const BpeScratch&) = delete;
  BpeScratch& operator=(const BpeScratch&) = delete;

 private:
  friend class Bpe;
  struct Symbol {
    int32_t id;
    int32_t previous;  // index, -1 at the ends
    int32_t next;
  };
  struct Candidate {
    uint32_t rank;
    int32_t position;
    int32_t left;  // ids at the time; stale once they have changed
    int32_t right;
  };
  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
  std::vector<int32_t> ids_;
  std::vector<uint64_t> merges_;  // of the pair that begins at each id
  std::unique_ptr<BpeCache> cache_;
};

class Bpe {
 public:
  // Uses vocab, merges and ignore_merges of the data.
  static Result<Bpe> create(const formats::TokenizerData& data);
  Bpe() = default;  // an empty vocabulary
  Bpe(Bpe&&) noexcept = default;
  Bpe& operator=(Bpe&&) noexcept = default;

  // Appends the ids of one piece. A byte that has no token gives nothing, as in the official library for models without
  // an unknown token, which byte-level ones are (SmolLM2 lacks 21 bytes that rare characters need).
  void encode(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& ids) const;

  // The raw bytes of model token `id`; empty where there is none.
  std::string_view bytes(int32_t id) const;

  // The model token of these raw bytes, or -1.
  int32_t find(std::string_view bytes) const;

 private:
  // A merge as one number: rank in the high half, resulting id in the low half; kNoMerge where the pair has none.
  static constexpr uint64_t kNoMerge = UINT64_MAX;
  struct PairSlot {
    uint64_t pair = UINT64_MAX;  // left << 32 | right
    uint64_t merge = kNoMerge;
  };

  void add_merge(uint64_t pair, uint64_t merge);
  uint64_t merge_of(int32_t left, int32_t right) const;
  void start(std::string_view piece, std::vector<int32_t>& ids) const;
  void encode_short(BpeScratch& scratch) const;
  void encode_long(BpeScratch& scratch) const;
  void push_candidate(BpeScratch& scratch, int32_t position) const;

  std::string arena_;
  std::vector<uint32_t> begins_;   // bytes of token i: arena_[begins_[i], begins_[i + 1])
  std::vector<PairSlot> pairs_;    // open addressing; the size is a power of two
  std::vector<int32_t> by_bytes_;  // the same, ids by hash of bytes
  int32_t byte_ids_[256] = {};
  bool ignore_merges_ = false;
};

}  // namespace naru::text
