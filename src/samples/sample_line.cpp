#include "samples/sample_line.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "formats/json.h"
#include "runs/json_lines.h"

namespace naru::samples {
namespace {

using OrderedJson = nlohmann::ordered_json;

// Quotation marks inside of texts are escaped: it stands once in a line, behind the learnt part.
constexpr std::string_view kSampleKey = ", \"sample\": {";

OrderedJson facts_json(const SampleFacts& f) {
  OrderedJson rewards = OrderedJson::object();
  for (const auto& [name, value] : f.rewards) rewards[name] = value;
  return {{"model", f.model_sha256},  {"seed", f.seed},         {"number", f.number},           {"problem", f.problem},
          {"draw", f.draw},           {"language", f.language}, {"tokens", f.n_tokens},         {"right", f.is_right},
          {"pass_rate", f.pass_rate}, {"reward", f.reward},     {"rewards", std::move(rewards)}};
}

Error no_sample(std::string_view place) {
  return {Code::kCorrupt, fmt::format("reading {}: it is no line of a run of kind rejection; bring the file back, or "
                                      "begin anew with --start-over, which sets the old files aside",
                                      place)};
}

}  // namespace

std::string kept_line(const std::string& learnt_part, const SampleFacts& facts) {
  return fmt::format("{{{}, \"sample\": {}}}\n", learnt_part, runs::json_line(facts_json(facts)));
}

std::string dropped_line(Reason reason, std::string_view prompt, std::string_view answer, const SampleFacts& facts) {
  return fmt::format("{{\"dropped\": \"{}\", \"prompt\": {}, \"answer\": {}, \"sample\": {}}}\n", reason_name(reason),
                     runs::json_line(OrderedJson(std::string(prompt))),
                     runs::json_line(OrderedJson(std::string(answer))), runs::json_line(facts_json(facts)));
}

Result<ReadLine> parse_line(std::string_view line, std::string_view place) {
  const auto json = formats::parse_json(as_bytes(line), place);
  if (!json.ok() || !json->is_object() || !json->contains("sample") || !(*json)["sample"].is_object()) {
    return no_sample(place);
  }
  const nlohmann::json& facts = (*json)["sample"];
  ReadLine read;
  const auto number = runs::json_whole(facts, "number"), draw = runs::json_whole(facts, "draw"),
             tokens = runs::json_whole(facts, "tokens");
  const bool is_whole = number && draw && tokens && facts.contains("right") && facts["right"].is_boolean();
  if (!is_whole || *number < 0 || *draw < 0 || *tokens < 0) return no_sample(place);
  read.number = *number;
  read.draw = *draw;
  read.n_tokens = *tokens;
  read.is_right = facts["right"].get<bool>();
  read.language = runs::json_text_of(facts, "language");
  if (json->contains("dropped")) {
    read.dropped = reason_from_name(runs::json_text_of(*json, "dropped"));
    if (!read.dropped) return no_sample(place);
    return read;
  }
  const size_t end = line.rfind(kSampleKey);
  if (end == std::string_view::npos || end == 0) return no_sample(place);
  read.learnt_part = std::string(line.substr(1, end - 1));
  return read;
}

}  // namespace naru::samples
