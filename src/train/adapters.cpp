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

}  // namespace

formats::AdapterConfig adapter_config(const recipes::LoraRecipe& lora) {
  return {.rank = lora.rank, .alpha = lora.alpha, .is_rank_stabilised = false, .targets = lora.targets};
}

Status list_adapters(const recipes::LoraRecipe& lora, std::vector<models::Parameter>& parameters) {
  const std::vector<std::string_view> possible = models::adaptable_parts();
  std::vector<models::Parameter> added;
  for (const std::string& target : lora.targets) {
    const bool is_possible = std::find(possible.begin(), possible.end(), target) != possible.end();
    const bool is_there = std::any_of(parameters.begin(), parameters.end(),
                                      [&](const models::Parameter& p) { return is_chosen(target, p); });
    if (is_possible && is_there) continue;
    return Error{Code::kInvalidArgument,
                 fmt::format("preparing adapters: lora.targets: '{}' {}; choose from {}", target,
                             is_possible ? "names no matrix of this model" : "cannot have an adapter",
                             fmt::join(possible, ", "))};
  }
  for (const models::Parameter& parameter : parameters) {
    const bool is_wanted = std::any_of(lora.targets.begin(), lora.targets.end(),
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
