#include "train/adapters.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/philox.h"

namespace naru::train {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr std::string_view kA = ".lora_A.weight";
constexpr std::string_view kB = ".lora_B.weight";
// Of all matrices in layers, those whose products a layer issues one by one.
constexpr std::string_view kPossible[] = {
    "q_proj",    "k_proj",  "v_proj",   "o_proj", "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa",
    "gate_proj", "up_proj", "down_proj"};

// "q_proj" of "model.layers.0.self_attn.q_proj.weight".
std::string last_part(const std::string& name) {
  if (!name.ends_with(kWeight)) return "";
  const std::string stem = name.substr(0, name.size() - kWeight.size());
  return stem.substr(stem.rfind('.') + 1);
}

bool is_chosen(const std::string& target, const models::Parameter& parameter) {
  return parameter.use == models::ParameterUse::kMatrix && last_part(parameter.name) == target &&
         parameter.name.find(".experts.") == std::string::npos;
}

}  // namespace

formats::AdapterConfig adapter_config(const recipes::LoraRecipe& lora) {
  return {.rank = lora.rank, .alpha = lora.alpha, .is_rank_stabilised = false, .targets = lora.targets};
}

Status list_adapters(const recipes::LoraRecipe& lora, std::vector<models::Parameter>& parameters) {
  std::vector<models::Parameter> added;
  for (const std::string& target : lora.targets) {
    const bool is_possible = std::find(std::begin(kPossible), std::end(kPossible), target) != std::end(kPossible);
    const bool is_there = std::any_of(parameters.begin(), parameters.end(),
                                      [&](const models::Parameter& p) { return is_chosen(target, p); });
    if (is_possible && is_there) continue;
    return Error{Code::kInvalidArgument,
                 fmt::format("preparing adapters: lora.targets: '{}' {}; choose from {}", target,
                             is_possible ? "names no matrix of this model" : "cannot have an adapter",
                             fmt::join(kPossible, ", "))};
  }
  for (const models::Parameter& parameter : parameters) {
    const bool is_wanted = std::any_of(lora.targets.begin(), lora.targets.end(),
                                       [&](const std::string& target) { return is_chosen(target, parameter); });
    if (!is_wanted) continue;
    const std::string stem = parameter.name.substr(0, parameter.name.size() - kWeight.size());
    added.push_back({stem + std::string(kA), {lora.rank, parameter.cols()}, models::ParameterUse::kMatrix});
    added.push_back({stem + std::string(kB), {parameter.rows(), lora.rank}, models::ParameterUse::kMatrix});
  }
  parameters.insert(parameters.end(), added.begin(), added.end());
  return {};
}

std::string adapted_module(const std::string& adapter_name) {
  const bool is_adapter = adapter_name.ends_with(kA) || adapter_name.ends_with(kB);
  NARU_CHECK(is_adapter, adapter_name);
  return adapter_name.substr(0, adapter_name.size() - kA.size());
}

std::string adapted_name(const std::string& adapter_name) {
  return adapted_module(adapter_name) + std::string(kWeight);
}

void draw_adapter(const models::Parameter& parameter, int64_t index, uint64_t seed, float* out) {
  if (parameter.name.ends_with(kB)) {
    std::fill_n(out, parameter.n_elements(), 0.0f);
    return;
  }
  const double bound = std::sqrt(3.0 / static_cast<double>(parameter.cols()));
  for (int64_t i = 0; i < parameter.n_elements(); ++i) {
    const double u = uniform_53(draw(seed, DrawPurpose::kInit, static_cast<uint32_t>(index), static_cast<uint64_t>(i)));
    out[i] = static_cast<float>((2 * u - 1) * bound);
  }
}

}  // namespace naru::train
