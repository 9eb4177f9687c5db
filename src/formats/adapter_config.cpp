#include "formats/adapter_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "formats/json.h"

namespace naru::formats {
namespace {

constexpr std::string_view kMergeIt = "merge the adapter into its model with PEFT (merge_and_unload) and run that";

// A key that says something else than `neutral` when its adapter does what is not done here.
struct Refused {
  std::string_view key;
  std::string_view what;
};
constexpr Refused kRefused[] = {
    {"use_dora", "DoRA"},
    {"use_qalora", "QALoRA"},
    {"use_bdlora", "BD-LoRA"},
    {"lora_bias", "biases beside low-rank parts"},
    {"fan_in_fan_out", "transposed weights"},
    {"modules_to_save", "modules trained whole"},
    {"rank_pattern", "ranks by module"},
    {"alpha_pattern", "scales by module"},
    {"layer_replication", "replicated layers"},
    {"trainable_token_indices", "trained tokens"},
    {"target_parameters", "adapted parameters of experts"},
    {"alora_invocation_tokens", "activated LoRA"},
    {"arrow_config", "Arrow routing"},
    {"kasa_config", "KaSA"},
    {"monteclora_config", "MonteCLoRA"},
    {"velora_config", "VeLoRA"},
    {"megatron_config", "Megatron's layers"},
};

// null, false, [], {}, "": the option is off.
bool is_off(const nlohmann::json& value) {
  return value.is_null() || value == false ||
         ((value.is_array() || value.is_object() || value.is_string()) && (value.empty() || value == ""));
}

Status check_options(const JsonObject& root) {
  const auto refuse = [&](std::string_view key, std::string_view wanted) {
    return root.wrong(Code::kUnsupported, key, json_brief(*root.find(key)), wanted, kMergeIt);
  };
  NARU_ASSIGN(const std::string type, root.get_string("peft_type"));
  if (type != "LORA") return refuse("peft_type", "\"LORA\", the one kind of adapter that is done here,");
  for (const Refused& refused : kRefused) {
    const nlohmann::json* value = root.find(refused.key);
    if (value == nullptr || is_off(*value)) continue;
    return refuse(refused.key, fmt::format("no such option ({} is not done here)", refused.what));
  }
  NARU_ASSIGN(const std::string bias, root.get_string_or("bias", "none"));
  if (bias != "none") return refuse("bias", "\"none\" (trained biases are not done here)");
  // These change the weights of the model itself when an adapter is made or loaded; the others only draw first values.
  const nlohmann::json* init = root.find("init_lora_weights");
  if (init != nullptr && !init->is_boolean() && *init != "gaussian" && *init != "eva" && *init != "orthogonal") {
    return refuse("init_lora_weights", "true, false, \"gaussian\", \"eva\" or \"orthogonal\"");
  }
  return {};
}

}  // namespace

float AdapterConfig::scale() const {
  const auto n = static_cast<double>(rank);
  return static_cast<float>(alpha / (is_rank_stabilised ? std::sqrt(n) : n));
}

Result<AdapterConfig> parse_adapter_config(Bytes json, std::string_view name) {
  NARU_ASSIGN(const nlohmann::json document, parse_json(json, name, {.bytes_max = kAdapterConfigBytesMax}));
  NARU_ASSIGN(const JsonObject root, JsonObject::of(document, name));
  NARU_TRY(check_options(root));
  AdapterConfig config;
  NARU_ASSIGN(config.rank, root.get_int("r", 1, kAdapterRankMax));
  NARU_ASSIGN(config.alpha, root.get_double("lora_alpha"));
  if (!(std::fabs(config.alpha) <= 1e6)) {
    return root.wrong(Code::kCorrupt, "lora_alpha", fmt::format("{}", config.alpha), "a number from -1e6 to 1e6",
                      "correct the file, or fetch the adapter again");
  }
  NARU_ASSIGN(config.is_rank_stabilised, root.get_bool_or("use_rslora", false));
  const nlohmann::json* targets = root.find("target_modules");
  if (targets != nullptr && targets->is_string()) return config;  // a pattern
  NARU_ASSIGN(const auto list, root.find_array("target_modules"));
  for (const nlohmann::json* target : list) {
    if (!target->is_string() || target->get_ref<const std::string&>().empty()) {
      return root.wrong(Code::kCorrupt, "target_modules", "a list with " + json_brief(*target),
                        "a list of names of modules, or a pattern", "correct the file, or fetch the adapter again");
    }
    config.targets.push_back(target->get<std::string>());
  }
  return config;
}

Result<AdapterConfig> read_adapter_config(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "adapter_config.json";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    return Error{Code::kNotFound,
                 fmt::format("opening the adapter {}: there is no adapter_config.json; give the folder that PEFT or a "
                             "run of naru with [lora] wrote",
                             folder.string())};
  }
  NARU_ASSIGN(const std::string text, read_file(path, kAdapterConfigBytesMax));
  return parse_adapter_config(as_bytes(text), path.string());
}

std::string adapter_config_json(const AdapterConfig& config, const std::string& base) {
  nlohmann::ordered_json json;
  json["base_model_name_or_path"] = base;
  json["bias"] = "none";
  json["fan_in_fan_out"] = false;
  json["inference_mode"] = true;
  json["init_lora_weights"] = true;
  json["lora_alpha"] = config.alpha;
  json["lora_dropout"] = 0.0;
  json["modules_to_save"] = nullptr;
  json["peft_type"] = "LORA";
  json["r"] = config.rank;
  json["target_modules"] = config.targets;
  json["task_type"] = "CAUSAL_LM";
  json["use_dora"] = false;
  json["use_rslora"] = config.is_rank_stabilised;
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace naru::formats
