// The automaton and the choice among its matches; see added_tokens.h for the rules.
#include "text/added_tokens.h"

#include <algorithm>
#include <deque>

#include <fmt/format.h>

#include "text/unicode.h"
#include "text/utf8.h"

namespace naru::text {
namespace {

bool touches_word_left(std::string_view text, size_t begin) {
  if (begin == 0) return false;
  return (char_flags(code_point_before(text.data(), text.data() + begin).value) & kWord) != 0;
}

bool touches_word_right(std::string_view text, size_t end) {
  if (end == text.size()) return false;
  return (char_flags(code_point_at(text.data() + end).value) & kWord) != 0;
}

// Where the white space that ends at `begin` starts, not before `least`.
size_t strip_left(std::string_view text, size_t begin, size_t least) {
  while (begin > least) {
    const CodePoint c = code_point_before(text.data(), text.data() + begin);
    if (!(char_flags(c.value) & kStrip)) break;
    begin -= c.bytes;
  }
  return begin;
}

size_t strip_right(std::string_view text, size_t end) {
  while (end < text.size()) {
    const CodePoint c = code_point_at(text.data() + end);
    if (!(char_flags(c.value) & kStrip)) break;
    end += c.bytes;
  }
  return end;
}

}  // namespace

bool is_control_token(const formats::AddedToken& token) {
  if (token.special) return true;
  const char* p = token.text.data();
  const char* const end = p + token.text.size();
  while (p < end) {
    const CodePoint c = code_point_at(p);
    if (!(char_flags(c.value) & (kLetter | kMark | kNumber | kSpace))) return true;
    p += c.bytes;
  }
  return false;
}

Result<AddedTokenFinder> AddedTokenFinder::create(std::vector<formats::AddedToken> tokens,
                                                  std::span<const std::string> texts) {
  int64_t bytes = 0;
  for (const std::string& text : texts) bytes += static_cast<int64_t>(text.size());
  if (bytes > kAddedTokenBytesTotalMax) {
    return Error{Code::kUnsupported,
                 fmt::format("preparing the tokenizer: added_tokens hold {} bytes of text, at most {} are taken; this "
                             "is no tokenizer of a known family",
                             bytes, kAddedTokenBytesTotalMax)};
  }
  AddedTokenFinder finder;
  finder.nodes_.emplace_back();
  for (size_t i = 0; i < tokens.size(); ++i) {
    finder.is_control_.push_back(is_control_token(tokens[i]));
    finder.lengths_.push_back(texts[i].size());
    finder.add(std::string(texts[i].rbegin(), texts[i].rend()), static_cast<int32_t>(i));
  }
  finder.tokens_ = std::move(tokens);
  finder.link();
  return finder;
}

uint32_t AddedTokenFinder::child(uint32_t node, unsigned char byte) const {
  if (node == 0) return root_child_[byte];
  for (uint32_t c = nodes_[node].first_child; c != 0; c = nodes_[c].next_sibling) {
    if (nodes_[c].byte == byte) return c;
  }
  return 0;
}

void AddedTokenFinder::add(std::string_view reversed, int32_t token) {
  if (reversed.empty()) return;
  uint32_t node = 0;
  for (const char c : reversed) {
    const auto byte = static_cast<unsigned char>(c);
    uint32_t next = child(node, byte);
    if (next == 0) {
      next = static_cast<uint32_t>(nodes_.size());
      Node added;
      added.byte = byte;
      added.next_sibling = nodes_[node].first_child;
      nodes_.push_back(added);
      nodes_[node].first_child = next;
      if (node == 0) root_child_[byte] = next;
    }
    node = next;
  }
  if (nodes_[node].token < 0) nodes_[node].token = token;  // of two with one text the first counts
}

// Failure links, breadth first: the longest proper suffix of a node's path that is a path too.
void AddedTokenFinder::link() {
  std::deque<uint32_t> queue;
  for (uint32_t c = nodes_[0].first_child; c != 0; c = nodes_[c].next_sibling) queue.push_back(c);
  while (!queue.empty()) {
    const uint32_t node = queue.front();
    queue.pop_front();
    Node& here = nodes_[node];
    const Node& suffix = nodes_[here.fail];
    here.shorter = suffix.token >= 0 ? here.fail : suffix.shorter;
    here.longest = here.token >= 0 ? here.token : suffix.longest;
    const bool is_plain = here.token >= 0 && !is_control_[static_cast<size_t>(here.token)];
    here.longest_plain = is_plain ? here.token : suffix.longest_plain;
    for (uint32_t c = nodes_[node].first_child; c != 0; c = nodes_[c].next_sibling) {
      uint32_t fail = nodes_[node].fail;
      while (fail != 0 && child(fail, nodes_[c].byte) == 0) fail = nodes_[fail].fail;
      nodes_[c].fail = child(fail, nodes_[c].byte);
      queue.push_back(c);
    }
  }
}

// Each place where a token begins, from right to left.
void AddedTokenFinder::find_starts(std::string_view text, std::vector<Start>& starts) const {
  uint32_t node = 0;
  for (size_t i = text.size(); i > 0; --i) {
    const auto byte = static_cast<unsigned char>(text[i - 1]);
    if (node == 0 && root_child_[byte] == 0) continue;
    uint32_t next = child(node, byte);
    while (next == 0 && node != 0) {
      node = nodes_[node].fail;
      next = child(node, byte);
    }
    node = next;
    if (nodes_[node].longest >= 0) starts.push_back({i - 1, node});
  }
}

// The longest token at a place that may be there: a control token only where it lies inside a stretch of our own.
int32_t AddedTokenFinder::choose(const Start& start, const Stretch& stretch) const {
  if (stretch.specials == Specials::kNotControl) return nodes_[start.node].longest_plain;
  uint32_t node = start.node;
  if (nodes_[node].token < 0) node = nodes_[node].shorter;
  for (; node != 0; node = nodes_[node].shorter) {
    const auto token = static_cast<size_t>(nodes_[node].token);
    if (!is_control_[token] || start.begin + lengths_[token] <= stretch.end) return nodes_[node].token;
  }
  return -1;
}

void AddedTokenFinder::find(std::string_view text, std::span<const Stretch> stretches,
                            std::vector<TokenMatch>& matches) const {
  if (tokens_.empty()) return;
  std::vector<Start> starts;
  find_starts(text, starts);
  size_t taken = 0;          // text before it belongs to a match
  size_t candidate_end = 0;  // candidates before it overlap the one before
  auto stretch = stretches.begin();
  for (auto start = starts.rbegin(); start != starts.rend(); ++start) {
    if (start->begin < candidate_end) continue;
    while (stretch->end <= start->begin) ++stretch;
    const int32_t index = choose(*start, *stretch);
    if (index < 0) continue;
    const formats::AddedToken& token = tokens_[static_cast<size_t>(index)];
    TokenMatch match{start->begin, start->begin + lengths_[static_cast<size_t>(index)], token.id};
    candidate_end = match.end;
    if (stretch->specials == Specials::kNotSpecial && token.special) continue;
    if (token.single_word && (touches_word_left(text, match.begin) || touches_word_right(text, match.end))) continue;
    // After an rstrip a token of white space may begin before `taken`; the library keeps it, so it is kept here.
    if (token.lstrip) match.begin = strip_left(text, match.begin, taken);
    if (token.rstrip) match.end = strip_right(text, match.end);
    matches.push_back(match);
    taken = match.end;
  }
}

}  // namespace naru::text
