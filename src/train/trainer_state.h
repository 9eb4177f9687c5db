// What a run at work holds; shared by the sources of the trainer.
#pragma once

#include <chrono>
#include <set>

#include "data/data_record.h"
#include "runs/run_folder.h"
#include "train/checkpoint_store.h"
#include "train/gradient_sum.h"
#include "train/guard.h"
#include "train/held_out.h"
#include "train/host_values.h"
#include "train/optimizer.h"
#include "train/reference_policy.h"
#include "train/rollout.h"
#include "train/teacher.h"
#include "train/trainer.h"
#include "train/training_model_files.h"

namespace naru::train {

// What a checkpoint keeps beside weights and moments.
struct RunState {
  int64_t step = 0;        // done: the next one is number `step`
  int64_t updates = 0;     // of the optimizer
  int64_t tokens = 0;      // trained on
  double seconds = 0;      // at work, over all its starts
  double loss = 0;         // of the step done last
  int64_t best_step = -1;  // by validation loss
  double best_loss = 0;
  std::optional<double> validation_loss;  // the last one
  std::optional<double> reward;           // of the last rollout
  int64_t tokens_compared = 0;            // by bits, between rollouts and updates
  int64_t reference_step = 0;             // whose weights the reference policy has; 0: those of the start
  bool is_unjudged = false;               // the held-out problems of `step` are asked behind its checkpoint
  bool is_unsampled = false;              // so are its samples
  std::optional<double> accuracy;         // the last one; known to rank 0
  GuardState guard;
  int64_t n_roll_backs = 0;
  std::set<int64_t> left_out;  // steps whose batches are skipped after a roll-back
  int64_t n_differences = 0;   // results that rechecks threw away
};

// Losses of a step.
struct StepLosses {
  double main = 0;                  // summed over its targets
  std::vector<double> predictions;  // by depth, over their divisor
  double balance = 0;               // weighted
  PolicyStatistics policy;
};

// What a step is updated by.
struct StepGradients {
  const ParameterBuffer* sum = nullptr;  // until the next ones are computed
  StepLosses losses;
  double norm = 0;
};

inline constexpr const char* kReferenceFile = "reference";  // of a checkpoint
struct StepSeconds {
  double all = 0;
  double update = 0;  // without what made the batch
};

class RunningTrainer : public Trainer {
 public:
  RunningTrainer(const recipes::Recipe& recipe, std::filesystem::path recipe_folder, contract::Chip& chip,
                 TrainerEvents events, const StartOptions& start, TrainerParts parts);

  // What is read and planned; changes nothing. `is_plan`: no run follows, and what is long is not all read.
  Status look(bool is_plan);
  Status open();
  const TrainingPlan& plan() const override { return plan_; }
  const std::filesystem::path& folder() const override { return folder_; }
  Result<RunResult> run() override;

 private:
  Status open_problems();
  Status open_data();
  Status open_teachers();
  Status plan_memory();
  Status make_model();
  Status begin_or_resume();  // trainer_start.cpp
  Status describe_start();
  std::optional<std::string> off_line(const CheckpointInfo& checkpoint) const;
  Result<std::optional<data::DataRecord>> data_of(const CheckpointInfo& checkpoint) const;
  Status check_nothing_lost() const;
  Status settle_data(const std::optional<data::DataRecord>& of_checkpoint);
  Result<std::string> changed_data(const data::DataRecord& there, const std::optional<data::DataRecord>& of_checkpoint,
                                   const data::DataRecord& here) const;
  TrainableModel::Options model_options() const;

  // trainer_reference.cpp
  Status make_reference();
  Status renew_reference();
  Status refer(std::vector<data::StepBatch>& batches);
  Status read_start();
  Status restore_reference(const CheckpointInfo& checkpoint, int64_t reference_step, const std::string& began_with);
  Status read_tensor(const CheckpointInfo& checkpoint, const formats::TensorFiles& file,
                     const models::Parameter& parameter, View view) const;

  Status train_step();
  Status make_room(const data::StepBatch& batch);
  Status keep_experts(data::StepBatch& batch);  // trainer_rollout.cpp
  Error explained(Error error, const data::MicroBatch& batch);
  Error failed_step(Error error) const;
  Result<bool> roll_back();
  Result<data::StepBatch> ask_batch();
  Result<StepGradients> compute(const data::StepBatch& batch);
  Status update(const StepGradients& step, double lr, double scale);
  Status move_routing_bias();
  // `from_values`: the model's matrices are made again from the values first.
  Result<const ParameterBuffer*> gradients(const data::StepBatch& batch, StepLosses* losses, bool from_values);
  Result<std::vector<MicroSums>> validation_sums(const data::StepBatch& batch, bool may_stop);
  Result<MicroSums> losses_of(const data::MicroBatch& batch);
  void fold(const std::vector<MicroSums>& sums, const TrainableModel::StepScale& scale, StepLosses* losses);
  Status report(const data::StepBatch& batch, const StepLosses& losses, double lr, double norm,
                const StepSeconds& seconds);
  Status validate(bool may_stop = false);

  // trainer_recheck.cpp
  bool is_rechecked() const;  // the step at work
  Status until_two_agree(const std::string& what,
                         const std::function<Result<std::string>(int64_t n, check::BitDifference&)>& attempt);
  Status say_difference(const std::string& what, int64_t n, const std::string& found);
  Status count_differences(int64_t n);
  HostValues host_state() const;
  Status keep_state();
  Result<StepGradients> step_gradients(const data::StepBatch& batch, bool from_values);
  Result<StepGradients> agreed_gradients(const data::StepBatch& batch);
  Status update_once(const ParameterBuffer& grads, double lr, double scale);
  Status agreed_update(const ParameterBuffer& grads, double lr, double scale);
  bool drops_rollout(const Error& error);
  Result<MicroSums> agreed_losses(const data::MicroBatch& batch);
  Status own_two_agree(const std::string& what, const std::function<Result<std::string>(int64_t n)>& attempt,
                       const std::string& otherwise);
  Result<bool> try_to_answer(const std::string& what, const std::function<Result<std::string>()>& attempt);
  Status exported_value(int64_t index, float* out);  // of the result; where adapters are merged in
  Error no_agreement(const std::string& what, const std::string& given, Code code, bool is_of_model) const;
  bool is_in_doubt() const;           // the chip
  std::string check_command() const;  // that says what is wrong with it
  std::string chip_advice() const;    // "" where it is not in doubt
  Error failed_answers(const std::string& what, Error error) const;

  Status add(const runs::Metrics& metrics);  // to the record of the run, and to whoever shows it
  Status tell_history();
  Status judge();  // held-out problems, where the recipe has any
  Status keep_judged(const HeldOutResult& result);
  Status ask(bool is_judged, bool is_sampled);  // behind the checkpoint of the step, where it has one
  Status ask_what_is_left();                    // of what the checkpoint that a start goes on from does not know asked
  Result<Rollout*> rollout();                   // on the present weights
  Status sample(bool may_stop = false);
  bool is_base_model() const;
  Status export_result(RunResult& result);
  Result<RunResult> finish(bool is_done);
  Status count_failures(RunResult& result);
  Status write_result(RunResult& result);
  Status confirm_result(RunResult& result);  // of a run that was done before
  Status run_steps();

  Status save();                                  // training_checkpoint.cpp
  Status load(const CheckpointInfo& checkpoint);  // a good one
  Status check_alike();                           // the processes: that all train the same
  Status share_state();                           // of rank 0 with all

  void note(const std::string& line) const {
    if (events_.note) events_.note(line);
  }
  Status check_given_up() const;  // until the first change of the folder
  bool is_given_up() const { return events_.should_give_up && events_.should_give_up(); }
  bool should_stop() const { return events_.should_stop && events_.should_stop(); }
  bool is_grpo() const { return recipe_.kind == recipes::RunKind::kGrpo; }
  bool has_rollouts() const { return recipes::has_rollouts(recipe_.kind); }
  bool is_writer() const { return peers_->rank() == 0; }  // of the run's folder, and the one that decides by it

  recipes::Recipe recipe_;
  std::filesystem::path recipe_folder_;
  contract::Chip& chip_;
  TrainerEvents events_;
  StartOptions start_;
  TrainerParts parts_;
  NoPeers alone_;
  Peers* peers_;
  std::filesystem::path folder_;
  TrainingPlan plan_;
  TrainingRoom room_;
  std::optional<runs::RunFolder> run_;  // the writer's, like all that is about files
  std::optional<CheckpointStore> store_;
  std::optional<data::DataRecord> data_record_;  // of the run: until it is settled, as run.json has it
  TrainingModelFiles files_;
  std::unique_ptr<BatchSource> batches_;
  std::optional<data::BatchStream> validation_;
  std::shared_ptr<rewards::Judge> judge_;  // where problems are asked
  std::optional<HeldOut> held_out_;
  std::optional<TrainableModel> model_;
  std::optional<Optimizer> optimizer_;
  std::optional<GradientSum> sum_;
  std::optional<ReferencePolicy> reference_;        // of a run that reads one
  std::shared_ptr<std::vector<Teacher>> teachers_;  // of a run that learns from some
  std::string start_sha256_;                        // of its first values
  runs::AlarmWatch alarms_{recipe_};
  std::optional<Rollout> rollout_;  // over model_ and files_; made when it is needed first
  RunState state_;
  std::vector<std::vector<int64_t>> loads_;  // of the step, by layer with experts
  std::optional<HostValues> kept_state_;     // of a run that is rechecked, at kept_step_
  int64_t kept_step_ = -1;                   // -1: of none
  int64_t n_differences_of_step_ = 0;        // results that rechecks threw away
  double peak_ = 0;                          // operations a second of this machine, as the run knows it; 0: it does not
  bool is_plan_ = false;
  bool is_open_ = false;
  bool is_resumed_ = false;
  bool is_finished_ = false;   // the run was done when it was opened: its record stays as it is
  int64_t asked_step_ = -1;    // whose held-out problems were asked in this start, or left out
  int64_t saved_step_ = -1;    // whose checkpoint holds the present state
  bool is_cut_short_ = false;  // asked to stop in the middle of a step (or before the first), which is as not begun
};

}  // namespace naru::train
