#include "models/adapters.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "models/families.h"
#include "models/stored_tensor.h"

namespace naru::models {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kA = ".lora_A.weight";
constexpr std::string_view kB = ".lora_B.weight";
constexpr std::string_view kWeight = ".weight";
constexpr std::string_view kOtherModel = "is the adapter of another model?";

nn::Linear* attention_linear(DecoderLayer& layer, Role role) {
  if (auto* grouped = std::get_if<nn::GroupedQueryAttention>(&layer.attention)) {
    switch (role) {
      case Role::kQ: return &grouped->q;
      case Role::kK: return &grouped->k;
      case Role::kV: return &grouped->v;
      case Role::kO: return &grouped->o;
      default: return nullptr;
    }
  }
  auto& latent = std::get<nn::LatentAttention>(layer.attention);
  const bool has_rank = latent.q_a.weight != nullptr;
  switch (role) {
    case Role::kQ: return has_rank ? nullptr : &latent.q_b;
    case Role::kQA: return has_rank ? &latent.q_a : nullptr;
    case Role::kQB: return has_rank ? &latent.q_b : nullptr;
    case Role::kKvA: return &latent.kv_a;
    case Role::kO: return &latent.o;
    default: return nullptr;
  }
}

nn::Linear* feed_forward_linear(DecoderLayer& layer, Role role) {
  auto* dense = std::get_if<nn::FeedForward>(&layer.feed_forward);
  nn::FeedForward* shared = dense == nullptr ? std::get<nn::Experts>(layer.feed_forward).shared.get() : nullptr;
  switch (role) {
    case Role::kGate: return dense == nullptr ? nullptr : &dense->gate;
    case Role::kUp: return dense == nullptr ? nullptr : &dense->up;
    case Role::kDown: return dense == nullptr ? nullptr : &dense->down;
    case Role::kSharedGate: return shared == nullptr ? nullptr : &shared->gate;
    case Role::kSharedUp: return shared == nullptr ? nullptr : &shared->up;
    case Role::kSharedDown: return shared == nullptr ? nullptr : &shared->down;
    default: return nullptr;
  }
}

// "model.layers.0.self_attn.q_proj" of either of its parts' names; empty for any other name.
std::string_view module_of(std::string_view tensor) {
  if (!tensor.starts_with(kPeftPrefix) || !(tensor.ends_with(kA) || tensor.ends_with(kB))) return {};
  tensor.remove_prefix(kPeftPrefix.size());
  tensor.remove_suffix(kA.size());
  return tensor;
}

Error loading(Code code, const AdapterFiles& files, std::string_view what) {
  return {code, fmt::format("loading the adapter {}: {}", files.folder.string(), what)};
}

class Attaching {
 public:
  Attaching(const AdapterFiles& files, contract::ComputeMode compute, contract::Chip& chip)
      : files_(files), compute_(compute), chip_(chip) {}

  // A and B of one module beside its matrix.
  Status add(const std::string& module, nn::Linear& linear) {
    linear.adapter = std::make_unique<nn::Adapter>();
    linear.adapter->scale = files_.config.scale();
    const contract::PackedMatrix& full = *linear.weight;
    const int64_t rank = files_.config.rank;
    NARU_ASSIGN(linear.adapter->a, part(module, kA, rank, full.inputs));
    NARU_ASSIGN(linear.adapter->b, part(module, kB, full.outputs, rank));
    return {};
  }
  int64_t bytes() const { return bytes_; }

 private:
  Result<std::unique_ptr<contract::PackedMatrix>> part(const std::string& module, std::string_view suffix,
                                                       int64_t outputs, int64_t inputs) {
    const std::string name = std::string(kPeftPrefix) + module + std::string(suffix);
    const formats::TensorEntry* entry = files_.tensors.find(name);
    if (entry == nullptr) {
      return loading(
          Code::kCorrupt, files_,
          fmt::format("it has one part of '{}' and not the other, '{}'; fetch the adapter again", module, name));
    }
    if (entry->shape != std::vector<int64_t>{outputs, inputs}) {
      return loading(Code::kInvalidArgument, files_,
                     fmt::format("tensor '{}' has the shape {}, [{}, {}] was wanted (rank {}); {}", name,
                                 entry->shape_text(), outputs, inputs, files_.config.rank, kOtherModel));
    }
    const bool is_plain = entry->unread.empty() &&
                          (entry->dtype == DType::kF32 || entry->dtype == DType::kF16 || entry->dtype == DType::kBF16);
    if (!is_plain) {
      return loading(Code::kUnsupported, files_,
                     fmt::format("tensor '{}' is stored as {}; F32, F16 or BF16 was wanted; save the adapter in one of "
                                 "these",
                                 name, entry->unread.empty() ? dtype_name(entry->dtype) : entry->unread));
    }
    return pack(*entry, outputs, inputs);
  }

  Result<std::unique_ptr<contract::PackedMatrix>> pack(const formats::TensorEntry& entry, int64_t outputs,
                                                       int64_t inputs) {
    const contract::Rule rule = contract::rule_of(entry.dtype, compute_);
    bytes_ += chip_.packed_bytes(entry.dtype, rule, 1, outputs, inputs);
    if (!chip_.info().is_planner) NARU_TRY(files_.tensors.check_unchanged());
    const std::byte* data = files_.tensors.bytes(entry).data();
    const int64_t row_bytes = inputs * dtype_info(entry.dtype).block_bytes;
    contract::MatrixSource source;
    source.dtype = entry.dtype;
    source.outputs = outputs;
    source.inputs = inputs;
    source.row = [=](int64_t, int64_t row, std::byte*) { return data + row * row_bytes; };
    return chip_.pack(source, rule);
  }

  const AdapterFiles& files_;
  contract::ComputeMode compute_;
  contract::Chip& chip_;
  int64_t bytes_ = 0;
};

// The modules that the tensors belong to, each of which the model has.
Result<std::set<std::string>> list_modules(const AdapterFiles& files, formats::Family family, Decoder& decoder) {
  std::set<std::string> modules;
  for (const formats::TensorEntry& entry : files.tensors.entries()) {
    const std::string module(module_of(entry.name));
    if (module.empty()) {
      return loading(Code::kUnsupported, files,
                     fmt::format("tensor '{}' is no part of a LoRA module ({}...{} and {}); merge the adapter into its "
                                 "model with PEFT (merge_and_unload) and run that",
                                 entry.name, kPeftPrefix, kA, kB));
    }
    if (adaptable_linear(decoder, family, module + std::string(kWeight)) == nullptr) {
      const bool is_known = place_of(names_of(family), module + std::string(kWeight)).has_value();
      return loading(is_known ? Code::kUnsupported : Code::kInvalidArgument, files,
                     fmt::format("tensor '{}' adapts '{}', which {}; {}", entry.name, module,
                                 is_known ? "cannot have an adapter in this model"
                                          : fmt::format("a {} model has not", family_name(family)),
                                 is_known ? "merge the adapter into its model with PEFT (merge_and_unload) and run that"
                                          : kOtherModel));
    }
    modules.insert(module);
  }
  return modules;
}

}  // namespace

nn::Linear* adaptable_linear(Decoder& decoder, formats::Family family, std::string_view parameter_name) {
  const auto place = place_of(names_of(family), parameter_name);
  if (!place || place->layer >= static_cast<int64_t>(decoder.layers.size())) return nullptr;
  DecoderLayer& layer = decoder.layers[static_cast<size_t>(place->layer)];
  nn::Linear* linear = attention_linear(layer, place->role);
  return linear != nullptr ? linear : feed_forward_linear(layer, place->role);
}

Result<AdapterFiles> open_adapter(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    return Error{Code::kNotFound,
                 fmt::format("opening the adapter {}: there is no such folder; give one with adapter_config.json and "
                             "adapter_model.safetensors",
                             folder.string())};
  }
  NARU_ASSIGN(formats::AdapterConfig config, formats::read_adapter_config(folder));
  const fs::path path = folder / "adapter_model.safetensors";
  if (!fs::exists(path, ignored)) {
    const bool is_pickled = fs::exists(folder / "adapter_model.bin", ignored);
    return Error{Code::kNotFound,
                 fmt::format("opening the adapter {}: there is no adapter_model.safetensors{}; {}", folder.string(),
                             is_pickled ? ", only adapter_model.bin, which can hold any program" : "",
                             is_pickled ? "save it with safe_serialization=True" : "fetch the adapter again")};
  }
  NARU_ASSIGN(formats::TensorFiles tensors, formats::TensorFiles::open(path));
  AdapterFiles files{folder, std::move(config), std::move(tensors)};
  if (files.tensors.entries().empty()) {
    return loading(Code::kCorrupt, files, "adapter_model.safetensors has no tensors; fetch the adapter again");
  }
  return files;
}

Result<int64_t> attach_adapter(const AdapterFiles& files, formats::Family family, contract::ComputeMode compute,
                               contract::Chip& chip, Decoder& decoder) {
  NARU_ASSIGN(const std::set<std::string> modules, list_modules(files, family, decoder));
  const std::set<std::string> targets(files.config.targets.begin(), files.config.targets.end());
  for (const std::string& target : targets) {
    const bool is_there = std::any_of(modules.begin(), modules.end(), [&](const std::string& module) {
      return module == target || module.ends_with("." + target);
    });
    if (is_there) continue;
    return loading(Code::kCorrupt, files,
                   fmt::format("target_modules of its config names '{}', but its tensors have none; fetch the adapter "
                               "again",
                               target));
  }
  Attaching attaching(files, compute, chip);
  for (const std::string& module : modules) {
    NARU_TRY(attaching.add(module, *adaptable_linear(decoder, family, module + std::string(kWeight))));
  }
  if (!chip.info().is_planner) NARU_TRY(files.tensors.check_unchanged());  // else it may be of two adapters
  return attaching.bytes();
}

}  // namespace naru::models
