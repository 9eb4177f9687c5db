#include "models/tied_head.h"

#include <fmt/format.h>

#include <cstring>

#include "models/stored_tensor.h"

namespace naru::models {
namespace {

// By value, so that the same table in two kinds is equal; no NaN is.
bool are_equal(const StoredTensor& a, const StoredTensor& b, int64_t rows) {
  std::vector<float> row_a(static_cast<size_t>(a.cols)), row_b(row_a.size());
  for (int64_t i = 0; i < rows; ++i) {
    const bool is_same_kind = a.dtype == b.dtype && a.scales.empty() && b.scales.empty();
    if (is_same_kind && std::memcmp(a.row(i), b.row(i), static_cast<size_t>(a.row_bytes)) == 0) continue;
    a.widen(i, row_a.data());
    b.widen(i, row_b.data());
    if (row_a != row_b) return false;
  }
  return true;
}

}  // namespace

Result<std::vector<std::string>> settle_tied_head(const formats::TensorFiles& files, formats::ModelConfig& config) {
  if (!config.tie_embeddings || config.from_gguf) return std::vector<std::string>();  // GGUF says it by its tensors
  for (const Role role : {Role::kEmbed, Role::kHead}) {
    if (files.find(tensor_name(config.family, role, false)) == nullptr) return std::vector<std::string>();
  }
  NARU_ASSIGN(const StoredTensor embed, find_stored_tensor(files, config, Role::kEmbed));
  NARU_ASSIGN(const StoredTensor head, find_stored_tensor(files, config, Role::kHead));
  NARU_TRY(files.check_unchanged());
  const bool is_tied = are_equal(embed, head, config.vocab);
  for (const StoredTensor& tensor : {embed, head}) files.drop(*tensor.entry, 0, tensor.entry->bytes);
  if (is_tied) return std::vector<std::string>();
  config.tie_embeddings = false;
  return std::vector<std::string>{
      fmt::format("the config ties the head to the embedding (tie_word_embeddings), but {} has other values than {} in "
                  "the file: the file's head is used, as transformers does",
                  head.entry->name, embed.entry->name)};
}

}  // namespace naru::models
