// What a TokenizerData promises (formats/tokenizer_files.h), checked.
#pragma once

#include "base/check.h"
#include "formats/tokenizer_files.h"

namespace naru::formats {

inline void check_tokenizer(const TokenizerData& data) {
  const auto is_id = [&](int32_t id) { return id >= 0 && id < data.n_ids(); };
  const auto text = [&](int32_t id) { return data.vocab[static_cast<size_t>(id)]; };
  for (const Merge& merge : data.merges) {
    NARU_CHECK(is_id(merge.left) && is_id(merge.right) && is_id(merge.result));
    NARU_CHECK(text(merge.left) + text(merge.right) == text(merge.result));
    NARU_CHECK(!text(merge.left).empty() && !text(merge.right).empty());
  }
  int32_t last = -1;
  for (const AddedToken& token : data.added_tokens) {
    NARU_CHECK(is_id(token.id) && token.id > last && !token.text.empty(), token.id, last);
    NARU_CHECK(text(token.id).empty() || text(token.id) == token.text);
    last = token.id;
  }
  for (const auto& id : {data.unk_id, data.bos_id, data.eos_id, data.pad_id, data.eot_id})
    NARU_CHECK(!id || is_id(*id));
  for (const int32_t id : data.prefix_ids) NARU_CHECK(is_id(id));
  for (const int32_t id : data.suffix_ids) NARU_CHECK(is_id(id));
}

}  // namespace naru::formats
