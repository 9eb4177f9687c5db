#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/eval.h"
#include "cli/interrupts.h"
#include "cli/open_model.h"
#include "cli/progress.h"
#include "formats/tokenizer_files.h"

namespace naru::cli {
namespace {

Result<text::ChatTokenizer> open_tokenizer(const std::string& path, const std::string& name, int64_t vocab) {
  auto data = read_tokenizer_data(path);
  if (!data.ok()) {
    return Error{data.error().code,
                 fmt::format("evaluating {}: no text without a tokenizer: {}; put the tokenizer's files beside the "
                             "weights",
                             name, data.error().message)};
  }
  NARU_TRY(formats::leave_out_foreign_tokens(*data, vocab));
  return text::ChatTokenizer::create(std::move(data).value());
}

Status add_digests(formats::TensorFiles& files, std::string_view folder, std::vector<formats::FileDigest>& digests) {
  Progress progress("hashing", Progress::Unit::kBytes);
  auto found = files.digests([&progress](int64_t done, int64_t total) {
    progress.update(done, total);
    return !is_interrupted();
  });
  if (!found.ok()) return std::move(found).error();
  for (formats::FileDigest& digest : *found) {
    digest.name = std::string(folder) + digest.name;
    digests.push_back(std::move(digest));
  }
  return {};
}

}  // namespace

std::string longer_name(const std::string& path) {
  const std::filesystem::path whole = std::filesystem::absolute(path).lexically_normal();
  const std::filesystem::path place = whole.filename().empty() ? whole.parent_path() : whole;
  return (place.parent_path().filename() / place.filename()).string();
}

Result<EvalModel> open_eval_model(const ModelOptions& options) {
  NARU_ASSIGN(models::ModelFiles files, open_files(options));
  std::string name = short_name(options.path);
  if (name == "model") name = longer_name(options.path);  // of a run
  std::vector<formats::FileDigest> digests;
  NARU_ASSIGN(text::ChatTokenizer text, open_tokenizer(options.path, name, files.config.vocab));
  NARU_TRY(add_digests(files.tensors, "", digests));
  if (files.adapter) NARU_TRY(add_digests(files.adapter->tensors, "adapter/", digests));
  return EvalModel{std::move(name), std::move(files), std::move(digests), std::move(text)};
}

Json digests_json(const std::vector<formats::FileDigest>& digests) {
  Json json = Json::array();
  for (const formats::FileDigest& digest : digests) {
    json.push_back({{"name", digest.name}, {"bytes", digest.bytes}, {"sha256", digest.sha256}});
  }
  return json;
}

}  // namespace naru::cli
