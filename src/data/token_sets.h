// TokenSets: of each row, the tokens that truncation kept when one of them was drawn. A set takes as many words as it
// has tokens, or a bit for each of the vocabulary where that is less.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace naru::data {

class TokenSets {
 public:
  TokenSets() = default;
  // Of what words() and ends() gave; nothing where they are no sets of this vocabulary: `ends` as long as there are
  // rows.
  static std::optional<TokenSets> from_words(std::vector<uint32_t> words, std::vector<uint32_t> ends, int64_t vocab);
  // Words of a set of so many tokens.
  static int64_t words_of(int64_t n_tokens, int64_t vocab);

  // At least one token, ascending, below `vocab`, which is at least 1 and the same for all rows.
  void add(std::span<const int32_t> ids, int64_t vocab);
  void add_none();  // a row that nothing was drawn in, or from all tokens
  void add_row_of(const TokenSets& other, size_t row);

  size_t rows() const { return ends_.size(); }
  bool has(size_t row) const { return begin_of(row) < ends_[row]; }
  // Ascending; of a row that has a set.
  std::vector<int32_t> ids(size_t row, int64_t vocab) const;

  const std::vector<uint32_t>& words() const { return words_; }
  const std::vector<uint32_t>& ends() const { return ends_; }
  bool operator==(const TokenSets&) const = default;

 private:
  uint32_t begin_of(size_t row) const { return row == 0 ? 0 : ends_[row - 1]; }
  bool is_good(size_t row, int64_t vocab) const;

  std::vector<uint32_t> words_;
  std::vector<uint32_t> ends_;  // by row: where its words end
};

}  // namespace naru::data
