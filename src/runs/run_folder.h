// RunFolder: the folder of one run. recipe.toml (effective), run.json (what it is: status, machine, numerics id, steps,
// times, hashes; replaced atomically), metrics.jsonl (one object a line, appended), samples.jsonl, problems.jsonl,
// groups.jsonl, tensorboard/, checkpoints/, model/ (the result), adapter/ (of a run with adapters), report.html. A lock
// keeps a second trainer out as long as the first one lives, however it dies. Nothing but the lock is written until
// begin(): a start that is refused leaves the folder as it was, and none where there was none.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "recipes/recipe.h"
#include "runs/alarms.h"
#include "runs/metrics.h"
#include "runs/run_answers.h"

namespace naru::runs {

// Moves the run in `folder` into a folder set-aside-N of it; where it is then, "" where there was none. A trainer that
// is at work in it is an error.
Result<std::filesystem::path> set_run_aside(const std::filesystem::path& folder);

class RunFolder {
 public:
  // Makes the folder, or opens one that a run of the same recipe left, and locks it. Another recipe in it, or a trainer
  // that is at work in it, is an error that says so. With `starts_over` what a run left there counts for nothing, and
  // begin() moves it into a folder set-aside-N, whatever it is.
  static Result<RunFolder> open(const std::filesystem::path& folder, const recipes::Recipe& recipe,
                                bool starts_over = false);
  RunFolder(RunFolder&&) noexcept;
  RunFolder& operator=(RunFolder&&) noexcept;
  ~RunFolder();

  const std::filesystem::path& path() const;
  std::filesystem::path checkpoints() const;
  std::filesystem::path model() const;
  std::filesystem::path adapter() const;
  bool is_new() const;                             // it has no run.json yet, or none that counts
  bool starts_over() const;                        // there is an old run, which begin() sets aside
  const std::filesystem::path& set_aside() const;  // where begin() moved an old run; "" where there was none
  // A field of run.json; null where it has none.
  nlohmann::json field(const char* key) const;

  // The start is accepted, and stands in run.json (run_starts.h): an old run is set aside, and comes back where the
  // rest fails; writes recipe.toml and run.json with status "running", leaves the lines of steps up to `step` (-1:
  // none) in the files of lines (kLineFiles). What is taken out is kept aside (run_lines.h).
  Status begin(int64_t step, const nlohmann::json& data);
  // The same for lines alone, when a run goes back by itself.
  Status rewind(int64_t step);
  // After the checkpoint of `step` is whole; `has_later`: whether there are checkpoints of later steps.
  Status settle(int64_t step, bool has_later);

  // Appends a line and the TensorBoard scalars.
  Status add(const Metrics& metrics);
  Status add(const Sample& sample);
  Status add(const ProblemAnswer& answer);
  Status add(const ShownGroup& group);
  // "alarms" of run.json, all of them.
  Status set_alarms(const std::vector<Alarm>& alarms);
  // Fields of run.json, merged into what is there.
  Status set(const std::vector<std::pair<std::string, std::string>>& texts,
             const std::vector<std::pair<std::string, double>>& numbers);
  // Whether the folder is still the one that was opened; asked before anything large is written into it.
  Status check() const;

 private:
  struct State;
  explicit RunFolder(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// report.html from what the folder holds (report.h); one that says the same already stays as it is.
Status write_report(const std::filesystem::path& run_folder);

// What `naru runs` shows.
struct RunSummary {
  std::filesystem::path folder;
  std::string name, status;  // "running", "done", "stopped", "failed"; "damaged" where run.json cannot be read
  int64_t step = 0, steps = 0;
  std::optional<double> loss, validation_loss;
  std::optional<double> reward, accuracy;  // of the last rollout; of held-out problems
  double seconds = 0;
  std::string weights_sha256;
  std::string fault;                           // that was put in front of its chip; "": none
  std::optional<int64_t> recheck_differences;  // results that rechecks threw away
  std::string reason;                          // of a failed one: its error
  std::string command;                         // that goes on with it; "" where none is known
  std::string started, updated;                // "2026-11-25T10:20:05Z"
  // Of runs of one recipe's name that are listed together: the keys whose values are not the same in all of them, with
  // this one's value as TOML.
  std::vector<std::pair<std::string, std::string>> differs;
};
inline constexpr int64_t kRunsMax = 10000;  // runs that are listed
// The runs under `folder`, oldest first, or the one that `folder` is.
Result<std::vector<RunSummary>> list_runs(const std::filesystem::path& folder);

}  // namespace naru::runs
