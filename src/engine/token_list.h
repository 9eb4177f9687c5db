// TokenList: the tokens of a vocabulary that are text, in the order of their bytes, so that an automaton tries each
// beginning once and drops all tokens behind a dead one together.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace naru::engine {

class TokenList {
 public:
  // Ids below `n_ids`. Control tokens, those without bytes, and those of `left_out` (ascending) are not in it.
  TokenList(const text::Tokenizer& tokenizer, int64_t n_ids, std::span<const int32_t> left_out);

  // Sets the bits of the tokens whose bytes `from` takes, one push(char) after the other.
  template <typename Automaton>
  void mark_allowed(const Automaton& from, std::span<uint64_t> mask) const {
    std::vector<Automaton> states(longest_ + 1, from);  // states[n]: behind the first n bytes of the token at hand
    size_t dead = longest_;                             // the place of a byte that was not taken; longest_: none
    for (const Token& token : tokens_) {
      if (token.n_shared > dead) continue;
      size_t n = token.n_shared;
      for (; n < token.n; ++n) {
        states[n + 1] = states[n];
        if (!states[n + 1].push(bytes_[token.begin + n])) break;
      }
      dead = n < token.n ? n : longest_;
      if (n == token.n) mask[static_cast<size_t>(token.id) / 64] |= uint64_t{1} << (token.id % 64);
    }
  }

  // All of them.
  void mark_all(std::span<uint64_t> mask) const;

 private:
  struct Token {
    int32_t id;
    uint32_t begin, n;  // its bytes
    uint32_t n_shared;  // the first ones that the token before it has too
  };
  std::string bytes_;
  std::vector<Token> tokens_;
  size_t longest_ = 0;
};

}  // namespace naru::engine
