// Sampler: a run of kind rejection (rejection sampling). A model answers the problems of a recipe, several times each;
// answers are judged (rewards/judge.h) and filtered (filters.h), and the good ones become training data. In the folder
// of the run:
//
//   samples.jsonl   what was kept, a line each, as [[data]] path= of kind sft (or pretrain) reads it (sample_line.h)
//   dropped.jsonl   the others, with the reason
//   rewards.jsonl   what programs of [[reward]] said, where there are any
//   recipe.toml     the effective recipe
//   run.json        the record, as of every run (runs/run_folder.h): status "running", "stopped", "failed" or "done";
//                   step and steps count problems; model_sha256; samples_sha256 and samples_bytes, dropped_sha256 and
//                   dropped_bytes, of the files as far as `step` says, and of the whole files where status is "done"
//
// The files are a function of the recipe, the model and the problems: not of the chip, the threads, how many answers
// are written at once, or how often the run was killed. A run goes on where it stopped; it is refused, and changes
// nothing, where the folder is of another recipe, the model or the problems are others than it began with, or a file is
// not what was written.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "contract/chip.h"
#include "engine/memory_plan.h"
#include "recipes/recipe.h"
#include "samples/growing_file.h"
#include "samples/summary.h"

namespace naru::samples {

struct SampleProgress {
  int64_t problems = 0, problems_done = 0;
  int64_t answers = 0;  // that are whole, of this start
  int64_t tokens = 0;   // of them and of those at work
  int64_t kept = 0;     // of all starts
};

// Every one may be empty.
struct SampleEvents {
  std::function<void(std::string_view)> note;  // one line
  std::function<bool()> should_stop;           // asked often: open() is kCancelled then, and run() ends as it is
  std::function<void(const SampleProgress&)> progress;
  std::function<void(std::string_view what, int64_t done, int64_t total)> bytes;  // "hashing", "loading"
  std::function<void(int64_t done, int64_t total)> prompts = {};                  // made, before anything is asked
};

struct SampleStart {
  bool starts_over = false;  // what a run left in the folder is set aside (runs::set_run_aside)
  std::string version = {};  // of the program; for the record
  std::string command = {};  // that goes on with the run; for the record
};

// What a run takes, known before its first answer.
struct SamplePlan {
  int64_t n_problems = 0, n_done = 0;  // done: by earlier starts
  int64_t answers = 0;                 // to each
  int64_t n_no_room = 0;               // problems whose prompt leaves no room in the context
  bool is_chat = false;                // asked by the chat template
  bool is_messages = false;            // the form of lines; else text
  int64_t context_tokens = 0, at_once = 0;
  int64_t n_parameters = 0;
  int64_t memory_bytes = 0;  // weights, cache and workspace; 0 where the model has no weights yet
  std::string numerics_id;
  std::string model_sha256;  // "" where it was not asked for
};

struct SampleResult {
  bool is_done = false;   // false: stopped as asked
  bool was_done = false;  // by an earlier start: nothing was done now
  int64_t problems_done = 0;
  SampleSummary summary;
  FileMark samples, dropped;
  std::string model_sha256;
  int64_t reward_failures = 0;  // of programs, of all starts: with any the files may not come again
  int64_t tokens = 0;           // written by this start
  double seconds = 0;           // of this start
};

class Sampler {
 public:
  // Reads and proves all; nothing is changed. `recipe_folder`: where relative paths count from. The chip outlives it.
  static Result<std::unique_ptr<Sampler>> open(const recipes::Recipe& recipe,
                                               const std::filesystem::path& recipe_folder, contract::Chip& chip,
                                               SampleEvents events, const SampleStart& start = {});
  // The plan alone: refuses what open() does before it looks at the run's folder, and hashes nothing. The model may be
  // a config without weights (model.config, with model.tokenizer), as of a stage whose model is not there yet.
  static Result<SamplePlan> plan_run(const recipes::Recipe& recipe, const std::filesystem::path& recipe_folder,
                                     contract::Chip& chip, SampleEvents events);
  virtual ~Sampler() = default;

  virtual const SamplePlan& plan() const = 0;
  virtual const std::filesystem::path& folder() const = 0;
  virtual Result<SampleResult> run() = 0;
};

// open() and run().
Result<SampleResult> run(const recipes::Recipe& recipe, const std::filesystem::path& recipe_folder,
                         contract::Chip& chip, SampleEvents events, const SampleStart& start = {});

// What the folder of a run says of it; nothing where there is no run. kCorrupt where its record cannot be read.
struct SampleRecord {
  std::string status;  // as run.json says; one that was killed says "running"
  int64_t problems = 0, problems_done = 0, kept = 0;
  std::string model_sha256;
  FileMark samples, dropped;
  bool is_done() const { return status == "done"; }
};
Result<std::optional<SampleRecord>> read_record(const std::filesystem::path& run_folder);
// kCorrupt, kNotFound: the files of a run that is done are not what it left.
Status check_files(const std::filesystem::path& run_folder, const SampleRecord& record);

}  // namespace naru::samples
