// TokenTrie: the tokens of a vocabulary that are text, as a tree of their bytes. It is made once for a vocabulary.
//
// Tokens of plain characters alone (whole characters other than control ones, " and \) stand apart as well, by their
// number: inside of a JSON string they may all come, and none of them has to be tried.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "text/forms/matcher.h"
#include "text/tokenizer.h"

namespace naru::text {

inline constexpr size_t kTrieTokenBytesMax = 1024;  // longer tokens are left out: no constrained answer has them
inline constexpr size_t kPlainCharactersMax = 48;   // of a token that stands apart
// Places of the form that are looked at for one mask (FormMatcher::begin_walk()): one that is not known takes a few
// milliseconds at most, and the matcher grows by a few megabytes. Of a form that needs more, a mask is smaller than it
// could be: tokens of one byte all are looked at, and the longer ones as far as a share of the work goes, which each
// first byte has by how many tokens begin with it. So the answer is of the form all the same, in shorter tokens; and
// since the work of a walk is a function of the state alone, so is the mask, at any load.
inline constexpr size_t kMaskWorkMax = 1 << 18;

class TokenTrie {
 public:
  // Ids below `n_ids`; without control tokens, those without bytes, and those of `left_out` (ascending).
  TokenTrie(const Tokenizer& tokenizer, int64_t n_ids, std::span<const int32_t> left_out);

  // Sets the bits of the tokens that may come from a state.
  void mark_allowed(FormMatcher& matcher, FormMatcher::State from, std::span<uint64_t> mask) const;
  // All tokens of the tree.
  void mark_all(std::span<uint64_t> mask) const;
  size_t longest() const { return longest_; }  // bytes of a token

 private:
  struct Node {
    uint32_t skip;  // the node behind all that begin with this one
    int32_t token;  // -1: none; the first of those with these bytes
    uint8_t byte;
    uint16_t depth;  // bytes up to here
  };
  struct Tree {
    std::vector<Node> nodes;
    void add(std::string_view bytes, std::string_view before, int32_t token);
    void finish();
  };
  void walk(const Tree& tree, FormMatcher& matcher, FormMatcher::State from, std::span<uint64_t> mask) const;
  void set(std::span<uint64_t> mask, int32_t token) const;

  Tree all_, rest_;                           // of all tokens, and of those that are not plain
  std::vector<int32_t> same_as_;              // by id: the next token with the same bytes; -1: none
  std::vector<std::vector<uint64_t>> plain_;  // [n]: tokens of at most n plain characters
  std::vector<uint64_t> every_;
  size_t longest_ = 0;
};

}  // namespace naru::text
