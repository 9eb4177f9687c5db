// BatchSource: where the batches of a run come from. A batch is a function of the recipe, the step and, where a source
// says so, the model's weights (rollouts of reinforcement learning). So that a run which was killed ends with the same
// bits, a batch that depends on weights is made again from the checkpoint whose weights it needs, or, where those are
// gone (several updates on one rollout), it is kept in the checkpoints until it is used up.
//
// Of several processes each has a source of its own; all are asked the same and must give the same.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/data_record.h"
#include "runs/run_answers.h"
#include "train/trainable_model.h"

namespace naru::train {

class Peers;
class Rollout;

inline constexpr int64_t kTokenBytes = 5;  // of a token of a document: its id, and whether it is learnt

// The model between two steps, for sources whose batches depend on it.
struct ModelNow {
  TrainableModel& model;
  std::function<Result<Rollout*>()> rollout = {};  // an engine over it, on its present weights
  // Gives the micro-batches the experts that it chooses (data::MicroBatch::experts).
  std::function<Status(data::StepBatch& batch)> keep_experts = {};
  // Gives each micro-batch log p of the run's reference policy as one more signal (reference_policy.h).
  std::function<Status(std::vector<data::StepBatch>& batches)> refer = {};
  std::function<bool()> should_stop = {};  // then a batch may be kCancelled, and its step counts as not begun
  Peers* peers = nullptr;                  // that make the same batch; null: none
  std::filesystem::path run_folder = {};   // for files of the run's; "": none
  std::function<void(const std::string&)> note = {};  // one line for whoever watches the run
};

class BatchSource {
 public:
  virtual ~BatchSource() = default;

  // What it was made of, for the record of the run's data.
  virtual data::StreamRecord record() const = 0;
  virtual int64_t steps_per_epoch() const = 0;
  // Whether rows are conversations by the chat template: a model drawn anew and trained on none is a base model.
  virtual bool has_conversations() const = 0;
  // Rows, pages and documents of the largest micro-batch of the first n_steps steps; a later, larger one is planned
  // when it comes. kCancelled where should_stop, which may be empty, says so.
  virtual Result<TrainingRoom> largest(int64_t n_steps, const std::function<bool()>& should_stop) = 0;

  // On the host, beside the documents that record() counts, at the most.
  virtual int64_t held_bytes() const { return 0; }

  // The batch of a step, counted from 0, while the model has the weights that all steps before gave it. Steps come in
  // order, and some are left out. The same step may be asked for again before the weights change, and is the same.
  virtual Result<data::StepBatch> step(int64_t step, const ModelNow& now) = 0;
  // What is to be told of the step that was asked for last: names and values of metrics.
  virtual std::vector<std::pair<std::string, double>> metrics(int64_t step) const {
    (void)step;
    return {};
  }

  // Of the rollout that the step was the first update on (of those that are not left out), groups to be looked at,
  // where it is one of those that are kept.
  virtual std::vector<runs::ShownGroup> shown_groups(int64_t step) const {
    (void)step;
    return {};
  }

  // What the batches of next_step and of those behind it depend on beside recipe, step and weights: bytes of its own
  // for a checkpoint before next_step. "": nothing. next_step is the step asked for last where the run is stopped in
  // its middle, which then counts as not begun; else the one behind it.
  virtual std::string kept(int64_t next_step) const = 0;
  // The run stands before `step`, with the bytes that kept(step) gave there ("" at step 0): at its start, and after a
  // roll-back.
  virtual Status restore(int64_t step, std::string_view kept) = 0;
};

// The rows of the recipe's documents (BatchStream): functions of the step alone.
class DocumentBatches final : public BatchSource {
 public:
  // `sources` is recipe.data; the recipe lives as long.
  DocumentBatches(data::BatchStream stream, const std::vector<recipes::SourceRecipe>& sources);

  data::StreamRecord record() const override;
  int64_t steps_per_epoch() const override { return stream_.steps_per_epoch(); }
  bool has_conversations() const override { return stream_.has_conversations(); }
  Result<TrainingRoom> largest(int64_t n_steps, const std::function<bool()>& should_stop) override;
  int64_t held_bytes() const override { return stream_.n_tokens_left_out() * kTokenBytes; }
  Result<data::StepBatch> step(int64_t step, const ModelNow&) override { return stream_.step(step); }
  std::string kept(int64_t) const override { return {}; }
  Status restore(int64_t step, std::string_view kept) override;

 private:
  data::BatchStream stream_;
  const std::vector<recipes::SourceRecipe>* sources_;
};

// Widens `room` in rows, pages and documents: to another, to what the batch's micro-batches take, and to those of
// stream.all_rows().
void widen(TrainingRoom& room, const TrainingRoom& other);
void widen(TrainingRoom& room, const data::StepBatch& batch);
Status widen_to_all_rows(TrainingRoom& room, const data::BatchStream& stream, int64_t rows_max,
                         const std::function<bool()>& should_stop);

}  // namespace naru::train
