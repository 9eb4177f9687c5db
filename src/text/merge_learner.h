// Learns byte-pair merges from counted words (Sennrich et al., 2016): again and again the pair of neighbouring tokens
// with the greatest count becomes a token, everywhere, from left to right in each word.
//
// The rule, which is that of the `tokenizers` library's BpeTrainer: greatest count first; of equal counts the pair with
// the lesser left id, then the lesser right id. A pair's count is of neighbours, so "aaa" holds (a, a) twice.
//
// Counting is incremental. All words lie in one array, a slot a byte; a token's id stands in its first and last slot,
// so both neighbours are found from any place without links. A pair forms when the later of its two tokens does, at all
// its places at once, and keeps the list of them; merging it touches these alone, and collects the changes of counts by
// neighbour, one table look-up a neighbour. A heap holds pairs by the count they had when they formed; one that comes
// up with a count that is out of date goes back with the right one.
//
// No two merges give the same bytes. What stands between two borders that are still there has merged as it would alone
// (a pair over the border would have taken it away), so any two stretches of the same bytes are always cut alike, and
// the first pair to span those bytes spans them everywhere.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "formats/tokenizer_files.h"
#include "text/memory_budget.h"
#include "text/pair_table.h"
#include "text/word_counts.h"

namespace naru::text {

struct MergeLearnerOptions {
  int64_t vocab_size = 0;                     // ids in all, those below first_id and the 256 bytes included
  int32_t first_id = 0;                       // the bytes take 256 ids from here, in the order of their characters
  int64_t pair_count_min = 1;                 // a pair with a lesser count is not merged
  int64_t token_bytes_max = 0;                // pairs of more bytes do not form
  std::unordered_set<std::string> forbidden;  // bytes that must not become a token
};

class MergeLearner {
 public:
  // Called between merges with (tokens so far, tokens wanted); an error stops the work.
  using Progress = std::function<Status(int64_t done, int64_t total)>;

  MergeLearner(MergeLearnerOptions options, MemoryBudget* budget);

  Status learn(const WordCounts& words, const Progress& progress);

  // The bytes of tokens first_id, first_id + 1, ...
  const std::vector<std::string>& tokens() const { return tokens_; }
  const std::vector<formats::Merge>& merges() const { return merges_; }  // in rank order

 private:
  static constexpr int32_t kBoundary = -1;  // the slot before, between and after words
  static constexpr int32_t kInside = -2;    // once a token's beginning, now inside a longer one
  struct Slot {
    int32_t id;
    uint32_t weight;  // the word's count; 0 where that is above 32 bits: see heavy_
  };
  // A pair with the `n` places where it formed, some of them gone since, and a count that may be out of date.
  struct Candidate {
    int64_t count;
    uint64_t pair;
    uint32_t begin;  // in places_
    uint32_t n;
  };
  // What one merge changes beside one neighbour.
  struct Side {
    int64_t weight = 0;  // of the old pairs that went away; as much of the new ones formed
    uint32_t n = 0;      // places where the new pair formed
    uint32_t begin = 0;  // where they stand in places_
  };
  struct Formed {
    uint32_t side;
    uint32_t place;
  };

  Status take_words(const WordCounts& words);
  Status count_byte_pairs();
  int32_t add_token(std::string bytes);
  uint32_t length(int32_t id) const { return lengths_[static_cast<size_t>(id - options_.first_id)]; }
  int64_t weight_at(uint32_t place) const;
  bool may_form(int32_t left, int32_t right) const;
  Status merge(const Candidate& top);
  void merge_at(const formats::Merge& merge, uint32_t place);
  void note(int32_t neighbour, bool is_right, int64_t weight, uint32_t place, bool forms);
  Status apply_changes(const formats::Merge& merge);
  Status push_formed(const formats::Merge& merge);
  Status push(uint64_t pair, uint32_t begin, uint32_t n);
  Error refusal() const;

  MergeLearnerOptions options_;
  MemoryBudget* budget_;
  std::vector<std::string> tokens_;
  std::vector<uint32_t> lengths_;
  std::vector<formats::Merge> merges_;

  std::vector<Slot> slots_;
  std::vector<std::pair<uint32_t, int64_t>> heavy_;  // first slot and count of words with counts above 32 bits
  std::vector<uint32_t> places_;                     // of all candidates
  PairTable pairs_;
  std::vector<Candidate> heap_;
  std::vector<Side> sides_;  // 2 * neighbour: the neighbour on the left; 2 * neighbour + 1: on the right
  std::vector<uint32_t> touched_;
  std::vector<Formed> formed_;
};

}  // namespace naru::text
