// Where a run goes on: the checkpoint, the data against the record of the run's, and only then the first change of the
// folder. Everything that can refuse a start comes before RunFolder::begin().
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "export/export.h"
#include "runs/run_files.h"
#include "train/trainer_state.h"

namespace naru::train {

Result<std::optional<data::DataRecord>> RunningTrainer::data_of(const CheckpointInfo& checkpoint) const {
  const auto state = nlohmann::json::parse(checkpoint.state_json, nullptr, false);
  if (!state.is_object() || !state.contains("data")) return std::optional<data::DataRecord>();
  return data::parse_data_record(state["data"], (checkpoint.folder / "manifest.json").string());
}

std::optional<std::string> RunningTrainer::off_line(const CheckpointInfo& checkpoint) const {
  const auto state = nlohmann::json::parse(checkpoint.state_json, nullptr, false);
  if (!state.is_object()) return "its state is no object";
  // A state may lack its recipe's identity and its data: then nothing speaks against it.
  if (state.contains("recipe_identity") && state["recipe_identity"] != recipes::recipe_identity(recipe_)) {
    return "it is of another recipe than this run";
  }
  const auto data = data_of(checkpoint);
  if (!data.ok()) return data.error().message;
  if (*data && data_record_ && !data::same_until(**data, *data_record_, checkpoint.step)) {
    return "it was trained on other data than the record of this run says";
  }
  return std::nullopt;
}

// No checkpoint at all is a new run, or one that was killed before its first; not one whose checkpoints are out of
// reach, on a disk that is not mounted.
Status RunningTrainer::check_nothing_lost() const {
  std::error_code ignored;
  const bool has_model = std::filesystem::exists(run_->model(), ignored);
  const auto metrics_bytes = std::filesystem::file_size(run_->path() / runs::kMetricsFile, ignored);
  const bool has_metrics = !ignored && metrics_bytes > 0;
  if (run_->is_new() && !start_.starts_over && (has_model || has_metrics)) {
    return Error{
        Code::kNotFound,
        fmt::format("going on with the run {}: it has {} of a run, and neither {} nor a checkpoint; bring them "
                    "back, or begin anew with --start-over, which sets aside what is there",
                    run_->path().string(), has_model ? runs::kModelFolder : runs::kMetricsFile, runs::kRunFile)};
  }
  const nlohmann::json saved = run_->field("saved_step");
  if (!saved.is_number_integer()) return {};
  return Error{
      Code::kNotFound,
      fmt::format("going on with the run {}: its {} says that the checkpoint of step {} was written, and there "
                  "is none in {}; bring them back (is their disk there?), or begin anew with --start-over, "
                  "which sets the old run aside",
                  run_->path().string(), runs::kRunFile, saved.get<int64_t>(), run_->checkpoints().string())};
}

// "" where the data is what the run goes on with.
Result<std::string> RunningTrainer::changed_data(const data::DataRecord& there,
                                                 const std::optional<data::DataRecord>& of_checkpoint,
                                                 const data::DataRecord& here) const {
  const std::string wanted = data::documents_at(there, state_.step);
  const bool is_of_checkpoint = of_checkpoint && of_checkpoint->training.documents_sha256 == wanted;
  const data::StreamRecord& last = is_of_checkpoint ? of_checkpoint->training : there.training;
  std::string what = data::data_difference(last, here.training);
  if (here.training.documents_sha256 == wanted) {
    if (!what.empty()) note(fmt::format("the data: {}; the documents made of it are the same", what));
    what.clear();
  } else if (what.empty()) {
    what = fmt::format("it is not the data that step {} was to be trained on", state_.step);
  }
  const bool is_same_validation =
      there.validation && here.validation && there.validation->sources_sha256 == here.validation->sources_sha256;
  if (is_same_validation && there.validation->documents_sha256 != here.validation->documents_sha256) {
    what += (what.empty() ? "" : "; ") + std::string("in the validation: ") +
            data::data_difference(*there.validation, *here.validation);
  }
  if (what.empty() || start_.accepts_changed_data) return what;
  return Error{
      Code::kInvalidArgument,
      fmt::format("going on with the run {} from step {}: its data changed: {}; put the old data back, give the "
                  "run another output=FOLDER, or say that the change is meant with --accept-changed-data",
                  run_->path().string(), state_.step, what)};
}

Status RunningTrainer::settle_data(const std::optional<data::DataRecord>& of_checkpoint) {
  data::DataRecord here;
  here.training = batches_->record();
  if (validation_) here.validation = record_of(*validation_, recipe_.validation);
  if (has_rollouts() && held_out_ && held_out_->source().has_file()) here.validation = held_out_->source().record(0);
  here.began_with = here.training.documents_sha256;
  const std::optional<data::DataRecord> there = data_record_ ? data_record_ : of_checkpoint;
  if (!is_resumed_) {
    const bool is_other = there && there->training.documents_sha256 != here.training.documents_sha256;
    if (is_other) note("the data is another than at the last start; no checkpoint was made of it: beginning at step 0");
  } else if (!there) {
    note("this run has no record of the data that it began with; it has one from now on");
  } else {
    NARU_ASSIGN(std::string what, changed_data(*there, of_checkpoint, here));
    here.began_with = there->began_with;
    here.changes = there->changes;
    // What was done from here on is done again, with the data of now.
    data::forget_changes_from(here, state_.step + 1);
    if (!what.empty()) {
      if (std::ssize(here.changes) == data::kDataChangesMax) {
        return Error{Code::kUnsupported,
                     fmt::format("going on with the run {}: its data changed {} times already, the most that is kept; "
                                 "give the new data a run of its own",
                                 run_->path().string(), data::kDataChangesMax)};
      }
      note(fmt::format("from step {} on with other data, as was asked for: {}", state_.step, what));
      here.changes.push_back({state_.step, here.training.documents_sha256, std::move(what)});
    }
  }
  data_record_ = std::move(here);
  return {};
}

Status RunningTrainer::begin_or_resume() {
  NARU_ASSIGN(data_record_, data::parse_data_record(run_->field("data"), (run_->path() / runs::kRunFile).string()));
  store_.emplace(
      run_->checkpoints(), [this](const CheckpointInfo& checkpoint) { return off_line(checkpoint); },
      [this](const std::string& line) { note(line); });
  std::optional<CheckpointInfo> checkpoint;
  if (!run_->starts_over()) {
    NARU_ASSIGN(checkpoint, store_->newest_good(events_.should_give_up));
  }
  std::optional<data::DataRecord> of_checkpoint;
  if (checkpoint) {
    NARU_TRY(load(*checkpoint));
    NARU_ASSIGN(of_checkpoint, data_of(*checkpoint));
    is_resumed_ = true;
  } else {
    NARU_TRY(check_nothing_lost());
    NARU_TRY(batches_->restore(0, ""));
  }
  NARU_TRY(settle_data(of_checkpoint));
  if (state_.step > plan_.steps) {
    return Error{
        Code::kInvalidArgument,
        fmt::format("going on with the run {}: {} steps are done, and it has {} now; give what is to be trained "
                    "another output=FOLDER",
                    run_->path().string(), state_.step, plan_.steps)};
  }
  is_finished_ = is_resumed_ && state_.step == plan_.steps && run_->field("status") == "done" &&
                 run_->field("data") == to_json(*data_record_);
  if (is_finished_) {
    note(fmt::format("this run is done: nothing is left of its {} steps", plan_.steps));
    return {};
  }
  // Where steps are left to do the model will be another: what may not be replaced is said before, not after them.
  if (!run_->starts_over() && state_.step < plan_.steps) {
    NARU_TRY(exports::check_model_place(run_->model()));
    NARU_TRY(exports::check_model_place(run_->adapter()));
  }
  NARU_TRY(check_given_up());
  NARU_TRY(run_->begin(is_resumed_ ? state_.step : -1, to_json(*data_record_)));
  if (!run_->set_aside().empty()) {
    note(fmt::format("what was in the run is set aside in {}", run_->set_aside().string()));
  }
  NARU_TRY(remove_unfinished_checkpoints(run_->checkpoints()));
  if (is_resumed_) note(fmt::format("going on from step {} of {}", state_.step, plan_.steps));
  return {};
}

}  // namespace naru::train
