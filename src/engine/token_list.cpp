#include "engine/token_list.h"

#include <algorithm>

namespace naru::engine {

TokenList::TokenList(const text::Tokenizer& tokenizer, int64_t n_ids, std::span<const int32_t> left_out) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < std::min(n_ids, tokenizer.n_ids()); ++id) {
    if (tokenizer.is_control(id) || tokenizer.piece(id).empty()) continue;
    if (!std::binary_search(left_out.begin(), left_out.end(), id)) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
    const std::string_view x = tokenizer.piece(a), y = tokenizer.piece(b);
    return x != y ? x < y : a < b;
  });
  std::string_view before;
  for (const int32_t id : ids) {
    const std::string_view piece = tokenizer.piece(id);
    const auto differ = std::mismatch(before.begin(), before.end(), piece.begin(), piece.end());
    tokens_.push_back({id, static_cast<uint32_t>(bytes_.size()), static_cast<uint32_t>(piece.size()),
                       static_cast<uint32_t>(differ.first - before.begin())});
    bytes_ += piece;
    longest_ = std::max(longest_, piece.size());
    before = piece;
  }
}

void TokenList::mark_all(std::span<uint64_t> mask) const {
  for (const Token& token : tokens_) mask[static_cast<size_t>(token.id) / 64] |= uint64_t{1} << (token.id % 64);
}

}  // namespace naru::engine
