#include "train/one_step.h"

#include <fmt/format.h>

#include "base/memory.h"
#include "train/guard.h"
#include "train/one_document.h"
#include "train/optimizer.h"
#include "train/prediction_targets.h"

namespace naru::train {
namespace {

constexpr double kPredictionWeight =
    0.3;  // of the prediction layers' losses: DeepSeek-V3's (section 4.2 of its report)

// With the prediction layers.
Result<formats::ModelConfig> config_of(const models::ModelFiles& files) {
  NARU_ASSIGN(formats::ModelConfig config, models::plain_config(files.tensors, files.config));
  config.mtp_layers = files.config.mtp_layers;
  return config;
}

bool is_latent_form(const formats::ModelConfig& config, const OneStep& step) {
  return step.is_latent.value_or(config.attention_form != formats::AttentionForm::kExpanded);
}

Status check_memory(const contract::Chip& chip, const TrainingRoom& room,
                    const std::vector<models::Parameter>& parameters) {
  int64_t floats = 0;
  for (const models::Parameter& p : parameters) floats += p.n_elements();
  // Values, gradients, two moments, and two packed forms of every matrix.
  const int64_t needed = room.activation_bytes + room.gradient_bytes + 24 * floats;
  const int64_t available = chip.memory().free;
  if (needed <= available) return {};
  return Error{Code::kResourceExhausted,
               fmt::format("planning a step of training on chip {}: it needs {}, {} are available; give a shorter "
                           "prompt, a smaller model or a machine with more memory",
                           chip.info().name, format_bytes(needed), format_bytes(available))};
}

Status update(TrainableModel& model, const GradientBuffer& grads) {
  const recipes::Recipe defaults;
  NARU_ASSIGN(Optimizer optimizer, Optimizer::create(defaults.optimizer, model));
  NARU_ASSIGN(const double norm, optimizer.gradient_norm(grads));
  GuardState guard;
  const GuardDecision decision = judge_norm(defaults.guard, defaults.optimizer.clip_norm, norm, guard);
  NARU_TRY(optimizer.update(grads, defaults.optimizer.lr, decision.scale, 1));
  NARU_TRY(model.refresh());
  return model.chip().wait();
}

}  // namespace

std::string numerics_id(contract::ComputeMode compute, const formats::ModelConfig& config, bool is_latent_form) {
  const bool is_bf16 = compute == contract::ComputeMode::kBF16;
  const std::string_view form = !config.is_mla() ? "grouped" : is_latent_form ? "latent" : "expanded";
  return fmt::format("{}/{}/cache-{}/{}/train", contract::kArithmeticVersion, is_bf16 ? "bf16" : "f32",
                     is_bf16 ? "bf16" : "f32", form);
}

std::string numerics_id(const models::ModelFiles& files, const OneStep& step) {
  return numerics_id(step.compute, files.config, is_latent_form(files.config, step));
}

Status run_one_step(const models::ModelFiles& files, std::span<const int32_t> ids, const OneStep& step,
                    contract::Chip& chip) {
  NARU_ASSIGN(const formats::ModelConfig config, config_of(files));
  NARU_ASSIGN(const data::MicroBatch batch, one_document(ids, config));
  TrainableModel::Options how;
  how.compute = step.compute;
  how.is_latent_form = is_latent_form(config, step);
  const double balance = config.moe.experts > 0 ? recipes::Recipe().loss.balance : 0;
  NARU_ASSIGN(const TrainingRoom room, measure_room(chip, config, how, std::ssize(ids), 1, balance));
  const std::vector<models::Parameter> parameters = models::list_parameters(config);
  NARU_TRY(check_memory(chip, room, parameters));
  NARU_ASSIGN(TrainableModel model, TrainableModel::create(
                                        chip, config, how,
                                        [&](int64_t i, float* out) {
                                          return models::read_parameter(files.tensors, files.config,
                                                                        parameters[static_cast<size_t>(i)], out);
                                        },
                                        0));
  NARU_TRY(model.reserve(room));
  NARU_ASSIGN(const GradientBuffer grads, model.make_gradients());
  NARU_TRY(chip.run(contract::Fill{.out = grads.all(), .value = 0}));
  data::StepBatch whole;
  whole.micro_batches = {batch};
  const TrainableModel::StepScale scale{.divisor = static_cast<double>(std::ssize(ids) - 1),
                                        .balance_weight = balance,
                                        .prediction_weight = config.mtp_layers > 0 ? kPredictionWeight : 0,
                                        .prediction_divisors = prediction_divisors(whole, config.mtp_layers)};
  NARU_TRY(model.run(batch, scale, &grads));
  return update(model, grads);
}

}  // namespace naru::train
