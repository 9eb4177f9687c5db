// Finding added tokens in text: the ones that stand for themselves before any splitting or merging ("<|im_start|>").
//
// Which of several candidates wins is the official library's rule: the leftmost, and of those the longest; then each
// found token may be dropped (single_word beside a word character; a token that this stretch of text must not have)
// without another taking its place. Linear in the text for any set of tokens: an automaton over the reversed tokens
// (Aho and Corasick, 1975) runs from right to left and gives, for each place, the longest token that begins there.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/tokenizer_files.h"

namespace naru::text {

inline constexpr int64_t kAddedTokenBytesTotalMax = 4 << 20;

// Which added tokens a stretch of text may hold.
enum class Specials : uint8_t {
  kAll,         // every one: text of our own making, or of a user who is trusted with control tokens
  kNotSpecial,  // those that are not `special` (the library's encode_special_tokens)
  kNotControl,  // none that could steer the model, flagged special or not: text from outside
};

// Stretches of a text; the last ends where the text ends. No control token is found across the border of two stretches;
// other tokens (plain words, white space) are found as if there were no borders.
struct Stretch {
  size_t end;
  Specials specials;
};

struct TokenMatch {
  size_t begin;
  size_t end;
  int32_t id;
};

// True for tokens that content must never become: the special ones, and all others but plain words and white space.
// (DeepSeek's role markers and the markers of tool calls and reasoning are not flagged special in their files.)
bool is_control_token(const formats::AddedToken& token);

class AddedTokenFinder {
 public:
  // `texts[i]` is what is sought for `tokens[i]`: its text, or its normalised text.
  static Result<AddedTokenFinder> create(std::vector<formats::AddedToken> tokens, std::span<const std::string> texts);

  bool empty() const { return tokens_.empty(); }

  // Appends the matches in valid UTF-8, from left to right; where rstrip reaches into the next match they overlap.
  // Stretches must cover the text.
  void find(std::string_view text, std::span<const Stretch> stretches, std::vector<TokenMatch>& matches) const;

 private:
  struct Node {
    uint32_t first_child = 0;  // 0 for none: the root is nobody's child
    uint32_t next_sibling = 0;
    uint32_t fail = 0;
    uint32_t shorter = 0;        // the node of the longest token that begins here too, but is shorter than the path
    int32_t token = -1;          // index of the token that the path spells (reversed), or -1
    int32_t longest = -1;        // index of the longest token that begins here
    int32_t longest_plain = -1;  // the same of those that are not control tokens
    unsigned char byte = 0;
  };
  struct Start {
    size_t begin;
    uint32_t node;
  };

  uint32_t child(uint32_t node, unsigned char byte) const;
  void add(std::string_view reversed, int32_t token);
  void link();
  void find_starts(std::string_view text, std::vector<Start>& starts) const;
  int32_t choose(const Start& start, const Stretch& stretch) const;

  std::vector<formats::AddedToken> tokens_;
  std::vector<size_t> lengths_;
  std::vector<Node> nodes_;
  std::vector<bool> is_control_;
  uint32_t root_child_[256] = {};
};

}  // namespace naru::text
