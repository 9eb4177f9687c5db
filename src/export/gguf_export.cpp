// GGUF of a model: the metadata that llama.cpp needs, and every tensor in its layout: llama's rows of q and k
// interleaved, kv_b as attn_k_b (transposed) and attn_v_b, experts stacked. What was written is read back and compared
// with the source before the file gets its name.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <system_error>

#include "base/file.h"
#include "export/export.h"
#include "export/gguf_tokenizer.h"
#include "formats/generation_config.h"
#include "formats/ggml_blocks.h"
#include "formats/gguf_writer.h"
#include "models/config_difference.h"
#include "models/model.h"
#include "models/rope_frequencies.h"
#include "models/stored_rows.h"

namespace naru::exports {
namespace {

namespace fs = std::filesystem;
using formats::Family;
using formats::GgufWriter;
using formats::ModelConfig;
using formats::RopeKind;
using models::Parameter;

DType dtype_of(GgufKind kind) {
  switch (kind) {
    case GgufKind::kF32: return DType::kF32;
    case GgufKind::kF16: return DType::kF16;
    case GgufKind::kBF16: return DType::kBF16;
    case GgufKind::kQ8_0: return DType::kQ8_0;
  }
  return DType::kF32;
}

// --- metadata -----------------------------------------------------------------------------------------------------

// Adds "{arch}.KEY".
struct Keys {
  GgufWriter& writer;
  std::string arch;

  void number(std::string_view key, int64_t value) const {
    writer.add_u32(fmt::format("{}.{}", arch, key), static_cast<uint32_t>(value));
  }
  void real(std::string_view key, double value) const {
    writer.add_f32(fmt::format("{}.{}", arch, key), static_cast<float>(value));
  }
  void word(std::string_view key, std::string_view value) const {
    writer.add_string(fmt::format("{}.{}", arch, key), value);
  }
};

void add_rope_keys(const ModelConfig& config, const Keys& keys) {
  const formats::RopeConfig& rope = config.rope;
  keys.real("rope.freq_base", rope.theta);
  if (rope.kind != RopeKind::kLinear && rope.kind != RopeKind::kYarn) return;
  keys.word("rope.scaling.type", rope.kind == RopeKind::kLinear ? "linear" : "yarn");
  keys.real("rope.scaling.factor", rope.factor);
  if (rope.kind == RopeKind::kLinear) return;
  keys.number("rope.scaling.original_context_length", rope.original_positions);
  if (rope.beta_fast != 32) keys.real("rope.scaling.yarn_beta_fast", rope.beta_fast);
  if (rope.beta_slow != 1) keys.real("rope.scaling.yarn_beta_slow", rope.beta_slow);
  if (config.is_mla()) keys.real("rope.scaling.yarn_log_multiplier", 0.1 * rope.mscale_all_dim);
}

void add_latent_keys(const ModelConfig& config, const Keys& keys) {
  const formats::MlaConfig& mla = config.mla;
  formats::MoeConfig moe = config.moe;
  if (moe.experts == 0) {  // the architecture knows no model without experts, but one whose layers are all dense
    moe.experts = moe.experts_per_token = 1;
    moe.ffn = config.ffn;
    moe.first_dense = config.layers;
  }
  // Attention is described as one shared key of latent + rotary width; a head's own widths stand apart.
  keys.number("attention.head_count_kv", 1);
  keys.number("attention.key_length", mla.kv_lora_rank + mla.qk_rope_head_dim);
  keys.number("attention.value_length", mla.kv_lora_rank);
  keys.number("attention.key_length_mla", mla.qk_nope_head_dim + mla.qk_rope_head_dim);
  keys.number("attention.value_length_mla", mla.v_head_dim);
  if (mla.q_lora_rank > 0) keys.number("attention.q_lora_rank", mla.q_lora_rank);
  keys.number("attention.kv_lora_rank", mla.kv_lora_rank);
  keys.number("rope.dimension_count", mla.qk_rope_head_dim);
  keys.number("leading_dense_block_count", moe.first_dense);
  keys.number("expert_count", moe.experts);
  keys.number("expert_used_count", moe.experts_per_token);
  keys.number("expert_shared_count", moe.shared_experts);
  keys.number("expert_feed_forward_length", moe.ffn);
  keys.real("expert_weights_scale", moe.routed_scaling);
  keys.writer.add_bool(keys.arch + ".expert_weights_norm", moe.norm_topk);
  keys.number("expert_gating_func", config.family == Family::kDeepseekV3 ? 2 : 1);
  keys.number("expert_group_count", moe.n_group);
  keys.number("expert_group_used_count", moe.topk_group);
}

void add_config(const ModelConfig& config, const std::string& name, GgufKind kind, GgufWriter& writer) {
  const Keys keys{writer, std::string(formats::gguf_architecture(config.family))};
  constexpr uint32_t kFileTypes[] = {0, 1, 32, 7};  // general.file_type of F32, F16, BF16, Q8_0
  writer.add_string("general.architecture", keys.arch);
  writer.add_string("general.name", name);
  writer.add_u32("general.file_type", kFileTypes[static_cast<size_t>(kind)]);
  if (kind == GgufKind::kQ8_0) writer.add_u32("general.quantization_version", 2);
  keys.number("vocab_size", config.vocab);
  keys.number("context_length", config.max_positions);
  keys.number("embedding_length", config.hidden);
  keys.number("block_count", config.layers);
  keys.number("feed_forward_length", config.ffn);
  keys.number("attention.head_count", config.heads);
  keys.real("attention.layer_norm_rms_epsilon", config.rms_eps);
  add_rope_keys(config, keys);
  if (config.is_mla()) return add_latent_keys(config, keys);
  keys.number("attention.head_count_kv", config.kv_heads);
  keys.number("attention.key_length", config.head_dim);
  keys.number("attention.value_length", config.head_dim);
  keys.number("rope.dimension_count", config.head_dim);
}

// --- tensors ------------------------------------------------------------------------------------------------------

// A tensor of the GGUF file: rows of one parameter, or one after another those of all experts.
struct GgufOutTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  int64_t n_values = 0;  // of each parameter
  size_t which = 0;      // of the tensors that its parameters' placements name
  std::vector<size_t> parameters;
};

class Plan {
 public:
  Plan(const ModelConfig& plain, const std::vector<Parameter>& parameters, GgufKind kind)
      : config_(plain), parameters_(parameters), kind_(kind) {
    config_.from_gguf = true;
    config_.rope.interleaved = formats::gguf_interleaves(plain.family);
    std::map<std::string, size_t> index_of;
    for (size_t i = 0; i < parameters.size(); ++i) {
      const models::Placement placement = placement_of(i);
      for (size_t which = 0; which < placement.tensors.size(); ++which) {
        const auto [at, is_new] = index_of.try_emplace(placement.tensors[which].name, tensors_.size());
        if (is_new) add(parameters[i], placement.tensors[which], which);
        tensors_[at->second].parameters.push_back(i);
      }
    }
  }

  const std::vector<GgufOutTensor>& tensors() const { return tensors_; }
  models::Placement placement_of(size_t parameter) const {
    return models::placement_of(config_, parameters_[parameter], nullptr);
  }

 private:
  void add(const Parameter& parameter, const models::Placement::Tensor& to, size_t which) {
    DType dtype = dtype_of(kind_);
    if (to.shape.size() == 1 || parameter.use == models::ParameterUse::kRouter) {
      dtype = DType::kF32;
    } else if (to.cols() % dtype_info(dtype).block_elements != 0) {
      dtype = DType::kF16;
    }
    tensors_.push_back({.name = to.name,
                        .dtype = dtype,
                        .shape = to.shape,
                        .n_values = to.n_rows * to.cols(),
                        .which = which,
                        .parameters = {}});
  }

  ModelConfig config_;  // as the file will say it
  const std::vector<Parameter>& parameters_;
  GgufKind kind_;
  std::vector<GgufOutTensor> tensors_;
};

// f16 ends at 65504; a Q8_0 block has an f16 scale of its largest value / 127.
Status check_range(const GgufOutTensor& tensor, const std::vector<float>& values) {
  const float limit = tensor.dtype == DType::kF16 ? 65504.0f : tensor.dtype == DType::kQ8_0 ? 65504.0f * 127 : INFINITY;
  for (const float value : values) {
    if (std::fabs(value) <= limit) continue;
    return Error{Code::kUnsupported, fmt::format("writing tensor '{}': it has the value {}, which {} cannot hold; "
                                                 "convert with --dtype bf16 or f32",
                                                 tensor.name, value, dtype_name(tensor.dtype))};
  }
  return {};
}

Status write_values(const GgufOutTensor& tensor, const std::vector<float>& values, GgufWriter& writer) {
  NARU_TRY(check_range(tensor, values));
  const auto n = static_cast<int64_t>(values.size());
  std::vector<std::byte> bytes(static_cast<size_t>(dtype_bytes(tensor.dtype, n).value()));
  formats::quantise_row(tensor.dtype, values.data(), n, bytes.data());  // rows are whole blocks, so all is one row
  return writer.write(bytes);
}

Status write_tensors(const models::ModelFiles& files, const std::vector<Parameter>& parameters, const Plan& plan,
                     GgufWriter& writer, const formats::ProgressCallback& progress) {
  const auto bytes_of = [](const GgufOutTensor& tensor) { return dtype_bytes(tensor.dtype, tensor.n_values).value(); };
  int64_t done = 0, total = 0;
  for (const GgufOutTensor& tensor : plan.tensors()) total += std::ssize(tensor.parameters) * bytes_of(tensor);
  for (const GgufOutTensor& tensor : plan.tensors()) {
    for (const size_t index : tensor.parameters) {
      const Parameter& parameter = parameters[index];
      std::vector<float> values(static_cast<size_t>(parameter.n_elements()));
      NARU_TRY(models::read_parameter(files.tensors, files.config, parameter, values.data()));
      NARU_TRY(write_values(tensor, plan.placement_of(index).arranged(tensor.which, parameter, values), writer));
      done += bytes_of(tensor);
      if (progress && !progress(done, total)) {
        return Error{Code::kCancelled,
                     fmt::format("converting {}: stopped as asked; nothing was left behind", files.path.string())};
      }
    }
  }
  return {};
}

// The whole file, which has its name still to come.
Result<AtomicFile> write_file(const models::ModelFiles& files, const ModelConfig& plain, AtomicFile file,
                              const std::string& name, GgufKind kind, const formats::ProgressCallback& progress) {
  const std::vector<Parameter> parameters = models::list_parameters(plain);  // without prediction layers
  const Plan plan(plain, parameters, kind);
  GgufWriter writer;
  add_config(plain, name, kind, writer);
  NARU_ASSIGN(const formats::GenerationConfig advice, formats::generation_config_of(files.tensors));
  formats::add_generation_config(advice, writer);
  NARU_TRY(add_gguf_tokenizer(files.tensors, plain, writer));
  std::vector<float> divisors = plain.rope.divisors;
  const int64_t rotated = plain.is_mla() ? plain.mla.qk_rope_head_dim : plain.head_dim;
  if (plain.rope.kind == RopeKind::kLlama3) divisors = models::llama3_divisors(plain.rope, rotated);
  if (!divisors.empty()) NARU_TRY(writer.add_tensor("rope_freqs.weight", DType::kF32, {rotated / 2}));
  for (const GgufOutTensor& tensor : plan.tensors())
    NARU_TRY(writer.add_tensor(tensor.name, tensor.dtype, tensor.shape));
  NARU_TRY(writer.begin(std::move(file)));
  if (!divisors.empty()) NARU_TRY(writer.write(std::as_bytes(std::span(divisors))));
  NARU_TRY(write_tensors(files, parameters, plan, writer, progress));
  return writer.take_file();
}

// What a reader will take the file for must be the model that was read.
Status check_written(const fs::path& path, const ModelConfig& plain) {
  NARU_ASSIGN(const models::ModelFiles again, models::open_model_files(path));
  NARU_ASSIGN(const ModelConfig config, models::plain_config(again.tensors, again.config));
  const std::string difference = models::config_difference(config, plain);
  if (difference.empty()) return {};
  return Error{Code::kUnsupported,
               fmt::format("converting a {} model: GGUF cannot say {} of this model; use the Hugging Face folder",
                           family_name(plain.family), difference)};
}

// A folder's own name, for general.name.
std::string name_of(const fs::path& model, const ModelConfig& config) {
  if (!config.name.empty()) return config.name;
  std::error_code ignored;
  fs::path path = fs::absolute(model, ignored).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return path.has_filename() ? path.stem().string() : std::string(family_name(config.family));
}

}  // namespace

Status convert_to_gguf(const fs::path& model, const fs::path& out, GgufKind kind,
                       const formats::ProgressCallback& progress, Existing existing) {
  NARU_ASSIGN(AtomicFile file, AtomicFile::create(out, existing));
  NARU_ASSIGN(const models::ModelFiles files, models::open_model_files(model));
  NARU_ASSIGN(const ModelConfig plain, models::plain_config(files.tensors, files.config));
  NARU_ASSIGN(AtomicFile written, write_file(files, plain, std::move(file), name_of(model, plain), kind, progress));
  NARU_TRY(check_written(written.temporary_path(), plain));
  return written.commit();
}

}  // namespace naru::exports
