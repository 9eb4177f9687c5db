// naru grads: token ids in, the mean next-token cross entropy and its gradient for every parameter out, for comparing
// engines. Parameters keep the names of the model's files; its routing biases have no gradient.
#include "cli/grads.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>

#include "base/file.h"
#include "base/memory.h"
#include "cli/find_model.h"
#include "cli/interrupts.h"
#include "cli/json_text.h"
#include "cli/open_model.h"
#include "cli/terminal.h"
#include "cli/token_ids.h"
#include "formats/safetensors_writer.h"
#include "train/chip_values.h"
#include "train/one_document.h"
#include "train/prediction_targets.h"
#include "train/trainable_model.h"

namespace naru::cli {
namespace {

using formats::AttentionForm;
using models::Parameter;

// A tensor of the output: one parameter, or the experts of a layer stacked as the model's files stack them.
struct OutTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<int64_t> parameters;  // written one after the other
};

// "PREFIX.experts." of an expert's parameter, or "".
std::string stack_prefix(const std::string& name) {
  const size_t at = name.find(".mlp.experts.");
  return at == std::string::npos ? "" : name.substr(0, at) + ".mlp.experts.";
}

std::vector<OutTensor> out_tensors(const formats::TensorFiles& files, const train::TrainableModel& model) {
  std::vector<OutTensor> result;
  const auto& parameters = model.parameters();
  const int64_t n_experts = model.config().moe.experts;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& p = parameters[i];
    const auto index = static_cast<int64_t>(i);
    if (!model.is_trained(index)) continue;
    const std::string prefix = stack_prefix(p.name);
    if (prefix.empty() || files.find(prefix + "gate_up_proj") == nullptr) {
      result.push_back({p.name, p.shape, {index}});
      continue;
    }
    const bool is_down = p.name.ends_with("down_proj.weight");
    const std::string stacked = prefix + (is_down ? "down_proj" : "gate_up_proj");
    const auto found =
        std::find_if(result.begin(), result.end(), [&](const OutTensor& t) { return t.name == stacked; });
    if (found != result.end()) {
      found->parameters.push_back(index);
    } else {
      result.push_back({stacked, {n_experts, p.rows() * (is_down ? 1 : 2), p.cols()}, {index}});
    }
  }
  return result;
}

Status write_grads(AtomicFile file, const formats::TensorFiles& files, const train::TrainableModel& model,
                   const train::ParameterBuffer& grads, float loss) {
  formats::SafetensorsWriter out;
  out.add_metadata("format", "pt");
  const std::vector<OutTensor> tensors = out_tensors(files, model);
  NARU_TRY(out.add_tensor("loss", DType::kF32, {1}));
  for (const OutTensor& tensor : tensors) NARU_TRY(out.add_tensor(tensor.name, DType::kF32, tensor.shape));
  NARU_TRY(out.begin(std::move(file)));
  NARU_TRY(out.write(std::as_bytes(std::span(&loss, 1))));
  for (const OutTensor& tensor : tensors) {
    for (const int64_t index : tensor.parameters) {
      NARU_TRY(train::for_each_piece(model.chip(), grads.view(index), [&](std::span<const float> values, int64_t) {
        return out.write(std::as_bytes(values));
      }));
    }
  }
  return out.finish();
}

// The mean over the targets; each depth of prediction layers adds its own mean, weighted.
float total_loss(const train::TrainableModel::MicroResult& result, const train::TrainableModel::StepScale& scale) {
  double loss = train::quotient(result.sums.loss, scale.divisor);
  const size_t n_depths = result.sums.prediction_losses.size();
  for (size_t depth = 0; depth < n_depths; ++depth) {
    loss += scale.prediction_weight / static_cast<double>(n_depths) *
            train::quotient(result.sums.prediction_losses[depth], scale.prediction_divisors[depth]);
  }
  return static_cast<float>(loss);
}

Status check_memory(const contract::Chip& chip, int64_t needed) {
  const int64_t available = chip.memory().free;
  if (needed <= available) return {};
  return Error{
      Code::kResourceExhausted,
      fmt::format("planning the gradients: they need {}, {} are available; give fewer ids, use --recompute, or "
                  "a machine with more memory",
                  format_bytes(needed), format_bytes(available))};
}

}  // namespace

Status grads_command(const GradsOptions& options) {
  end_at_first_interrupt();
  const auto begin = std::chrono::steady_clock::now();
  NARU_ASSIGN(const models::ModelFiles files, models::open_model_files(options.model.path));
  for (const std::string& note : files.notes) print_note(note);
  NARU_ASSIGN(formats::ModelConfig config, models::plain_config(files.tensors, files.config));
  if (options.mtp > 0) {
    config.mtp_layers = files.config.mtp_layers;
    if (config.mtp_layers == 0) {
      return Error{Code::kInvalidArgument,
                   fmt::format("reading {}: --mtp is {}, but the model has no prediction layer; "
                               "leave --mtp out",
                               files.path.string(), options.mtp)};
    }
  }
  NARU_ASSIGN(const MappedFile ids_file, MappedFile::open(options.ids_path));
  const std::string ids_name = short_name(options.ids_path);
  NARU_ASSIGN(const std::vector<int32_t> ids, parse_ids_array(ids_file.bytes(), ids_name));
  NARU_TRY(check_ids(ids, config.vocab, ids_name));
  NARU_ASSIGN(const data::MicroBatch batch, train::one_document(ids, config));
  // The output's place is tried before any work is done.
  NARU_ASSIGN(AtomicFile file, AtomicFile::create(options.out_path, options.existing));

  train::TrainableModel::Options how;
  how.compute = options.model.compute;
  how.is_latent_form = options.model.is_latent.value_or(config.attention_form != AttentionForm::kExpanded);
  how.recompute = options.recompute;
  NARU_ASSIGN(const auto chip, make_chip(options.model));
  NARU_ASSIGN(const train::TrainingRoom room,
              train::measure_room(*chip, config, how, static_cast<int64_t>(ids.size()), 1, 0));
  int64_t floats = 0;
  for (const Parameter& p : models::list_parameters(config)) floats += p.n_elements();
  // Values, gradients, and two packed forms of every matrix.
  NARU_TRY(check_memory(*chip, room.activation_bytes + room.gradient_bytes + 16 * floats));

  const std::vector<Parameter> parameters = models::list_parameters(config);
  NARU_ASSIGN(train::TrainableModel model, train::TrainableModel::create(
                                               *chip, config, how,
                                               [&](int64_t i, float* out) {
                                                 return models::read_parameter(files.tensors, files.config,
                                                                               parameters[static_cast<size_t>(i)], out);
                                               },
                                               0));
  NARU_TRY(model.reserve(room));
  NARU_ASSIGN(const train::GradientBuffer grads, model.make_gradients());
  const auto n_targets = static_cast<int64_t>(ids.size()) - 1;
  data::StepBatch step;
  step.micro_batches = {batch};
  const train::TrainableModel::StepScale scale{
      .divisor = static_cast<double>(n_targets),
      .prediction_weight = options.mtp,
      .prediction_divisors = train::prediction_divisors(step, config.mtp_layers)};
  NARU_ASSIGN(const auto result, model.run(batch, scale, &grads));
  const float loss = total_loss(result, scale);
  install_interrupts();  // one is not enough any more: the file is whole in a moment
  NARU_TRY(write_grads(std::move(file), files.tensors, model, grads, loss));
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  if (options.json) {
    const Json json = {{"loss", loss}, {"tokens", ids.size()}, {"out", options.out_path}, {"run_ms", ms}};
    NARU_TRY(write_out(json_text(json)));
  } else {
    NARU_TRY(write_out(fmt::format("loss {:.6f} over {} tokens; gradients of {} parameters in {}\n", loss, n_targets,
                                   floats, one_line(options.out_path))));
  }
  if (options.model.explain) write_err(kernel_table(*chip));
  return {};
}

Command make_grads() {
  auto o = std::make_shared<GradsOptions>();
  o->model.compute = contract::ComputeMode::kF32;
  const auto text = [](std::string* target) {
    return [target](const Given& given) -> Status {
      *target = given.text;
      return {};
    };
  };
  const auto on = [](bool* target) {
    return [target](const Given&) -> Status {
      *target = true;
      return {};
    };
  };
  Command c{.name = "grads",
            .summary = "loss and gradients of given tokens, for comparing engines",
            .description =
                "Runs a model over token ids forward and backward and writes the mean next-token cross entropy "
                "(tensor loss, [1]) and the gradient of every parameter, under its name in the model's files, as a "
                ".safetensors file of f32. Needs no tokenizer."};
  c.arguments = {
      {"MODEL",
       "a model folder (config.json with .safetensors files), a .gguf file, the name of a pulled model, or builtin",
       true, set_model_path(&o->model.path)}};
  c.flags = {
      {"ids", "FILE", kGroupInput, "a JSON array of token ids", text(&o->ids_path), 0, false, false},
      {"out", "FILE", kGroupInput, "the .safetensors file to write; it appears when it is whole", text(&o->out_path), 0,
       false, false},
      {"compute", "f32|bf16", kGroupNumbers, "f32 (default): f32 products; bf16: parameters and operands rounded",
       [o](const Given& given) -> Status {
         NARU_ASSIGN(const size_t index, parse_word(given, {"f32", "bf16"}));
         o->model.compute = index == 0 ? contract::ComputeMode::kF32 : contract::ComputeMode::kBF16;
         return {};
       }},
      {"latent", "on|off", kGroupNumbers,
       "latent attention's form (DeepSeek models); default: what the model says, else on",
       [o](const Given& given) -> Status {
         NARU_ASSIGN(o->model.is_latent, parse_switch(given));
         return {};
       }},
      {"mtp", "WEIGHT", kGroupNumbers,
       "adds the loss of the prediction layers (DeepSeek-V3) with this weight; default 0: without them",
       [o](const Given& given) -> Status {
         NARU_ASSIGN(o->mtp, parse_number(given, 0, 10));
         return {};
       }},
      {"recompute", "", kGroupMachine, "run each layer again backwards instead of keeping it: less memory",
       on(&o->recompute)},
      threads_flag(&o->model.threads),
      chip_flag(&o->model.chip),
      {"explain", "", kGroupMachine, "at the end, which kernels ran and how often", on(&o->model.explain)},
      force_flag(&o->existing),
      {"json", "", kGroupOutput, "what was done as one JSON object on standard output", on(&o->json), 0, false, false}};
  c.examples = {{"naru grads ./model --ids ids.json --out grads.safetensors", "In f32, to compare with PyTorch."}};
  c.check = [o]() -> Status {
    for (const auto& [name, value] : {std::pair{"--ids", &o->ids_path}, std::pair{"--out", &o->out_path}}) {
      if (!value->empty()) continue;
      return Error{Code::kInvalidArgument,
                   fmt::format("reading the command line: naru grads: {} is missing; for example: naru grads ./model "
                               "--ids ids.json --out grads.safetensors",
                               name)};
    }
    return {};
  };
  c.run = [o] { return grads_command(*o); };
  return c;
}

}  // namespace naru::cli
