// What the next bit of a run depends on, to a checkpoint and back: values, moments, and RunState as JSON. With adapters
// the frozen values stay in the checkpoint that the recipe names; their hash is kept, and compared on the way back.
#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "formats/model_config_writer.h"
#include "train/checkpoint.h"
#include "train/chip_values.h"
#include "train/trainer_state.h"

namespace naru::train {
namespace {

using Json = nlohmann::json;

// Doubles as their bits: what is read back is what was written.
std::string bits_of(double value) {
  return fmt::format("{:016x}", std::bit_cast<uint64_t>(value));
}

Json state_json(const RunState& state) {
  Json json = {{"step", state.step},
               {"updates", state.updates},
               {"tokens", state.tokens},
               {"seconds", state.seconds},
               {"loss", bits_of(state.loss)},
               {"best_step", state.best_step},
               {"best_loss", bits_of(state.best_loss)},
               {"guard_seen", state.guard.n_seen},
               {"guard_mean", bits_of(state.guard.mean)},
               {"guard_variance", bits_of(state.guard.variance)},
               {"guard_skipped", state.guard.n_skipped_in_row},
               {"roll_backs", state.n_roll_backs},
               {"left_out", state.left_out}};
  if (state.validation_loss) json["validation_loss"] = bits_of(*state.validation_loss);
  if (state.accuracy) json["accuracy"] = bits_of(*state.accuracy);
  if (state.reference_step > 0) json["reference_step"] = state.reference_step;
  if (state.tokens_compared > 0) json["tokens_compared"] = state.tokens_compared;
  if (state.reward) json["reward"] = bits_of(*state.reward);
  if (state.is_unjudged) json["unjudged"] = true;
  if (state.is_unsampled) json["unsampled"] = true;
  if (state.n_differences > 0) json["recheck_differences"] = state.n_differences;
  return json;
}

// Where a state comes from, for messages.
struct StateOrigin {
  std::string doing;
  std::string_view next;
};

StateOrigin of_checkpoint(const std::filesystem::path& folder) {
  return {fmt::format("resuming from {}", folder.string()),
          "the checkpoint is of another run or version: start in a new output folder, or move this checkpoint away"};
}

Error foreign(const StateOrigin& origin, std::string_view what) {
  return {Code::kCorrupt, fmt::format("{}: {}; {}", origin.doing, what, origin.next)};
}

Error foreign(const std::filesystem::path& folder, std::string_view what) {
  return foreign(of_checkpoint(folder), what);
}

// A text of the state; "" where it has none of that name.
std::string text_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

// A run keeps the arithmetic that it began with. Checkpoints without a numerics id are of version naru1.
Status check_arithmetic(const Json& state, const std::string& wanted, const std::filesystem::path& folder) {
  const std::string found = state.contains("numerics_id") ? text_of(state, "numerics_id") : "naru1";
  if (found == wanted) return {};
  return Error{Code::kInvalidArgument,
               fmt::format("resuming from {}: the run was begun under the arithmetic {}, this program computes {}, and "
                           "one run cannot hold the bits of both (docs/arithmetic.md section 9); begin it anew "
                           "with --start-over or in another output=FOLDER, or end it with the naru that began it",
                           folder.string(), found, wanted)};
}

// Values say nothing of what a config makes of them: angles, epsilons, heads.
Result<std::string> config_sha256(const TrainingModelFiles& files) {
  NARU_ASSIGN(const std::string config, formats::model_config_json(files.config));
  return sha256_hex(as_bytes(config + (files.is_latent_form ? "latent" : "")));
}

// A state may have none: then nothing is known of the config that the run began with.
Status check_config(const Json& state, const TrainingModelFiles& files, const recipes::Recipe& recipe,
                    const std::filesystem::path& folder) {
  NARU_ASSIGN(const std::string wanted, config_sha256(files));
  const std::string found = text_of(state, "config_sha256");
  if (found.empty() || found == wanted) return {};
  const std::string& model = recipe.model.path.empty() ? recipe.model.config : recipe.model.path;
  return Error{Code::kInvalidArgument,
               fmt::format("resuming from {}: the config of the model, {}, is not what the run began with; put the old "
                           "one back, or begin anew with --start-over or in another output=FOLDER",
                           folder.string(), model)};
}

Result<double> double_of(const Json& json, const char* key, const StateOrigin& origin) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_string()) return foreign(origin, fmt::format("its state has no '{}'", key));
  const std::string text = found->get<std::string>();
  if (text.size() != 16 || text.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return foreign(origin, fmt::format("its '{}' is '{}'", key, text));
  }
  return std::bit_cast<double>(std::stoull(text, nullptr, 16));
}

Result<int64_t> integer_of(const Json& json, const char* key, const StateOrigin& origin) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number_integer()) {
    return foreign(origin, fmt::format("its state has no whole number '{}'", key));
  }
  return found->get<int64_t>();
}

Result<RunState> parse_state(const std::string& text, const StateOrigin& origin) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return foreign(origin, "its state is no object");
  RunState state;
  NARU_ASSIGN(state.step, integer_of(json, "step", origin));
  NARU_ASSIGN(state.updates, integer_of(json, "updates", origin));
  NARU_ASSIGN(state.tokens, integer_of(json, "tokens", origin));
  NARU_ASSIGN(state.best_step, integer_of(json, "best_step", origin));
  if (json.contains("loss")) {  // it may be missing: it is only shown
    NARU_ASSIGN(state.loss, double_of(json, "loss", origin));
  }
  if (json.contains("validation_loss")) {
    NARU_ASSIGN(state.validation_loss, double_of(json, "validation_loss", origin));
  }
  if (json.contains("reward")) {
    NARU_ASSIGN(state.reward, double_of(json, "reward", origin));
  }
  if (json.contains("reference_step")) {
    NARU_ASSIGN(state.reference_step, integer_of(json, "reference_step", origin));
  }
  if (json.contains("tokens_compared")) {
    NARU_ASSIGN(state.tokens_compared, integer_of(json, "tokens_compared", origin));
  }
  if (json.contains("recheck_differences")) {
    NARU_ASSIGN(state.n_differences, integer_of(json, "recheck_differences", origin));
  }
  state.is_unjudged = json.contains("unjudged") && json["unjudged"] == true;
  state.is_unsampled = json.contains("unsampled") && json["unsampled"] == true;
  if (json.contains("accuracy")) {
    NARU_ASSIGN(state.accuracy, double_of(json, "accuracy", origin));
  }
  NARU_ASSIGN(state.best_loss, double_of(json, "best_loss", origin));
  NARU_ASSIGN(state.guard.n_seen, integer_of(json, "guard_seen", origin));
  NARU_ASSIGN(state.guard.mean, double_of(json, "guard_mean", origin));
  NARU_ASSIGN(state.guard.variance, double_of(json, "guard_variance", origin));
  NARU_ASSIGN(state.n_roll_backs, integer_of(json, "roll_backs", origin));
  NARU_ASSIGN(state.guard.n_skipped_in_row, integer_of(json, "guard_skipped", origin));
  if (json.contains("seconds") && json["seconds"].is_number()) state.seconds = json["seconds"].get<double>();
  if (json.contains("left_out") && json["left_out"].is_array()) {
    for (const Json& step : json["left_out"]) {
      if (step.is_number_integer()) state.left_out.insert(step.get<int64_t>());
    }
  }
  if (state.step < 0 || state.updates < 0 || state.updates > state.step)
    return foreign(origin, "its step is impossible");
  return state;
}

bool is_kept(const TrainableModel& model, size_t index, bool has_adapters) {
  return !has_adapters || model.is_trained(static_cast<int64_t>(index));
}

Result<std::string> frozen_sha256(const TrainableModel& model, const TrainingModelFiles& files) {
  Sha256 hash;
  for (size_t i = 0; i < files.parameters.size(); ++i) {
    NARU_TRY(hash_values(model.chip(), model.values().view(static_cast<int64_t>(i)), hash));
  }
  return hash.finish_hex();
}

// The bytes of the run's batches that a checkpoint keeps; "" where it keeps none.
Result<std::string> kept_batches(const Json& state, const CheckpointInfo& checkpoint) {
  if (!state.contains("batches")) return std::string();
  NARU_ASSIGN(const formats::TensorFiles file, open_checkpoint_file(checkpoint, "batches"));
  const formats::TensorEntry* entry = file.find(kBytesTensor);
  if (entry == nullptr || entry->dtype != DType::kU8) return foreign(checkpoint.folder, "its batches are no bytes");
  std::string kept(as_text(file.bytes(*entry)));
  NARU_TRY(file.check_unchanged());
  return kept;
}

}  // namespace

Status RunningTrainer::save() {
  if (!is_writer()) {
    saved_step_ = state_.step;
    return {};
  }
  NARU_TRY(chip_.wait());
  FileToWrite weights{"weights", {}, {}}, moments{"moments", {}, {}}, reference{kReferenceFile, {}, {}};
  const auto add = [&](FileToWrite& file, const std::string& name, size_t index, View view) {
    file.tensors.push_back({name, model_->parameters()[index].shape, [this, view](int64_t begin, std::span<float> out) {
                              return chip_.copy_out(out.data(), view.address + begin * 4,
                                                    static_cast<int64_t>(out.size_bytes()));
                            }});
  };
  for (size_t i = 0; i < model_->parameters().size(); ++i) {
    const auto index = static_cast<int64_t>(i);
    const std::string& name = model_->parameters()[i].name;
    if (is_kept(*model_, i, recipe_.lora.rank > 0)) add(weights, name, i, model_->values().view(index));
    const bool is_renewed = reference_ && state_.reference_step > 0;
    if (is_renewed && reference_->holds(index)) add(reference, name, i, reference_->values().view(index));
    if (optimizer_->first().holds(index)) add(moments, "m." + name, i, optimizer_->first().view(index));
    if (optimizer_->second().holds(index)) add(moments, "v." + name, i, optimizer_->second().view(index));
  }
  Json state = state_json(state_);
  state["numerics_id"] = plan_.numerics_id;
  NARU_ASSIGN(state["config_sha256"], config_sha256(files_));
  if (recipe_.lora.rank > 0) {
    NARU_ASSIGN(state["frozen_sha256"], frozen_sha256(*model_, files_));
  }
  state["recipe_identity"] = recipes::recipe_identity(recipe_);
  state["data"] = to_json(*data_record_);
  if (reference_ && state_.reference_step == 0) state["reference_sha256"] = start_sha256_;
  std::vector<FileToWrite> files = {std::move(weights), std::move(moments)};
  if (!reference.tensors.empty()) files.push_back(std::move(reference));
  if (std::string kept = batches_->kept(state_.step); !kept.empty()) {
    state["batches"] = true;
    files.push_back({"batches", {}, std::move(kept)});
  }
  NARU_TRY(run_->check());
  NARU_TRY(store_->write(state_.step, files, state.dump()));
  saved_step_ = state_.step;
  NARU_TRY(store_->prune(state_.step, recipe_.checkpoint.keep, state_.best_step));
  NARU_ASSIGN(const bool has_later, store_->has_later(state_.step));
  NARU_TRY(run_->settle(state_.step, has_later));
  const auto step = static_cast<double>(state_.step);
  return run_->set({}, {{"seconds", state_.seconds}, {"step", step}, {"saved_step", step}});
}

Status RunningTrainer::read_tensor(const CheckpointInfo& checkpoint, const formats::TensorFiles& file,
                                   const models::Parameter& parameter, View view) const {
  const formats::TensorEntry* entry = file.find(parameter.name);
  if (entry == nullptr || entry->dtype != DType::kF32 || entry->shape != parameter.shape) {
    return foreign(checkpoint.folder, fmt::format("its tensor '{}' {}", parameter.name,
                                                  entry == nullptr ? "is missing" : "has another shape"));
  }
  return chip_.copy_in(view.address, file.bytes(*entry).data(), entry->bytes);
}

Status RunningTrainer::load(const CheckpointInfo& checkpoint) {
  const std::filesystem::path& folder = checkpoint.folder;
  NARU_ASSIGN(RunState state, parse_state(checkpoint.state_json, of_checkpoint(folder)));
  if (state.step != checkpoint.step) return foreign(folder, fmt::format("its state is of step {}", state.step));
  const Json json = Json::parse(checkpoint.state_json, nullptr, false);
  NARU_TRY(check_arithmetic(json, plan_.numerics_id, folder));
  NARU_TRY(check_config(json, files_, recipe_, folder));
  if (recipe_.lora.rank > 0) {
    NARU_ASSIGN(const std::string frozen, frozen_sha256(*model_, files_));
    if (text_of(json, "frozen_sha256") != frozen) {
      return foreign(folder, "its adapters were trained beside other weights than those of model.path");
    }
  }
  const auto read = [&](const formats::TensorFiles& files, const std::string& name, size_t index, View view) {
    models::Parameter parameter = model_->parameters()[index];
    parameter.name = name;
    return read_tensor(checkpoint, files, parameter, view);
  };
  NARU_ASSIGN(const formats::TensorFiles weights, open_checkpoint_file(checkpoint, "weights"));
  NARU_ASSIGN(const formats::TensorFiles moments, open_checkpoint_file(checkpoint, "moments"));
  for (size_t i = 0; i < model_->parameters().size(); ++i) {
    NARU_TRY(check_given_up());
    const auto index = static_cast<int64_t>(i);
    const std::string& name = model_->parameters()[i].name;
    if (is_kept(*model_, i, recipe_.lora.rank > 0)) NARU_TRY(read(weights, name, i, model_->values().view(index)));
    if (optimizer_->first().holds(index)) NARU_TRY(read(moments, "m." + name, i, optimizer_->first().view(index)));
    if (optimizer_->second().holds(index)) NARU_TRY(read(moments, "v." + name, i, optimizer_->second().view(index)));
  }
  for (const formats::TensorFiles* files : {&weights, &moments}) NARU_TRY(files->check_unchanged());
  NARU_TRY(restore_reference(checkpoint, state.reference_step, text_of(json, "reference_sha256")));
  NARU_ASSIGN(const std::string kept, kept_batches(json, checkpoint));
  NARU_TRY(batches_->restore(state.step, kept));
  // The best one by other validation data is not comparable.
  NARU_ASSIGN(const auto data, data_of(checkpoint));
  const bool is_comparable =
      !validation_ || !data || !data->validation || data->validation->documents_sha256 == validation_->sha256();
  if (!is_comparable) state.best_step = -1;
  state_ = std::move(state);
  saved_step_ = state_.step;
  kept_step_ = -1;
  return model_->refresh();
}

// Everything that decides bits and is not sent from one process to the others.
Status RunningTrainer::check_alike() {
  if (peers_->count() == 1) return {};
  NARU_ASSIGN(const std::string config, config_sha256(files_));
  const std::vector<std::pair<std::string, std::string>> mine = {
      {"recipe", recipes::recipe_identity(recipe_)},
      {"arithmetic", plan_.numerics_id},
      {"config", config},
      {"data", batches_->record().documents_sha256},
      {"validation data", validation_ ? validation_->sha256() : ""},
      {"number of steps", fmt::format("{}", plan_.steps)},
      {"timing of validation or rechecks",
       fmt::format("{} {} {}", recipe_.validate.every, recipe_.validate.rows, recipe_.guard.recheck_every)}};
  std::string text;
  for (const auto& [name, value] : mine) text += value + '\n';
  NARU_ASSIGN(const std::vector<std::string> all, peers_->gather(text));
  for (size_t rank = 1; rank < all.size(); ++rank) {
    std::string_view first = all[0], other = all[rank];
    for (const auto& [name, value] : mine) {
      const size_t end = std::min(first.find('\n'), first.size());
      if (first.substr(0, end) != other.substr(0, std::min(other.find('\n'), other.size()))) {
        return Error{Code::kInvalidArgument,
                     fmt::format("training together: process {} has another {} than process 0; start all of them "
                                 "with the same naru, recipe, model and data",
                                 rank, name)};
      }
      first.remove_prefix(std::min(end + 1, first.size()));
      other.remove_prefix(std::min(end + 1, other.size()));
    }
  }
  return {};
}

// Rank 0 has read a checkpoint, or begun; the others get all that the next bit depends on.
Status RunningTrainer::share_state() {
  if (peers_->count() == 1) return {};
  NARU_TRY(chip_.wait());
  Json own = state_json(state_);
  own["seconds"] = state_.seconds;
  own["is_resumed"] = is_resumed_;
  own["saved_step"] = saved_step_;
  NARU_ASSIGN(const std::string text, say_to_all(*peers_, own.dump()));
  NARU_ASSIGN(const std::string kept, say_to_all(*peers_, is_writer() ? batches_->kept(state_.step) : ""));
  for (const ParameterBuffer* buffer : {&model_->values(), &optimizer_->first(), &optimizer_->second()}) {
    NARU_TRY(copy_to_all(*peers_, chip_, buffer->all()));
  }
  if (reference_) NARU_TRY(copy_to_all(*peers_, chip_, reference_->values().all()));
  if (is_writer()) return {};
  const StateOrigin place{"training together: reading the state that process 0 sent",
                          "start all processes with the same naru"};
  NARU_ASSIGN(state_, parse_state(text, place));
  const Json json = Json::parse(text, nullptr, false);
  is_resumed_ = json.value("is_resumed", false);
  NARU_ASSIGN(saved_step_, integer_of(json, "saved_step", place));
  NARU_TRY(batches_->restore(state_.step, kept));
  return model_->refresh();
}

}  // namespace naru::train
