// Trainer: one run of a recipe, from its folder to the finished model. open() reads everything, plans the memory and
// refuses what does not fit before the first step, and what is no going on: a checkpoint that cannot be read, other
// data. A refused start leaves the folder as it was. run() goes on from the newest good checkpoint until the steps are
// done or it is asked to stop. The same recipe gives the same weights, bit for bit, however often it was interrupted,
// on every exact chip, and however many processes train it together (peers.h), of which the first writes the folder.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "contract/chip.h"
#include "recipes/recipe.h"
#include "runs/metrics.h"
#include "train/batch_source.h"
#include "train/objective.h"
#include "train/peers.h"

namespace naru::train {

// After each step, for whoever shows it.
struct StepReport {
  int64_t step = 0;  // done so far
  int64_t steps = 0;
  double loss = 0;
  double lr = 0;
  double grad_norm = 0;
  double tokens_per_s = 0;
  double peak_share = 0;  // operations of this step a second, of the peak that the run knows for this machine; 0: none
  double seconds_left = 0;
  int64_t memory_bytes = 0;         // of this process
  int64_t recheck_differences = 0;  // results that rechecks threw away, so far
};

struct TrainerEvents {
  std::function<void(const StepReport&)> step;
  std::function<void(std::string_view)> note;  // one line
  std::function<bool()> should_stop;           // asked between micro-batches
  // Every line of metrics.jsonl: first those that the run has from earlier starts, then each as it is written, before
  // `step` is called. A line of an earlier step than was told: the run went back.
  std::function<void(const runs::Metrics&)> metrics = {};
  // Asked often while a run is opened and until its first step: open() is kCancelled then, and nothing was changed, or
  // run() ends without a checkpoint.
  std::function<bool()> should_give_up = {};
  // While a run is opened: how far what is long has come, "documents"; a total of 0 is one that is not known.
  std::function<void(std::string_view what, int64_t done, int64_t total)> progress = {};
  // When a run is open: how many starts it has had, this one too, and the steps that are done.
  std::function<void(int64_t n_starts, int64_t step)> opened = {};
};

// What a run takes, known before its first step.
struct TrainingPlan {
  int64_t n_parameters = 0;  // with adapters
  int64_t n_trained = 0;     // of those
  int64_t n_active = 0;      // of those, met by one token
  // Forward two for each parameter that a token meets; backward two for it, and two for its gradient where it is
  // trained.
  double operations_per_token = 0;
  int64_t steps = 0;
  int64_t batch_tokens = 0;  // of the largest micro-batch
  int64_t values_bytes = 0, packed_bytes = 0, gradient_bytes = 0, moment_bytes = 0, activation_bytes = 0,
          cache_bytes = 0, data_bytes = 0;
  int64_t reference_bytes = 0;     // of the reference policy's values
  int64_t teacher_bytes = 0;       // of teachers: weights, activations and cache
  int64_t teacher_parameters = 0;  // of all of them, met by one token
  int64_t recheck_bytes = 0;       // on the host: states that rechecks compare
  int64_t rollout_bytes = 0;       // of the engine that answers samples and problems, beside all else
  int64_t program_bytes = 0;       // the program itself and the scratch memory of its kernels
  int64_t available_bytes = 0;
  int64_t total_bytes() const {
    return values_bytes + packed_bytes + gradient_bytes + moment_bytes + activation_bytes + cache_bytes + data_bytes +
           reference_bytes + teacher_bytes + recheck_bytes + rollout_bytes + program_bytes;
  }
  std::string numerics_id;
  std::vector<data::DataFile> data_files;  // of training, as its record keeps them
};

// kResourceExhausted, with the numbers, where the memory does not suffice. open() asks it before the first change.
Status check_fits(const TrainingPlan& plan);

// What a start may do beside going on, and what its program tells of itself.
struct StartOptions {
  bool starts_over = false;           // what a run left in the folder is set aside, and it begins at step 0
  bool accepts_changed_data = false;  // going on with other data than the run began with is meant
  std::string version = {};           // of the program; for the record
  std::string command = {};           // that goes on with the run; for the record
  // Operations a second that this machine can do by the rule of the recipe's compute mode; 0 where that is not known.
  // Asked where the run has no such number of the machine: shares of it are comparable over all starts of a run.
  std::function<double()> measure_peak = {};
  std::string fault = {};  // that was put in front of the chip; for the record. "": none
};

struct TrainingModelFiles;

// What a run is made of beside its recipe. As it is: the cross entropy of the recipe's documents, in this process
// alone.
struct TrainerParts {
  Objective objective;
  // Empty: DocumentBatches. The recipe and the files live as long as the source.
  std::function<Result<std::unique_ptr<BatchSource>>(const recipes::Recipe& recipe, const TrainingModelFiles& files)>
      batches;
  Peers* peers = nullptr;  // null: no others
};

struct RunResult {
  bool is_done = false;  // false: stopped as asked, with a checkpoint unless that was before the first step
  int64_t step = 0;
  std::optional<double> loss;              // of the last step; nothing before the first
  std::optional<double> reward;            // of the last rollout, where a run has any; it has no loss then
  std::optional<int64_t> tokens_compared;  // of a run with rollouts: by bits, none of which differed
  std::optional<double> validation_loss;
  std::optional<double> accuracy;   // of held-out problems: the share that is answered rightly; known to rank 0
  int64_t n_problems = 0;           // of which it is a share
  int64_t recheck_differences = 0;  // results that rechecks threw away, in all of the run
  std::string fault = {};           // that was put in front of the chip in any start; "": none; known to rank 0
  std::string weights_sha256;
  // Answers for which a reward program gave no reward, in all of the run: with any the weights' hash says nothing of
  // another run of the recipe. Known to rank 0.
  int64_t reward_failures = 0;
};

class Trainer {
 public:
  // `recipe_folder`: where relative paths count from.
  static Result<std::unique_ptr<Trainer>> open(const recipes::Recipe& recipe,
                                               const std::filesystem::path& recipe_folder, contract::Chip& chip,
                                               TrainerEvents events, const StartOptions& start = {},
                                               TrainerParts parts = {});
  // The plan alone: reads and refuses what open() does before it looks at the run's folder, memory apart, and changes
  // nothing. Of a run of so many steps generators make some documents alone: what they make no more of, and what all of
  // them take, is known about. The model may be a config without weights, also of a kind of run that goes on from some.
  static Result<TrainingPlan> plan_run(const recipes::Recipe& recipe, const std::filesystem::path& recipe_folder,
                                       contract::Chip& chip, TrainerEvents events);
  virtual ~Trainer() = default;

  virtual const TrainingPlan& plan() const = 0;
  virtual const std::filesystem::path& folder() const = 0;
  virtual Result<RunResult> run() = 0;
};

}  // namespace naru::train
