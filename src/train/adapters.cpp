#include "train/adapters.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/philox.h"
#include "models/adapters.h"

namespace naru::train {
namespace {

using models::kLoraA;
using models::kLoraB;
using models::kWeight;

bool is_chosen(const std::string& target, const models::Parameter& parameter) {
  return models::can_adapt(parameter) && models::last_part(parameter.name) == target;
}

// The parts of the model that can have an adapter, each once.
std::vector<std::string> possible_targets(const std::vector<models::Parameter>& parameters) {
  std::vector<std::string> parts;
  for (const models::Parameter& parameter : parameters) {
    std::string part(models::last_part(parameter.name));
    if (!models::can_adapt(parameter) || std::find(parts.begin(), parts.end(), part) != parts.end()) continue;
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace

std::vector<std::string> chosen_targets(const recipes::LoraRecipe& lora,
                                        const std::vector<models::Parameter>& parameters) {
  const bool is_all = std::find(lora.targets.begin(), lora.targets.end(), recipes::kAllTargets) != lora.targets.end();
  return is_all ? possible_targets(parameters) : lora.targets;
}

formats::AdapterConfig adapter_config(const recipes::LoraRecipe& lora,
                                      const std::vector<models::Parameter>& parameters) {
  return {
      .rank = lora.rank, .alpha = lora.alpha, .is_rank_stabilised = false, .targets = chosen_targets(lora, parameters)};
}

Status list_adapters(const recipes::LoraRecipe& lora, std::vector<models::Parameter>& parameters) {
  const std::vector<std::string> targets = chosen_targets(lora, parameters);
  const std::vector<std::string> possible = possible_targets(parameters);
  std::vector<models::Parameter> added;
  for (const std::string& target : targets) {
    if (std::find(possible.begin(), possible.end(), target) != possible.end()) continue;
    const auto anywhere = models::adaptable_parts();
    const bool is_of_others = std::find(anywhere.begin(), anywhere.end(), target) != anywhere.end();
    return Error{
        Code::kInvalidArgument,
        fmt::format("preparing adapters: lora.targets: '{}' {}; choose from {}, or leave the key out, which is "
                    "all of them",
                    target, is_of_others ? "names no matrix of this model" : "cannot have an adapter",
                    fmt::join(possible, ", "))};
  }
  for (const models::Parameter& parameter : parameters) {
    const bool is_wanted = std::any_of(targets.begin(), targets.end(),
                                       [&](const std::string& target) { return is_chosen(target, parameter); });
    if (!is_wanted) continue;
    const std::string stem = parameter.name.substr(0, parameter.name.size() - kWeight.size());
    added.push_back({stem + std::string(kLoraA), {lora.rank, parameter.cols()}, models::ParameterUse::kMatrix});
    added.push_back({stem + std::string(kLoraB), {parameter.rows(), lora.rank}, models::ParameterUse::kMatrix});
  }
  parameters.insert(parameters.end(), added.begin(), added.end());
  return {};
}

std::string adapted_module(const std::string& adapter_name) {
  const bool is_adapter = adapter_name.ends_with(kLoraA) || adapter_name.ends_with(kLoraB);
  NARU_CHECK(is_adapter, adapter_name);
  return adapter_name.substr(0, adapter_name.size() - kLoraA.size());
}

std::string adapted_name(const std::string& adapter_name) {
  return adapted_module(adapter_name) + std::string(kWeight);
}

void draw_adapter(const models::Parameter& parameter, int64_t index, uint64_t seed, float* out) {
  if (parameter.name.ends_with(kLoraB)) {
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
