// Distinct words with their counts, in order of first appearance. A word is a piece of the pre-tokenizer: the unit
// inside which byte pairs merge. Memory comes from a budget; a refusal carries the numbers.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/memory_budget.h"

namespace naru::text {

// Bytes of all distinct words: positions in them are 32-bit, three for each byte at the most.
inline constexpr int64_t kDistinctWordBytesMax = int64_t{1} << 30;

class WordCounts {
 public:
  explicit WordCounts(MemoryBudget* budget) : budget_(budget) {}

  Status add(std::string_view word, int64_t n = 1);

  int64_t size() const { return static_cast<int64_t>(words_.size()); }
  std::string_view word(int64_t i) const {
    const Word& w = words_[static_cast<size_t>(i)];
    return std::string_view(arena_.data() + w.begin, w.size);
  }
  int64_t count(int64_t i) const { return words_[static_cast<size_t>(i)].count; }
  int64_t distinct_bytes() const { return static_cast<int64_t>(arena_.size()); }
  int64_t n_words() const { return n_words_; }  // with repetitions

 private:
  struct Word {
    uint32_t begin;  // in arena_
    uint32_t size;
    int64_t count;
  };
  struct Slot {
    uint32_t tag = 0;    // upper half of the hash
    uint32_t index = 0;  // of the word + 1; 0: free
  };
  Status insert(std::string_view word, uint64_t hash, int64_t n);
  bool grow();
  Error refusal() const;

  MemoryBudget* budget_;
  std::vector<char> arena_;
  std::vector<Word> words_;
  std::vector<Slot> slots_;  // open addressing; the size is a power of two
  int64_t n_words_ = 0;
};

}  // namespace naru::text
