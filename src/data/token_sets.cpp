#include "data/token_sets.h"

#include <algorithm>

#include "base/check.h"

namespace naru::data {
namespace {

constexpr int64_t kBitsOfWord = 32;

int64_t bit_words(int64_t vocab) {
  return (vocab + kBitsOfWord - 1) / kBitsOfWord;
}

}  // namespace

int64_t TokenSets::words_of(int64_t n_tokens, int64_t vocab) {
  return std::min(n_tokens, bit_words(vocab));
}

// Fewer words than a bit for each token takes are ids.
void TokenSets::add(std::span<const int32_t> ids, int64_t vocab) {
  NARU_CHECK(!ids.empty() && ids.front() >= 0 && ids.back() < vocab, ids.size(), vocab);
  const auto begin = words_.size();
  if (std::ssize(ids) < bit_words(vocab)) {
    words_.insert(words_.end(), ids.begin(), ids.end());
  } else {
    words_.resize(begin + static_cast<size_t>(bit_words(vocab)), 0);
    for (const int32_t id : ids) words_[begin + static_cast<size_t>(id / kBitsOfWord)] |= 1U << (id % kBitsOfWord);
  }
  NARU_CHECK(words_.size() <= UINT32_MAX, "sets of more than 2^32 words");
  ends_.push_back(static_cast<uint32_t>(words_.size()));
}

void TokenSets::add_none() {
  ends_.push_back(static_cast<uint32_t>(words_.size()));
}

void TokenSets::add_row_of(const TokenSets& other, size_t row) {
  words_.insert(words_.end(), other.words_.begin() + other.begin_of(row), other.words_.begin() + other.ends_[row]);
  NARU_CHECK(words_.size() <= UINT32_MAX, "sets of more than 2^32 words");
  add_none();
}

std::vector<int32_t> TokenSets::ids(size_t row, int64_t vocab) const {
  std::vector<int32_t> ids;
  const uint32_t begin = begin_of(row), end = ends_[row];
  NARU_CHECK(begin < end, row);
  if (static_cast<int64_t>(end - begin) < bit_words(vocab)) {
    ids.assign(words_.begin() + begin, words_.begin() + end);
    return ids;
  }
  for (int64_t id = 0; id < (end - begin) * kBitsOfWord; ++id) {
    if ((words_[begin + static_cast<size_t>(id / kBitsOfWord)] >> (id % kBitsOfWord) & 1) != 0) {
      ids.push_back(static_cast<int32_t>(id));
    }
  }
  return ids;
}

bool TokenSets::is_good(size_t row, int64_t vocab) const {
  const int64_t n = static_cast<int64_t>(ends_[row]) - begin_of(row);
  if (n == 0) return true;
  if (n > bit_words(vocab)) return false;
  const std::vector<int32_t> all = ids(row, vocab);
  if (all.empty() || all.front() < 0 || all.back() >= vocab) return false;
  return std::adjacent_find(all.begin(), all.end(), [](int32_t a, int32_t b) { return a >= b; }) == all.end();
}

std::optional<TokenSets> TokenSets::from_words(std::vector<uint32_t> words, std::vector<uint32_t> ends, int64_t vocab) {
  TokenSets sets;
  sets.words_ = std::move(words);
  sets.ends_ = std::move(ends);
  const size_t last = sets.ends_.empty() ? 0 : sets.ends_.back();
  if (last != sets.words_.size() || !std::is_sorted(sets.ends_.begin(), sets.ends_.end())) return std::nullopt;
  for (size_t row = 0; row < sets.rows(); ++row) {
    if (!sets.is_good(row, vocab)) return std::nullopt;
  }
  return sets;
}

}  // namespace naru::data
