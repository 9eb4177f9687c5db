// RunKind: what a run does with its data. The one table of their names, for recipes, messages and files.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace naru::recipes {

enum class RunKind : uint8_t {
  kPretrain,   // loss on every token
  kSft,        // loss on the assistant's turns only
  kGrpo,       // reinforcement learning: answers of the model itself, judged, in groups
  kRejection,  // no training: answers of the model, judged, and the good ones kept as training data
  kDistill,    // answers of the model itself, at every token of which it learns what teachers would have said
};

inline constexpr std::array<std::string_view, 5> kRunKindNames = {"pretrain", "sft", "grpo", "rejection",
                                                                  "distill"};  // by RunKind

// Whether it learns from answers of its own to problems.
constexpr bool has_rollouts(RunKind kind) {
  return kind == RunKind::kGrpo || kind == RunKind::kDistill;
}

constexpr std::string_view run_kind_name(RunKind kind) {
  return kRunKindNames[static_cast<size_t>(kind)];
}

constexpr std::optional<RunKind> run_kind_from_name(std::string_view name) {
  for (size_t i = 0; i < kRunKindNames.size(); ++i) {
    if (kRunKindNames[i] == name) return static_cast<RunKind>(i);
  }
  return std::nullopt;
}

}  // namespace naru::recipes
