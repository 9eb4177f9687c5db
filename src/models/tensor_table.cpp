#include "models/tensor_table.h"

#include "base/check.h"
#include "models/families.h"

namespace naru::models {
namespace {

void replace(std::string& text, std::string_view pattern, int64_t value) {
  const size_t at = text.find(pattern);
  if (at != std::string::npos) text.replace(at, pattern.size(), std::to_string(value));
}

// Takes the digits at the front of `text` as a number without leading zeros; false where there are none.
bool take_number(std::string_view& text, int64_t& value) {
  size_t n = 0;
  for (value = 0; n < text.size() && n < 9 && text[n] >= '0' && text[n] <= '9'; ++n) value = value * 10 + text[n] - '0';
  if (n == 0 || (n > 1 && text[0] == '0')) return false;
  text.remove_prefix(n);
  return true;
}

bool matches(std::string_view pattern, std::string_view text, NamedPlace& place) {
  while (!pattern.empty()) {
    if (pattern.starts_with("{l}") || pattern.starts_with("{e}")) {
      if (!take_number(text, pattern[1] == 'l' ? place.layer : place.expert)) return false;
      pattern.remove_prefix(3);
    } else {
      if (text.empty() || text[0] != pattern[0]) return false;
      pattern.remove_prefix(1);
      text.remove_prefix(1);
    }
  }
  return text.empty();
}

}  // namespace

int64_t dim_of(const formats::ModelConfig& config, Dim dim) {
  const formats::MlaConfig& mla = config.mla;
  switch (dim) {
    case Dim::kNone: return 1;
    case Dim::kVocab: return config.vocab;
    case Dim::kHidden: return config.hidden;
    case Dim::kTwoHidden: return 2 * config.hidden;
    case Dim::kHeadDim: return config.head_dim;
    case Dim::kHalfRotated: return (config.is_mla() ? mla.qk_rope_head_dim : config.head_dim) / 2;
    case Dim::kQueries: return config.heads * config.head_dim;
    case Dim::kKeys: return config.kv_heads * config.head_dim;
    case Dim::kValues: return config.heads * (config.is_mla() ? mla.v_head_dim : config.head_dim);
    case Dim::kQueryRank: return mla.q_lora_rank;
    case Dim::kLatent: return mla.kv_lora_rank;
    case Dim::kLatentRotary: return mla.kv_lora_rank + mla.qk_rope_head_dim;
    case Dim::kKeysValues: return config.heads * (mla.qk_nope_head_dim + mla.v_head_dim);
    case Dim::kFfn: return config.ffn;
    case Dim::kExperts: return config.moe.experts;
    case Dim::kExpertFfn: return config.moe.ffn;
    case Dim::kSharedFfn: return config.moe.shared_experts * config.moe.ffn;
  }
  return 1;
}

std::vector<int64_t> TensorRow::shape(const formats::ModelConfig& config) const {
  NARU_CHECK(dims[0] != Dim::kNone, "a tensor without a shape of its own", hugging_face, gguf);
  std::vector<int64_t> result{dim_of(config, dims[0])};
  if (dims[1] != Dim::kNone) result.push_back(dim_of(config, dims[1]));
  return result;
}

std::span<const TensorRow> tensors_of(formats::Family family) {
  return formats::is_deepseek(family) ? deepseek_tensors() : dense_tensors();
}

const TensorRow& row_of(formats::Family family, Role role) {
  for (const TensorRow& row : tensors_of(family)) {
    if (row.role == role) return row;
  }
  NARU_CHECK(false, "no such tensor in the family", static_cast<int>(role), family_name(family));
}

std::string tensor_name(formats::Family family, Role role, bool is_gguf, int64_t layer, int64_t expert) {
  for (const TensorRow& row : tensors_of(family)) {
    if (row.role != role) continue;
    std::string name(is_gguf ? row.gguf : row.hugging_face);
    replace(name, "{l}", layer);
    replace(name, "{e}", expert);
    return name;
  }
  return "";
}

std::optional<NamedPlace> place_of(formats::Family family, std::string_view hugging_face_name) {
  for (const TensorRow& row : tensors_of(family)) {
    NamedPlace place{.role = row.role};
    if (!row.hugging_face.empty() && matches(row.hugging_face, hugging_face_name, place)) return place;
  }
  return std::nullopt;
}

}  // namespace naru::models
