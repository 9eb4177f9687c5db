#include "text/forms/token_trie.h"

#include <algorithm>

#include "text/utf8.h"

namespace naru::text {
namespace {

// How many plain characters the bytes are; 0: they are something else too.
size_t plain_characters(std::string_view bytes) {
  const bool has_other = std::any_of(
      bytes.begin(), bytes.end(), [](char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20; });
  return has_other || !is_valid_utf8(bytes) ? 0 : static_cast<size_t>(count_code_points(bytes));
}

}  // namespace

void TokenTrie::Tree::add(std::string_view bytes, std::string_view before, int32_t token) {
  const auto differ = std::mismatch(before.begin(), before.end(), bytes.begin(), bytes.end());
  for (auto n = static_cast<size_t>(differ.first - before.begin()); n < bytes.size(); ++n) {
    nodes.push_back({0, -1, static_cast<uint8_t>(bytes[n]), static_cast<uint16_t>(n + 1)});
  }
  nodes.back().token = token;
}

void TokenTrie::Tree::finish() {
  std::vector<uint32_t> open;
  for (uint32_t i = 0; i <= nodes.size(); ++i) {
    const uint16_t depth = i < nodes.size() ? nodes[i].depth : uint16_t{0};
    while (!open.empty() && nodes[open.back()].depth >= depth) {
      nodes[open.back()].skip = i;
      open.pop_back();
    }
    open.push_back(i);
  }
}

TokenTrie::TokenTrie(const Tokenizer& tokenizer, int64_t n_ids, std::span<const int32_t> left_out)
    : same_as_(static_cast<size_t>(n_ids), -1), every_(static_cast<size_t>((n_ids + 63) / 64)) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < std::min(n_ids, tokenizer.n_ids()); ++id) {
    const size_t n = tokenizer.piece(id).size();
    if (tokenizer.is_control(id) || n == 0 || n > kTrieTokenBytesMax) continue;
    if (!std::binary_search(left_out.begin(), left_out.end(), id)) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
    const std::string_view x = tokenizer.piece(a), y = tokenizer.piece(b);
    return x != y ? x < y : a < b;
  });
  plain_.assign(kPlainCharactersMax + 1, every_);
  std::string_view before_in_all, before_in_rest;
  int32_t last = -1;
  for (const int32_t id : ids) {
    const std::string_view piece = tokenizer.piece(id);
    longest_ = std::max(longest_, piece.size());
    every_[static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64);
    const size_t n_plain = plain_characters(piece);
    const bool is_plain = n_plain > 0 && n_plain <= kPlainCharactersMax;
    for (size_t n = n_plain; is_plain && n <= kPlainCharactersMax; ++n) {
      plain_[n][static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64);
    }
    if (last >= 0 && piece == before_in_all) {
      same_as_[static_cast<size_t>(last)] = id;
    } else {
      all_.add(piece, before_in_all, id);
      if (!is_plain) rest_.add(piece, before_in_rest, id), before_in_rest = piece;
      before_in_all = piece;
    }
    last = id;
  }
  all_.finish();
  rest_.finish();
}

void TokenTrie::set(std::span<uint64_t> mask, int32_t token) const {
  for (; token >= 0; token = same_as_[static_cast<size_t>(token)]) {
    mask[static_cast<size_t>(token) / 64] |= uint64_t{1} << (token % 64);
  }
}

void TokenTrie::walk(const Tree& tree, FormMatcher& matcher, FormMatcher::State from, std::span<uint64_t> mask) const {
  std::vector<FormMatcher::State> states(longest_ + 1, from);  // [n]: behind the first n bytes
  size_t n_nodes = 0, work = 0;                                // nodes below first bytes that may come
  matcher.begin_walk();
  for (size_t i = 0; i < tree.nodes.size(); i = tree.nodes[i].skip) {
    const bool may_come = matcher.step(from, FormSymbol{tree.nodes[i].byte}) != FormMatcher::kDead;
    n_nodes += may_come ? tree.nodes[i].skip - i : 0;
  }
  size_t work_max = 0;
  for (size_t i = 0; i < tree.nodes.size();) {
    const Node& node = tree.nodes[i];
    const bool is_looked_at = work < work_max || node.depth == 1;
    const FormMatcher::State to =
        is_looked_at ? matcher.step(states[node.depth - size_t{1}], FormSymbol{node.byte}, work) : FormMatcher::kDead;
    if (to == FormMatcher::kDead) {
      i = node.skip;
      continue;
    }
    // What one leaves the next ones have.
    if (node.depth == 1) work_max += kMaskWorkMax * (node.skip - i) / n_nodes;
    states[node.depth] = to;
    if (node.token >= 0) set(mask, node.token);
    ++i;
  }
}

void TokenTrie::mark_allowed(FormMatcher& matcher, FormMatcher::State from, std::span<uint64_t> mask) const {
  const size_t n_plain = matcher.plain_left(from);
  if (n_plain == 0) return walk(all_, matcher, from, mask);
  const std::vector<uint64_t>& plain = plain_[std::min(n_plain, kPlainCharactersMax)];
  for (size_t i = 0; i < plain.size(); ++i) mask[i] |= plain[i];
  walk(rest_, matcher, from, mask);
}

void TokenTrie::mark_all(std::span<uint64_t> mask) const {
  for (size_t i = 0; i < every_.size(); ++i) mask[i] |= every_[i];
}

}  // namespace naru::text
