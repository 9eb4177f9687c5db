// Opening a run: files, data, the memory plan, the model. Where it goes on is trainer_start.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/home.h"
#include "base/memory.h"
#include "train/distill_loss.h"
#include "train/one_step.h"
#include "train/rollout_batches.h"
#include "train/trainer_state.h"

namespace naru::train {
namespace {

constexpr int64_t kProgramBytes = int64_t{20} << 20;  // code, libraries, tables
constexpr int64_t kDocumentsPlanned = 2000;           // of a generator, where a run is only planned

}  // namespace

RunningTrainer::RunningTrainer(const recipes::Recipe& recipe, std::filesystem::path recipe_folder, contract::Chip& chip,
                               TrainerEvents events, const StartOptions& start, TrainerParts parts)
    : recipe_(recipe),
      recipe_folder_(std::move(recipe_folder)),
      chip_(chip),
      events_(std::move(events)),
      start_(start),
      parts_(std::move(parts)),
      peers_(parts_.peers != nullptr ? parts_.peers : &alone_),
      folder_(recipe.output.empty() ? std::filesystem::path("runs") / recipe.name
                                    : std::filesystem::path(with_home(recipe.output))) {}

TrainableModel::Options RunningTrainer::model_options() const {
  return {.compute = recipe_.compute,
          .is_latent_form = files_.is_latent_form,
          .recompute = recipe_.recompute,
          .shares_prompts = recipe_.kind == recipes::RunKind::kGrpo && recipe_.grpo.share_prompts,
          .lora = recipe_.lora,
          .check = [this] { return check_given_up(); }};
}

Status RunningTrainer::open_data() {
  NARU_TRY(open_teachers());  // before anything long: whether they can teach at all
  NARU_TRY(open_problems());
  const text::ChatTemplate* chat = files_.chat_template ? &*files_.chat_template : nullptr;
  data::StreamOptions reading{.should_stop = events_.should_give_up, .progress = {}};
  if (events_.progress) {
    reading.progress = [this](int64_t done, int64_t total) { events_.progress("documents", done, total); };
  }
  // How many rows there are decides how many steps epochs are.
  if (is_plan_ && recipe_.steps > 0) reading.generated_max = kDocumentsPlanned;
  if (parts_.batches) {
    NARU_ASSIGN(batches_, parts_.batches(recipe_, files_));
  } else if (recipe_.kind == recipes::RunKind::kGrpo) {
    NARU_ASSIGN(batches_, RolloutBatches::open(recipe_, files_, recipe_folder_, judge_));
    parts_.objective = std::make_shared<PolicyLoss>(policy_options(recipe_));
  } else if (recipe_.kind == recipes::RunKind::kDistill) {
    std::vector<data::DataFile> files;
    for (Teacher& teacher : *teachers_) {
      NARU_TRY(teacher.hash_files([this] { return !is_open_ && is_given_up(); }));
      files.insert(files.end(), teacher.files().begin(), teacher.files().end());
    }
    NARU_ASSIGN(batches_, RolloutBatches::open(recipe_, files_, recipe_folder_, judge_, std::move(files)));
    parts_.objective = std::make_shared<DistillLoss>(teachers_, recipe_.distill.temperature);
  } else {
    NARU_ASSIGN(data::BatchStream stream,
                data::BatchStream::open(recipe_, recipe_.data, *files_.tokenizer, chat, recipe_folder_, reading));
    batches_ = std::make_unique<DocumentBatches>(std::move(stream), recipe_.data);
  }
  // Held-out problems are asked; their solutions are no texts to be learnt.
  if (!recipe_.validation.empty() && !has_rollouts()) {
    NARU_ASSIGN(validation_,
                data::BatchStream::open(recipe_, recipe_.validation, *files_.tokenizer, chat, recipe_folder_, reading));
  }
  plan_.data_files = batches_->record().files;
  plan_.steps =
      recipe_.steps > 0
          ? recipe_.steps
          : static_cast<int64_t>(std::ceil(recipe_.epochs * static_cast<double>(batches_->steps_per_epoch())));
  return {};
}

Status RunningTrainer::open_teachers() {
  if (recipe_.kind != recipes::RunKind::kDistill) return {};
  teachers_ = std::make_shared<std::vector<Teacher>>();
  for (const recipes::TeacherRecipe& one : recipe_.teacher) {
    NARU_ASSIGN(Teacher teacher, Teacher::open(one, recipe_folder_, recipe_.batch.context, files_, chip_));
    teachers_->push_back(std::move(teacher));
  }
  return {};
}

Status RunningTrainer::plan_memory() {
  NARU_ASSIGN(TrainingRoom largest, batches_->largest(plan_.steps, events_.should_give_up));
  if (validation_) {
    NARU_TRY(widen_to_all_rows(largest, *validation_, recipe_.validate.rows, events_.should_give_up));
  }
  const int64_t rows = largest.rows;
  const double balance = files_.config.moe.experts > 0 ? recipe_.loss.balance : 0;
  NARU_ASSIGN(room_,
              measure_room(chip_, files_.config, model_options(), rows, largest.documents, balance, parts_.objective));
  room_.pages = std::max(room_.pages, largest.pages);
  const auto planner = chip_.planner();
  NARU_ASSIGN(TrainableModel shape, TrainableModel::create(*planner, files_.config, model_options(), {}, 0));
  NARU_TRY(shape.reserve(room_));
  const int64_t all = models::all_parameters(shape.parameters());
  int64_t trained = 0, moments = 0;
  for (size_t i = 0; i < shape.parameters().size(); ++i) {
    const models::Parameter& parameter = shape.parameters()[i];
    if (!shape.trained()[i]) continue;
    trained += parameter.n_elements();
    const bool is_muon = recipe_.optimizer.kind == "muon" && parameter.is_matrix();
    moments += parameter.n_elements() * (is_muon ? 1 : 2);
  }
  plan_.n_parameters = all;
  plan_.n_trained = trained;
  plan_.n_active = models::active_parameters(files_.config, shape.parameters());
  // Of a model without adapters everything that a token meets is trained; adapters are met by every token.
  const int64_t n_learning = recipe_.lora.rank > 0 ? trained : plan_.n_active;
  plan_.operations_per_token = 4.0 * static_cast<double>(plan_.n_active) + 2.0 * static_cast<double>(n_learning);
  plan_.batch_tokens = rows;
  plan_.values_bytes = 4 * all;
  plan_.packed_bytes = shape.memory().packed;
  // How many micro-batches answers make is known when they are written.
  const recipes::RolloutRecipe& rollout = recipes::rollout_of(recipe_);
  const int64_t n_micro_batches = has_rollouts()
                                      ? rollout.prompts * rollout.answers
                                      : (recipe_.batch.rows + recipe_.batch.micro_rows - 1) / recipe_.batch.micro_rows;
  plan_.gradient_bytes = 4 * trained * GradientSum::copies(n_micro_batches, recipe_.batch.groups);
  plan_.moment_bytes = 4 * moments;
  if (recipe_.kind == recipes::RunKind::kGrpo && recipe_.grpo.kl_weight > 0) {
    NARU_ASSIGN(const ReferencePolicy reference, ReferencePolicy::create(shape));
    plan_.reference_bytes = reference.values().bytes();
  }
  if (recipe_.guard.recheck_every > 0) {  // two states of values and moments
    plan_.recheck_bytes = 2 * (4 * (recipe_.lora.rank > 0 ? trained : all) + plan_.moment_bytes);
  }
  plan_.activation_bytes = room_.activation_bytes + room_.gradient_bytes;
  plan_.cache_bytes = shape.memory().cache;
  plan_.data_bytes = batches_->held_bytes() + batches_->record().n_tokens * kTokenBytes;
  if (validation_) plan_.data_bytes += (validation_->n_tokens() + validation_->n_tokens_left_out()) * kTokenBytes;
  if (held_out_) plan_.data_bytes += held_out_->source().held_bytes();
  int64_t scratch_bytes = room_.scratch_bytes;
  for (size_t i = 0; teachers_ && i < teachers_->size(); ++i) {
    NARU_ASSIGN(const TeacherMemory memory, (*teachers_)[i].memory(room_.rows, room_.documents));
    plan_.teacher_bytes += memory.weights + memory.activations;
    plan_.teacher_parameters += (*teachers_)[i].n_active_parameters();
    scratch_bytes = std::max(scratch_bytes, memory.scratch);
  }
  plan_.program_bytes = kProgramBytes + scratch_bytes;
  NARU_ASSIGN(const Rollout::Size answers, Rollout::size(recipe_, files_));
  if (answers.sessions > 0) {
    NARU_ASSIGN(plan_.rollout_bytes, Rollout::bytes(shape, answers));
  }
  plan_.numerics_id = numerics_id(recipe_.compute, files_.config, files_.is_latent_form);
  const contract::ChipMemory memory = chip_.memory();
  plan_.available_bytes = memory.free + (memory.is_host ? 0 : plan_.data_bytes + plan_.recheck_bytes + kProgramBytes);
  return {};
}

Status RunningTrainer::make_model() {
  NARU_ASSIGN(model_, TrainableModel::create(
                          chip_, files_.config, model_options(),
                          [this](int64_t i, float* out) -> Status {
                            NARU_TRY(check_given_up());
                            return files_.read(i, recipe_, out);
                          },
                          recipe_.seed));
  NARU_TRY(model_->reserve(room_));
  NARU_ASSIGN(optimizer_, Optimizer::create(recipe_.optimizer, *model_));
  sum_.emplace(*model_, *peers_);
  NARU_TRY(make_reference());
  if (!teachers_) return {};
  for (Teacher& teacher : *teachers_) {
    NARU_TRY(teacher.load(chip_, [this] { return check_given_up(); }));
    NARU_TRY(teacher.reserve(room_.rows, room_.documents));
  }
  return {};
}

Status RunningTrainer::check_given_up() const {
  if (is_open_ || !is_given_up()) return {};
  return Error{Code::kCancelled, "opening the run: stopped as asked; nothing was changed"};
}

Status RunningTrainer::look(bool is_plan) {
  is_plan_ = is_plan;
  if (recipe_.kind == recipes::RunKind::kRejection) {
    return Error{Code::kUnsupported,
                 fmt::format("training {}: its kind is rejection, which trains nothing; `naru train` and `naru sample` "
                             "run it",
                             recipe_.name)};
  }
  NARU_ASSIGN(files_, open_training_model(recipe_, recipe_folder_));
  if (files_.checkpoint) {
    for (const std::string& line : files_.checkpoint->notes) note(line);
  }
  if (files_.n_predictions_left_out > 0) {
    note(fmt::format("the model's prediction layers ({}) are left out, as loss.mtp is 0; the result has none",
                     files_.n_predictions_left_out));
  }
  NARU_TRY(check_given_up());
  NARU_TRY(open_data());
  NARU_TRY(check_given_up());
  return plan_memory();
}

Status RunningTrainer::open() {
  NARU_TRY(look(false));
  NARU_TRY(check_fits(plan_));
  NARU_TRY(check_alike());
  if (is_writer()) {
    NARU_ASSIGN(run_, runs::RunFolder::open(folder_, recipe_, start_.starts_over));
    folder_ = run_->path();
  }
  NARU_TRY(make_model());
  if (is_writer()) NARU_TRY(begin_or_resume());
  NARU_TRY(share_state());
  is_open_ = true;
  if (is_writer() && !is_finished_) NARU_TRY(describe_start());
  if (events_.opened) events_.opened(is_writer() ? static_cast<int64_t>(run_->field("starts").size()) : 1, state_.step);
  return {};
}

// What run.json says of the run and of where it is at work now.
Status RunningTrainer::describe_start() {
  const contract::ChipInfo info = chip_.info();
  const std::string chip = info.level.empty() ? info.name : info.name + "/" + info.level;
  const bool is_same_machine =
      run_->field("chip") == chip && run_->field("machine") == info.detail && run_->field("threads") == info.n_threads;
  const nlohmann::json known = run_->field("peak_operations_per_s");
  if (is_same_machine && known.is_number() && known > 0) {
    peak_ = known.get<double>();
  } else if (start_.measure_peak) {
    peak_ = start_.measure_peak();
  }
  std::vector<std::pair<std::string, std::string>> texts = {
      {"numerics_id", plan_.numerics_id},
      {"chip", chip},
      {"machine", info.detail},
      {"model", recipe_.model.path.empty() ? recipe_.model.config : recipe_.model.path},
      {"naru", start_.version},
      {"fault", start_.fault},
      {"command", start_.command}};
  std::erase_if(texts, [](const auto& text) { return text.second.empty(); });
  return run_->set(texts, {{"steps", static_cast<double>(plan_.steps)},
                           {"parameters", static_cast<double>(plan_.n_parameters)},
                           {"active_parameters", static_cast<double>(plan_.n_active)},
                           {"trained_parameters", static_cast<double>(plan_.n_trained)},
                           {"operations_per_token", plan_.operations_per_token},
                           {"peak_operations_per_s", peak_},
                           {"threads", static_cast<double>(info.n_threads)},
                           {"planned_memory_bytes", static_cast<double>(plan_.total_bytes())}});
}

Status check_fits(const TrainingPlan& plan) {
  if (plan.total_bytes() <= plan.available_bytes) return {};
  const std::string teachers =
      plan.teacher_bytes > 0 ? fmt::format(", teachers {}", format_bytes(plan.teacher_bytes)) : "";
  return Error{
      Code::kResourceExhausted,
      fmt::format("planning the run: it needs {} ({} parameters with all that is kept of each {}, packed matrices {}, "
                  "activations of {} tokens {}{}), {} are available; lower batch.micro_rows or batch.context, or set "
                  "recompute = true{}",
                  format_bytes(plan.total_bytes()), plan.n_parameters,
                  format_bytes(plan.values_bytes + plan.gradient_bytes + plan.moment_bytes + plan.reference_bytes),
                  format_bytes(plan.packed_bytes), plan.batch_tokens, format_bytes(plan.activation_bytes), teachers,
                  format_bytes(plan.available_bytes),
                  teachers.empty() ? "" : ", or take a smaller teacher (a quantised kind)")};
}

Result<std::unique_ptr<Trainer>> Trainer::open(const recipes::Recipe& recipe,
                                               const std::filesystem::path& recipe_folder, contract::Chip& chip,
                                               TrainerEvents events, const StartOptions& start, TrainerParts parts) {
  auto trainer =
      std::make_unique<RunningTrainer>(recipe, recipe_folder, chip, std::move(events), start, std::move(parts));
  NARU_TRY(trainer->open());
  return std::unique_ptr<Trainer>(std::move(trainer));
}

Result<TrainingPlan> Trainer::plan_run(const recipes::Recipe& recipe, const std::filesystem::path& recipe_folder,
                                       contract::Chip& chip, TrainerEvents events) {
  RunningTrainer trainer(recipe, recipe_folder, chip, std::move(events), {}, {});
  NARU_TRY(trainer.look(true));
  return trainer.plan();
}

}  // namespace naru::train
