#include "runs/pipeline_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/open_file.h"
#include "formats/json.h"
#include "runs/json_lines.h"
#include "runs/run_files.h"

namespace naru::runs {
namespace {

namespace fs = std::filesystem;
using OrderedJson = nlohmann::ordered_json;

Error damaged_scores(const fs::path& path, std::string_view why) {
  return {Code::kCorrupt, fmt::format("reading {}: {}, the evaluations of a pipeline were wanted; move it away: they "
                                      "are made again",
                                      path.string(), why)};
}

OrderedJson share_json(const std::optional<ScoredShare>& share) {
  if (!share) return nullptr;
  return {{"mean", share->mean}, {"low", share->low}, {"high", share->high}};
}

std::optional<ScoredShare> share_of(const nlohmann::json& line, const char* key) {
  if (!line.contains(key) || !line[key].is_object()) return std::nullopt;
  const auto mean = json_number(line[key], "mean"), low = json_number(line[key], "low"),
             high = json_number(line[key], "high");
  const auto is_share = [](const std::optional<double>& value) { return value && *value >= 0 && *value <= 1; };
  if (!is_share(mean) || !is_share(low) || !is_share(high)) return std::nullopt;
  return ScoredShare{*mean, *low, *high};
}

OrderedJson lines_json(const Evaluation& evaluation) {
  OrderedJson lines = OrderedJson::array();
  for (const ScoreLine& line : evaluation.lines) {
    lines.push_back({{"language", line.language.empty() ? "all" : line.language},
                     {"problems", line.n_problems},
                     {"greedy", share_json(line.greedy)},
                     {"drawn", share_json(line.drawn)},
                     {"any", share_json(line.any)},
                     {"language_share", line.language_share},
                     {"tokens", line.tokens},
                     {"cut_share", line.cut_share}});
  }
  return lines;
}

std::optional<ScoreLine> score_line_of(const nlohmann::json& json) {
  if (!json.is_object()) return std::nullopt;
  ScoreLine line;
  line.language = json_text_of(json, "language");
  if (line.language == "all") line.language.clear();
  const auto greedy = share_of(json, "greedy");
  const auto n = json_whole(json, "problems");
  const auto language = json_number(json, "language_share"), tokens = json_number(json, "tokens"),
             cut = json_number(json, "cut_share");
  if (!greedy || !n || *n < 0 || !language || !tokens || !cut) return std::nullopt;
  line.n_problems = *n;
  line.greedy = *greedy;
  line.drawn = share_of(json, "drawn");
  line.any = share_of(json, "any");
  line.language_share = *language;
  line.tokens = *tokens;
  line.cut_share = *cut;
  return line;
}

OrderedJson evaluation_json(const Evaluation& evaluation) {
  return {{"key", evaluation.key},
          {"problems", evaluation.problems},
          {"model_sha256", evaluation.model_sha256},
          {"answers_sha256", evaluation.answers_sha256},
          {"samples", evaluation.samples},
          {"asked", evaluation.is_chat ? "chat" : "text"},
          {"lines", lines_json(evaluation)}};
}

std::optional<Evaluation> evaluation_of(const nlohmann::json& json) {
  if (!json.is_object() || !json.contains("lines") || !json["lines"].is_array()) return std::nullopt;
  Evaluation evaluation;
  evaluation.key = json_text_of(json, "key");
  evaluation.problems = json_text_of(json, "problems");
  evaluation.model_sha256 = json_text_of(json, "model_sha256");
  evaluation.answers_sha256 = json_text_of(json, "answers_sha256");
  evaluation.samples = std::max<int64_t>(0, json_whole(json, "samples").value_or(0));
  evaluation.is_chat = json_text_of(json, "asked") == "chat";
  for (const nlohmann::json& one : json["lines"]) {
    auto line = score_line_of(one);
    if (!line) return std::nullopt;
    evaluation.lines.push_back(std::move(*line));
  }
  if (evaluation.key.empty() || evaluation.problems.empty() || evaluation.lines.empty()) return std::nullopt;
  return evaluation;
}

std::optional<ScoredModel> scored_model_of(const nlohmann::json& json) {
  if (!json.is_object() || !json.contains("keys") || !json["keys"].is_array()) return std::nullopt;
  ScoredModel model;
  model.name = json_text_of(json, "name");
  model.from = json_text_of(json, "from");
  model.is_start = json.contains("start") && json["start"].is_boolean() && json["start"].get<bool>();
  for (const nlohmann::json& key : json["keys"]) {
    if (!key.is_string()) return std::nullopt;
    model.keys.push_back(key.get<std::string>());
  }
  if (model.name.empty()) return std::nullopt;
  return model;
}

// Reads the list `key` of objects into `into`; false where it is none.
template <typename T, typename Read>
bool read_list(const nlohmann::json& json, const char* key, const Read& read, std::vector<T>& into) {
  if (!json.contains(key) || !json[key].is_array() || std::ssize(json[key]) > kEvaluationsMax) return false;
  for (const nlohmann::json& one : json[key]) {
    auto value = read(one);
    if (!value) return false;
    into.push_back(std::move(*value));
  }
  return true;
}

}  // namespace

const Evaluation* PipelineScores::find(const std::string& key) const {
  const auto found =
      std::find_if(evaluations.begin(), evaluations.end(), [&key](const auto& e) { return e.key == key; });
  return found == evaluations.end() ? nullptr : &*found;
}

const ScoredModel* PipelineScores::model(const std::string& name) const {
  const auto found = std::find_if(models.begin(), models.end(), [&name](const auto& m) { return m.name == name; });
  return found == models.end() ? nullptr : &*found;
}

const Evaluation* PipelineScores::of(const ScoredModel& model, const std::string& problems) const {
  for (const std::string& key : model.keys) {
    const Evaluation* const evaluation = find(key);
    if (evaluation != nullptr && evaluation->problems == problems) return evaluation;
  }
  return nullptr;
}

std::vector<std::string> PipelineScores::problem_kinds() const {
  std::vector<std::string> kinds;
  for (const ScoredModel& model : models) {
    for (const std::string& key : model.keys) {
      const Evaluation* const evaluation = find(key);
      if (evaluation == nullptr || std::find(kinds.begin(), kinds.end(), evaluation->problems) != kinds.end()) continue;
      kinds.push_back(evaluation->problems);
    }
  }
  return kinds;
}

Result<PipelineScores> read_pipeline_scores(const fs::path& folder) {
  const fs::path path = folder / kEvaluationsFile;
  PipelineScores scores;
  NARU_ASSIGN(const bool is_there, is_anything(path));
  if (!is_there) return scores;
  NARU_ASSIGN(const std::string text, read_file(path, kEvaluationsBytesMax));
  const auto json = formats::parse_json(as_bytes(text), path.string(), {.bytes_max = kEvaluationsBytesMax});
  if (!json.ok()) return damaged_scores(path, "it is no JSON");
  if (!read_list(*json, "evaluations", evaluation_of, scores.evaluations)) {
    return damaged_scores(path, "an evaluation in it is none");
  }
  if (!read_list(*json, "models", scored_model_of, scores.models)) return damaged_scores(path, "a model in it is none");
  return scores;
}

Status write_pipeline_scores(const fs::path& folder, const PipelineScores& scores) {
  OrderedJson json = {{"format", 1}};
  json["models"] = OrderedJson::array();
  for (const ScoredModel& model : scores.models) {
    json["models"].push_back(
        {{"name", model.name}, {"start", model.is_start}, {"from", model.from}, {"keys", model.keys}});
  }
  json["evaluations"] = OrderedJson::array();
  for (const Evaluation& evaluation : scores.evaluations) json["evaluations"].push_back(evaluation_json(evaluation));
  NARU_ASSIGN(AtomicFile file, AtomicFile::create(folder / kEvaluationsFile));
  NARU_TRY(file.write(as_bytes(json.dump(1, ' ', false, OrderedJson::error_handler_t::replace) + "\n")));
  return file.commit();
}

OrderedJson scores_json(const PipelineScores& scores) {
  OrderedJson list = OrderedJson::array();
  for (const ScoredModel& model : scores.models) {
    OrderedJson evaluations = OrderedJson::array();
    for (const std::string& key : model.keys) {
      if (const Evaluation* const evaluation = scores.find(key)) evaluations.push_back(evaluation_json(*evaluation));
    }
    list.push_back({{"model", model.name},
                    {"start", model.is_start},
                    {"from", model.from.empty() ? OrderedJson(nullptr) : OrderedJson(model.from)},
                    {"evaluations", std::move(evaluations)}});
  }
  return list;
}

}  // namespace naru::runs
