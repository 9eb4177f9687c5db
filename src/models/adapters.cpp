#include "models/adapters.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace naru::models {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kOtherModel = "is the adapter of another model?";

// The matrices beside which an adapter can stand, and where a layer has each: those that it issues by themselves. Of
// experts and kv_b one op takes all.
struct Adaptable {
  Role role;
  nn::Linear nn::GroupedQueryAttention::*grouped = nullptr;
  nn::Linear nn::LatentAttention::*latent = nullptr;
  nn::Linear nn::FeedForward::*dense = nullptr;
  nn::Linear nn::FeedForward::*shared = nullptr;
};
constexpr Adaptable kAdaptable[] = {
    {.role = Role::kQ, .grouped = &nn::GroupedQueryAttention::q, .latent = &nn::LatentAttention::q_b},
    {.role = Role::kK, .grouped = &nn::GroupedQueryAttention::k},
    {.role = Role::kV, .grouped = &nn::GroupedQueryAttention::v},
    {.role = Role::kO, .grouped = &nn::GroupedQueryAttention::o, .latent = &nn::LatentAttention::o},
    {.role = Role::kQA, .latent = &nn::LatentAttention::q_a},
    {.role = Role::kQB, .latent = &nn::LatentAttention::q_b},
    {.role = Role::kKvA, .latent = &nn::LatentAttention::kv_a},
    {.role = Role::kGate, .dense = &nn::FeedForward::gate},
    {.role = Role::kUp, .dense = &nn::FeedForward::up},
    {.role = Role::kDown, .dense = &nn::FeedForward::down},
    {.role = Role::kSharedGate, .shared = &nn::FeedForward::gate},
    {.role = Role::kSharedUp, .shared = &nn::FeedForward::up},
    {.role = Role::kSharedDown, .shared = &nn::FeedForward::down},
};

const Adaptable* find_adaptable(Role role) {
  const auto* const found = std::ranges::find(kAdaptable, role, &Adaptable::role);
  return found == std::end(kAdaptable) ? nullptr : found;
}

// Null where the layer has no such part.
nn::Linear* part_of(DecoderLayer& layer, const Adaptable& place) {
  const auto member = [](auto* owner, auto pointer) {
    return owner == nullptr || pointer == nullptr ? nullptr : &(owner->*pointer);
  };
  if (auto* linear = member(std::get_if<nn::GroupedQueryAttention>(&layer.attention), place.grouped)) return linear;
  auto* latent = std::get_if<nn::LatentAttention>(&layer.attention);
  const bool is_of_rank = latent != nullptr && latent->q_a.weight != nullptr;
  if (auto* linear = member(latent, place.latent)) {
    const bool is_absent = place.role == (is_of_rank ? Role::kQ : Role::kQB);  // one of the two is in q_b
    return is_absent || linear->weight == nullptr ? nullptr : linear;
  }
  auto* experts = std::get_if<nn::Experts>(&layer.feed_forward);
  if (experts != nullptr) return member(experts->shared.get(), place.shared);
  return member(&std::get<nn::FeedForward>(layer.feed_forward), place.dense);
}

// "model.layers.0.self_attn.q_proj" of either of its parts' names; empty for any other name.
std::string_view module_of(std::string_view tensor) {
  if (!tensor.starts_with(kPeftPrefix) || !(tensor.ends_with(kLoraA) || tensor.ends_with(kLoraB))) return {};
  tensor.remove_prefix(kPeftPrefix.size());
  tensor.remove_suffix(kLoraA.size());
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
    NARU_ASSIGN(linear.adapter->a, part(module, kLoraA, rank, full.inputs));
    NARU_ASSIGN(linear.adapter->b, part(module, kLoraB, full.outputs, rank));
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
                                 entry.name, kPeftPrefix, kLoraA, kLoraB));
    }
    if (adaptable_linear(decoder, family, module + std::string(kWeight)) == nullptr) {
      const bool is_known = place_of(family, module + std::string(kWeight)).has_value();
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

bool can_adapt(const Parameter& parameter) {
  return parameter.row != nullptr && find_adaptable(parameter.row->role) != nullptr;
}

std::string_view last_part(std::string_view parameter_name) {
  if (!parameter_name.ends_with(kWeight)) return {};
  parameter_name.remove_suffix(kWeight.size());
  return parameter_name.substr(parameter_name.rfind('.') + 1);
}

std::vector<std::string_view> adaptable_parts() {
  std::vector<std::string_view> parts;
  for (const Adaptable& place : kAdaptable) {
    for (const formats::Family family : formats::families()) {
      for (const TensorRow& row : tensors_of(family)) {
        const std::string_view part = last_part(row.hugging_face);
        if (row.role == place.role && std::ranges::find(parts, part) == parts.end()) parts.push_back(part);
      }
    }
  }
  return parts;
}

nn::Linear* adaptable_linear(Decoder& decoder, formats::Family family, std::string_view parameter_name) {
  const auto place = place_of(family, parameter_name);
  if (!place || place->layer >= std::ssize(decoder.layers)) return nullptr;
  const Adaptable* adaptable = find_adaptable(place->role);
  return adaptable == nullptr ? nullptr : part_of(decoder.layers[static_cast<size_t>(place->layer)], *adaptable);
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
