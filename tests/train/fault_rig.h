// Runs on a chip with a fault in front, begun again until they are done, and the weights of clean ones.
#pragma once

#include <fmt/format.h>

#include "check/faulty_chip.h"
#include "check/watched_chip.h"
#include "runs/run_folder.h"
#include "tests/train/trainer_rig.h"

namespace naru::train {

inline constexpr int kStartsMax = 60;

// A chip with a fault, as `naru train --inject` makes it: at rest until the run is open, then drawn anew each start.
struct FaultyTrainChip {
  explicit FaultyTrainChip(const std::string& text) : notes(std::make_shared<check::CallNotes>()) {
    auto made = std::make_unique<check::FaultyChip>(test::make_test_chip(), check::parse_fault(text).value());
    made->rest();
    faulty = made.get();
    chip = std::make_unique<check::WatchedChip>(std::move(made), notes);
  }
  TrainerEvents events() {
    TrainerEvents events;
    events.opened = [chip = faulty](int64_t n_starts, int64_t step) {
      chip->begin(static_cast<uint64_t>(n_starts) << 32 | static_cast<uint64_t>(step));
    };
    events.note = [this](std::string_view line) { notes_said.emplace_back(line); };
    return events;
  }
  bool said(std::string_view part) const {
    for (const std::string& line : notes_said) {
      if (line.find(part) != std::string::npos) return true;
    }
    return false;
  }

  std::shared_ptr<check::CallNotes> notes;
  check::FaultyChip* faulty = nullptr;
  std::unique_ptr<contract::Chip> chip;
  std::vector<std::string> notes_said;
};

struct Ended {
  std::string weights;
  int64_t n_differences = 0, n_faults = 0;
  std::vector<std::string> errors;  // of the starts that failed
  int64_t n_redrawn = 0;            // rollouts
};

// Begun again until it is done.
inline Ended run_under(const TrainerRig& rig, const recipes::Recipe& recipe, const std::string& fault) {
  Ended ended;
  for (int n = 0; n < kStartsMax; ++n) {
    FaultyTrainChip chip(fault);
    const auto result = rig.run(recipe, *chip.chip, chip.events());
    ended.n_faults += chip.faulty->n_faults();
    for (const std::string& line : chip.notes_said) ended.n_redrawn += line.ends_with("; drawing it again") ? 1 : 0;
    if (!result.ok()) {
      ended.errors.push_back(result.error().message);
      continue;
    }
    EXPECT_TRUE(result->is_done);
    ended.weights = result->weights_sha256;
    ended.n_differences = result->recheck_differences;
    return ended;
  }
  ADD_FAILURE() << fault << ": not done after " << kStartsMax << " starts: " << ended.errors.back();
  return ended;
}

inline recipes::Recipe rechecked(const TrainerRig& rig, const std::string& name,
                                 const std::string& config = "llama.json") {
  recipes::Recipe recipe = rig.recipe(name, config);
  recipe.guard.recheck_every = 1;
  recipe.validate.every = 2;
  recipe.validation = recipe.data;
  recipe.validation[0].documents = 8;
  return recipe;
}

inline std::string clean_weights(const TrainerRig& rig, recipes::Recipe recipe) {
  recipe.output = rig.run_folder(recipe.name + "-clean").string();
  recipe.guard.recheck_every = 0;
  return rig.finished(recipe, best_cpu());
}

}  // namespace naru::train
