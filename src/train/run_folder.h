// RunFolder: the folder of one run. recipe.toml (effective), run.json (what it is: status, machine, numerics id, steps,
// times, hashes; replaced atomically), metrics.jsonl (one object a line, appended), samples.jsonl, tensorboard/,
// checkpoints/, model/ (the result), report.html. A lock keeps a second trainer out as long as the first one lives,
// however it dies.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "train/recipe.h"

namespace naru::train {

// One line of metrics.jsonl: step, and named numbers ("loss", "lr", "grad_norm", "tokens_per_s", "validation_loss").
struct Metrics {
  int64_t step = 0;
  std::vector<std::pair<std::string, double>> values;
};

struct Sample {
  int64_t step = 0;
  std::string prompt;
  std::string answer;
};

class RunFolder {
 public:
  // Makes the folder, or opens one that a run of the same recipe left. Another recipe in it, or a trainer that is at
  // work in it, is an error that says so. `is_new` tells which it was.
  static Result<RunFolder> open(const std::filesystem::path& folder, const Recipe& recipe);
  RunFolder(RunFolder&&) noexcept;
  RunFolder& operator=(RunFolder&&) noexcept;
  ~RunFolder();

  const std::filesystem::path& path() const;
  std::filesystem::path checkpoints() const;
  std::filesystem::path model() const;
  bool is_new() const;

  // Appends a line and the TensorBoard scalars. A half-written last line of a killed run is mended on opening, and
  // lines of steps after `resumed_step` are dropped by rewind().
  Status add(const Metrics& metrics);
  Status add(const Sample& sample);
  Status rewind(int64_t resumed_step);
  // Fields of run.json, merged into what is there.
  Status set(const std::vector<std::pair<std::string, std::string>>& texts,
             const std::vector<std::pair<std::string, double>>& numbers);

 private:
  struct State;
  explicit RunFolder(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// report.html from what the folder holds: one file, no network: curves that can be hovered, samples before and after,
// recipe, hashes, machine, time, tokens, cost in operations.
Status write_report(const std::filesystem::path& run_folder);

// What `naru runs` shows.
struct RunSummary {
  std::filesystem::path folder;
  std::string name, status;  // "running", "done", "stopped", "failed"; "damaged" where run.json cannot be read
  int64_t step = 0, steps = 0;
  std::optional<double> loss, validation_loss;
  double seconds = 0;
  std::string weights_sha256;
  std::string started, updated;  // "2026-11-25T10:20:05Z"
};
inline constexpr int64_t kRunsMax = 10000;  // runs that are listed
// The runs under `folder`, oldest first, or the one that `folder` is.
Result<std::vector<RunSummary>> list_runs(const std::filesystem::path& folder);

}  // namespace naru::train
