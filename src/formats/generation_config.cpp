#include "formats/generation_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/file.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "formats/json.h"
#include "formats/model_config.h"
#include "formats/model_config_check.h"
#include "formats/tensor_file.h"

namespace naru::formats {
namespace {

// Both kinds of file: the same fields, each with its range.
template <typename Source>
Result<std::optional<double>> number_of(const Source& source, std::string_view key, double min, double max) {
  NARU_ASSIGN(const std::optional<double> value, source.find_double(key));
  if (value && !(*value >= min && *value <= max)) {
    return source.wrong(Code::kCorrupt, key, fmt::format("{}", *value), fmt::format("a number from {} to {}", min, max),
                        kCorrectConfig);
  }
  return value;
}

constexpr double kPenaltyMin = 1e-6, kNumberMax = 1e6;

void drop_negative(std::vector<int32_t>& ids) {
  std::erase_if(ids, [](int32_t id) { return id < 0; });  // -1 means none
}

}  // namespace

Result<GenerationConfig> parse_generation_config(Bytes json, std::string_view name) {
  NARU_ASSIGN(const nlohmann::json document, parse_json(json, name, {.bytes_max = kConfigBytesMax}));
  NARU_ASSIGN(const JsonObject root, JsonObject::of(document, name));
  GenerationConfig config;
  NARU_ASSIGN(config.do_sample, root.find_bool("do_sample"));
  NARU_ASSIGN(config.temperature, number_of(root, "temperature", 0, kNumberMax));
  NARU_ASSIGN(config.top_k, root.find_int("top_k", 0, INT32_MAX));
  NARU_ASSIGN(config.top_p, number_of(root, "top_p", 0, 1));
  NARU_ASSIGN(config.min_p, number_of(root, "min_p", 0, 1));
  NARU_ASSIGN(config.repetition_penalty, number_of(root, "repetition_penalty", kPenaltyMin, kNumberMax));
  NARU_ASSIGN(config.bos_ids, root.find_ids("bos_token_id", -1, INT32_MAX));
  NARU_ASSIGN(config.eos_ids, root.find_ids("eos_token_id", -1, INT32_MAX));
  drop_negative(config.bos_ids);
  drop_negative(config.eos_ids);
  NARU_ASSIGN(const auto pad, root.find_int("pad_token_id", -1, INT32_MAX));
  if (pad && *pad >= 0) config.pad_id = static_cast<int32_t>(*pad);
  return config;
}

Result<GenerationConfig> read_generation_config(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "generation_config.json";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return GenerationConfig{};
  NARU_ASSIGN(const std::string text, read_file(path, kConfigBytesMax));
  return parse_generation_config(as_bytes(text), path.string());
}

Result<GenerationConfig> generation_config_of(const GgufIndex& index) {
  GenerationConfig config;
  NARU_ASSIGN(config.temperature, number_of(index, "general.sampling.temp", -kNumberMax, kNumberMax));
  if (config.temperature && *config.temperature < 0) config.temperature = 0;  // llama.cpp: greedy
  NARU_ASSIGN(config.top_k, index.find_int("general.sampling.top_k", INT32_MIN, INT32_MAX));
  if (config.top_k && *config.top_k < 0) config.top_k = 0;  // llama.cpp: the whole vocabulary
  NARU_ASSIGN(config.top_p, number_of(index, "general.sampling.top_p", 0, 1));
  NARU_ASSIGN(config.min_p, number_of(index, "general.sampling.min_p", 0, 1));
  NARU_ASSIGN(config.repetition_penalty, number_of(index, "general.sampling.penalty_repeat", kPenaltyMin, kNumberMax));
  return config;
}

Result<GenerationConfig> generation_config_of(const TensorFiles& files) {
  return files.gguf() != nullptr ? generation_config_of(*files.gguf()) : read_generation_config(files.folder());
}

void add_generation_config(const GenerationConfig& advice, GgufWriter& writer) {
  const auto number = [&writer](std::string_view key, const std::optional<double>& value) {
    if (value) writer.add_f32(fmt::format("general.sampling.{}", key), static_cast<float>(*value));
  };
  number("temp", advice.do_sample == false ? std::optional<double>(0) : advice.temperature);
  if (advice.top_k) writer.add_i32("general.sampling.top_k", static_cast<int32_t>(*advice.top_k));
  number("top_p", advice.top_p);
  number("min_p", advice.min_p);
  number("penalty_repeat", advice.repetition_penalty);
}

}  // namespace naru::formats
