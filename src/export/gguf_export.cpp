// GGUF of a model: the metadata that llama.cpp needs, and every tensor in its layout (gguf_tensors.h): llama's rows of
// q and k interleaved, kv_b as attn_k_b (transposed) and attn_v_b, experts stacked. What was written is read back and
// compared with the source before the file gets its name.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <system_error>

#include "base/file.h"
#include "export/export.h"
#include "export/gguf_tensors.h"
#include "export/gguf_tokenizer.h"
#include "formats/generation_config.h"
#include "formats/gguf_writer.h"
#include "models/config_difference.h"
#include "models/model.h"
#include "models/rope_frequencies.h"

namespace naru::exports {
namespace {

namespace fs = std::filesystem;
using formats::Family;
using formats::GgufWriter;
using formats::ModelConfig;
using formats::RopeKind;

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

bool has_layers_of_v2_lite(const ModelConfig& config) {
  return config.layers == 27;
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
  // llama.cpp takes a file without this key only at DeepSeek-V2-Lite's number of layers.
  if (mla.q_lora_rank > 0 || !has_layers_of_v2_lite(config)) keys.number("attention.q_lora_rank", mla.q_lora_rank);
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
  writer.add_string("general.architecture", keys.arch);
  writer.add_string("general.name", name);
  writer.add_u32("general.file_type", gguf_file_type(kind));
  if (is_quantised(main_dtype(kind))) writer.add_u32("general.quantization_version", 2);
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

// What other engines make of such a file; "" where all is well.
std::string engines_note(const ModelConfig& config) {
  if (config.is_mla() && config.mla.q_lora_rank == 0 && !has_layers_of_v2_lite(config)) {
    return fmt::format(
        "older versions of llama.cpp read models with latent attention and no query rank only with 27 "
        "layers, and this one has {}; the file says attention.q_lora_rank 0, as newer ones want it",
        config.layers);
  }
  if (config.family == Family::kDeepseekV2 && config.moe.n_group > 1) {
    return "llama.cpp reads the file and answers otherwise: it scores groups of experts by their two best experts, "
           "DeepSeek-V2 by the best one";
  }
  return "";
}

GgufSummary summary_of(const GgufPlan& plan, const GgufWriter& writer) {
  GgufSummary summary{.sha256 = writer.sha256(), .bytes = writer.file_bytes(), .kinds = {}};
  for (const GgufOutTensor& tensor : plan.tensors()) {
    const auto is_of_kind = [&](const GgufSummary::Kind& kind) { return kind.dtype == tensor.kind.dtype; };
    auto at = std::ranges::find_if(summary.kinds, is_of_kind);
    if (at == summary.kinds.end()) at = summary.kinds.insert(at, {tensor.kind.dtype, 0, 0});
    ++at->n_tensors;
    at->bytes += tensor.bytes();
  }
  std::ranges::stable_sort(summary.kinds, std::greater(), &GgufSummary::Kind::bytes);
  return summary;
}

// The whole file, which has its name still to come.
Result<AtomicFile> write_file(const models::ModelFiles& files, const ModelConfig& plain, const GgufPlan& plan,
                              AtomicFile file, const std::string& name, const GgufOptions& options,
                              GgufSummary& summary) {
  GgufWriter writer;
  add_config(plain, name, options.kind, writer);
  NARU_ASSIGN(const formats::GenerationConfig advice, formats::generation_config_of(files.tensors));
  formats::add_generation_config(advice, writer);
  NARU_TRY(add_gguf_tokenizer(files.tensors, plain, writer));
  std::vector<float> divisors = plain.rope.divisors;
  const int64_t rotated = plain.is_mla() ? plain.mla.qk_rope_head_dim : plain.head_dim;
  if (plain.rope.kind == RopeKind::kLlama3) divisors = models::llama3_divisors(plain.rope, rotated);
  if (!divisors.empty()) NARU_TRY(writer.add_tensor("rope_freqs.weight", DType::kF32, {rotated / 2}));
  for (const GgufOutTensor& tensor : plan.tensors())
    NARU_TRY(writer.add_tensor(tensor.name, tensor.kind.dtype, tensor.shape));
  NARU_TRY(writer.begin(std::move(file)));
  if (!divisors.empty()) NARU_TRY(writer.write(std::as_bytes(std::span(divisors))));
  NARU_TRY(plan.write(options.n_threads, writer, options.progress));
  AtomicFile written = writer.take_file();
  summary = summary_of(plan, writer);
  return written;
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

Result<GgufSummary> convert_to_gguf(const fs::path& model, const fs::path& out, const GgufOptions& options) {
  NARU_ASSIGN(AtomicFile file, AtomicFile::create(out, options.existing));
  NARU_ASSIGN(const models::ModelFiles files, models::open_model_files(model));
  NARU_ASSIGN(const ModelConfig plain, models::plain_config(files.tensors, files.config));
  NARU_ASSIGN(const GgufPlan plan, GgufPlan::make(files, plain, options.kind));
  if (options.note) {
    for (const std::string& note : plan.notes()) options.note(note);
    if (const std::string note = engines_note(plain); !note.empty()) options.note(note);
  }
  GgufSummary summary;
  NARU_ASSIGN(AtomicFile written,
              write_file(files, plain, plan, std::move(file), name_of(model, plain), options, summary));
  NARU_TRY(check_written(written.temporary_path(), plain));
  NARU_TRY(written.commit());
  return summary;
}

}  // namespace naru::exports
