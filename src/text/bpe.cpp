// Tables, merging and the cache; see bpe.h.
#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include <fmt/format.h>

#include "base/check.h"
#include "text/byte_level.h"
#include "text/hash.h"
#include "text/pair_table.h"

namespace naru::text {
namespace {

constexpr size_t kShortPiece = 40;  // symbols; scanning beats the heap up to about here

// Order of a heap whose front is the candidate to merge next: least rank, then leftmost.
constexpr auto later_merge = [](const auto& a, const auto& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
};

}  // namespace

// Ids of short pieces that were seen: one slot for each hash value, one cache line a slot, the last one wins.
class BpeCache {
 public:
  static constexpr size_t kKeyMax = 25, kIdsMax = 9;

  const int32_t* find(uint64_t hash, std::string_view key, size_t& n_ids) const {
    const Slot& slot = slots_[hash % kSlots];
    if (slot.n_key != key.size() || std::memcmp(slot.key, key.data(), key.size()) != 0) return nullptr;
    n_ids = slot.n_ids;
    return slot.ids;
  }
  void put(uint64_t hash, std::string_view key, const int32_t* ids, size_t n_ids) {
    Slot& slot = slots_[hash % kSlots];
    slot.n_key = static_cast<uint8_t>(key.size());
    slot.n_ids = static_cast<uint8_t>(n_ids);
    std::memcpy(slot.key, key.data(), key.size());
    std::copy_n(ids, n_ids, slot.ids);
  }

 private:
  static constexpr size_t kSlots = 1 << 16;
  struct alignas(64) Slot {
    int32_t ids[kIdsMax];
    uint8_t n_key = 0;  // 0: free (no piece is empty)
    uint8_t n_ids;
    char key[kKeyMax];
  };
  static_assert(sizeof(Slot) == 64);
  std::vector<Slot> slots_{kSlots};
};

BpeScratch::BpeScratch() : cache_(std::make_unique<BpeCache>()) {}
BpeScratch::~BpeScratch() = default;

Result<Bpe> Bpe::create(const formats::TokenizerData& data) {
  Bpe bpe;
  const size_t n = data.vocab.size();
  bpe.begins_.reserve(n + 1);
  for (int32_t& id : bpe.byte_ids_) id = -1;
  size_t total = 0;
  for (const std::string& text : data.vocab) total += text.size();
  if (total >= UINT32_MAX) {
    return Error{Code::kUnsupported, fmt::format("preparing the tokenizer: the vocabulary holds {} bytes of text, less "
                                                 "than 4294967295 are taken; this is no tokenizer of a known family",
                                                 total)};
  }
  bpe.arena_.reserve(total);
  bpe.by_bytes_.assign(std::bit_ceil(2 * n + 2), -1);
  const size_t mask = bpe.by_bytes_.size() - 1;
  for (size_t i = 0; i < n; ++i) {
    bpe.begins_.push_back(static_cast<uint32_t>(bpe.arena_.size()));
    if (data.vocab[i].empty()) continue;
    const auto raw = bytes_of_token(data.vocab[i]);
    bpe.arena_ += raw ? *raw : data.vocab[i];
    if (!raw) continue;  // outside the alphabet: no piece can be it; it decodes as its text
    if (raw->size() == 1) bpe.byte_ids_[static_cast<unsigned char>(raw->front())] = static_cast<int32_t>(i);
    size_t slot = hash_bytes(*raw) & mask;
    while (bpe.by_bytes_[slot] >= 0) slot = (slot + 1) & mask;
    bpe.by_bytes_[slot] = static_cast<int32_t>(i);
  }
  bpe.begins_.push_back(static_cast<uint32_t>(bpe.arena_.size()));
  bpe.pairs_.resize(std::bit_ceil(2 * data.merges.size() + 2));
  for (size_t rank = 0; rank < data.merges.size(); ++rank) {
    const formats::Merge& merge = data.merges[rank];
    bpe.add_merge(pair_of(merge.left, merge.right), rank << 32 | static_cast<uint32_t>(merge.result));
  }
  bpe.ignore_merges_ = data.ignore_merges;
  return bpe;
}

void Bpe::add_merge(uint64_t pair, uint64_t merge) {
  const size_t mask = pairs_.size() - 1;
  size_t slot = mix(pair) & mask;
  while (pairs_[slot].pair != UINT64_MAX && pairs_[slot].pair != pair) slot = (slot + 1) & mask;
  pairs_[slot] = {pair, merge};
}

uint64_t Bpe::merge_of(int32_t left, int32_t right) const {
  const uint64_t pair = pair_of(left, right);
  const size_t mask = pairs_.size() - 1;
  size_t slot = mix(pair) & mask;
  while (pairs_[slot].pair != pair) {
    if (pairs_[slot].pair == UINT64_MAX) return kNoMerge;
    slot = (slot + 1) & mask;
  }
  return pairs_[slot].merge;
}

std::string_view Bpe::bytes(int32_t id) const {
  const size_t i = static_cast<size_t>(id);
  if (id < 0 || i + 1 >= begins_.size()) return {};
  return std::string_view(arena_).substr(begins_[i], begins_[i + 1] - begins_[i]);
}

int32_t Bpe::find(std::string_view bytes_wanted) const {
  const size_t mask = by_bytes_.size() - 1;
  for (size_t slot = hash_bytes(bytes_wanted) & mask; by_bytes_[slot] >= 0; slot = (slot + 1) & mask) {
    if (bytes(by_bytes_[slot]) == bytes_wanted) return by_bytes_[slot];
  }
  return -1;
}

void Bpe::encode(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& ids) const {
  for (; piece.size() > kPieceBytesMax; piece.remove_prefix(kPieceBytesMax)) {
    encode(piece.substr(0, kPieceBytesMax), scratch, ids);
  }
  if (piece.empty()) return;
  const bool is_cached = piece.size() <= BpeCache::kKeyMax;
  uint64_t hash = 0;
  if (is_cached) {
    hash = hash_bytes(piece);
    size_t n = 0;
    if (const int32_t* found = scratch.cache_->find(hash, piece, n)) {
      ids.insert(ids.end(), found, found + n);
      return;
    }
  }
  std::vector<int32_t>& out = scratch.ids_;
  out.clear();
  const int32_t whole = ignore_merges_ ? find(piece) : -1;
  if (whole >= 0) {
    out.push_back(whole);
  } else {
    start(piece, out);
    if (out.size() <= kShortPiece) {
      encode_short(scratch);
    } else {
      encode_long(scratch);
    }
  }
  if (is_cached && out.size() <= BpeCache::kIdsMax) scratch.cache_->put(hash, piece, out.data(), out.size());
  ids.insert(ids.end(), out.begin(), out.end());
}

void Bpe::start(std::string_view piece, std::vector<int32_t>& ids) const {
  for (const char c : piece) {
    const int32_t id = byte_ids_[static_cast<unsigned char>(c)];
    if (id >= 0) ids.push_back(id);
  }
}

// Merges scratch.ids_ in place.
void Bpe::encode_short(BpeScratch& scratch) const {
  std::vector<int32_t>& ids = scratch.ids_;
  std::vector<uint64_t>& merges = scratch.merges_;
  merges.clear();
  for (size_t i = 0; i + 1 < ids.size(); ++i) merges.push_back(merge_of(ids[i], ids[i + 1]));
  while (!merges.empty()) {
    const size_t i = static_cast<size_t>(std::min_element(merges.begin(), merges.end()) - merges.begin());
    if (merges[i] == kNoMerge) return;
    ids[i] = static_cast<int32_t>(static_cast<uint32_t>(merges[i]));
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(i) + 1);
    merges.erase(merges.begin() + static_cast<ptrdiff_t>(i));
    if (i < merges.size()) merges[i] = merge_of(ids[i], ids[i + 1]);
    if (i > 0) merges[i - 1] = merge_of(ids[i - 1], ids[i]);
  }
}

void Bpe::push_candidate(BpeScratch& scratch, int32_t position) const {
  const auto& symbol = scratch.symbols_[static_cast<size_t>(position)];
  if (symbol.next < 0) return;
  const int32_t right = scratch.symbols_[static_cast<size_t>(symbol.next)].id;
  const uint64_t merge = merge_of(symbol.id, right);
  if (merge == kNoMerge) return;
  scratch.heap_.push_back({static_cast<uint32_t>(merge >> 32), position, symbol.id, right});
  std::push_heap(scratch.heap_.begin(), scratch.heap_.end(), later_merge);
}

void Bpe::encode_long(BpeScratch& scratch) const {
  auto& symbols = scratch.symbols_;
  auto& heap = scratch.heap_;
  const int32_t n = static_cast<int32_t>(scratch.ids_.size());
  symbols.clear();
  heap.clear();
  for (int32_t i = 0; i < n; ++i) {
    symbols.push_back({scratch.ids_[static_cast<size_t>(i)], i - 1, i + 1 < n ? i + 1 : -1});
  }
  for (int32_t i = 0; i + 1 < n; ++i) {
    const auto left = symbols[static_cast<size_t>(i)].id, right = symbols[static_cast<size_t>(i) + 1].id;
    const uint64_t merge = merge_of(left, right);
    if (merge != kNoMerge) heap.push_back({static_cast<uint32_t>(merge >> 32), i, left, right});
  }
  std::make_heap(heap.begin(), heap.end(), later_merge);
  while (!heap.empty()) {
    const BpeScratch::Candidate top = heap.front();
    std::pop_heap(heap.begin(), heap.end(), later_merge);
    heap.pop_back();
    auto& symbol = symbols[static_cast<size_t>(top.position)];
    // A symbol that was merged into its left neighbour has id -1; a candidate whose pair has changed is stale.
    if (symbol.id != top.left || symbol.next < 0) continue;
    auto& right = symbols[static_cast<size_t>(symbol.next)];
    if (right.id != top.right) continue;
    symbol.id = static_cast<int32_t>(static_cast<uint32_t>(merge_of(top.left, top.right)));
    right.id = -1;
    symbol.next = right.next;
    if (symbol.next >= 0) symbols[static_cast<size_t>(symbol.next)].previous = top.position;
    if (symbol.previous >= 0) push_candidate(scratch, symbol.previous);
    push_candidate(scratch, top.position);
  }
  scratch.ids_.clear();
  for (int32_t i = n > 0 ? 0 : -1; i >= 0; i = symbols[static_cast<size_t>(i)].next) {
    scratch.ids_.push_back(symbols[static_cast<size_t>(i)].id);
  }
}

}  // namespace naru::text
