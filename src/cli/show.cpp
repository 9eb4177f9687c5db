// naru show: what a model is and what it takes to run it here. Reads headers and configs, no weights unless hashes are
// asked for.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/memory.h"
#include "base/shown_text.h"
#include "builtin/builtin.h"
#include "cli/interrupts.h"
#include "cli/json_text.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/sheet.h"
#include "cli/show_builtin.h"
#include "cli/show_machine.h"
#include "engine/memory_plan.h"

namespace naru::cli {
namespace {

using formats::ModelConfig;

constexpr size_t kListedMax = 12;  // unknown keys and unused tensors in the text form

// Everything that both forms show.
struct Facts {
  std::string path;
  std::unique_ptr<contract::Chip> chip;
  models::ModelFiles files;
  models::ModelPlan plan;  // for the chip
  engine::MemoryPlan memory;
  std::string container = {};
  std::vector<formats::FileDigest> digests = {};  // empty unless asked for
  std::optional<formats::TokenizerData> tokenizer = {};
  std::string tokenizer_problem = {};  // why there is none
  std::optional<Json> builtin = {};    // the record of the built-in model, where it is that
};

Result<std::vector<formats::FileDigest>> digest(formats::TensorFiles& tensors) {
  Progress progress("hashing", Progress::Unit::kBytes);
  return tensors.digests([&progress](int64_t done, int64_t total) {
    progress.update(done, total);
    return !is_interrupted();
  });
}

Result<Facts> gather(const ShowOptions& options) {
  NARU_ASSIGN(models::ModelFiles files, models::open_model_files(options.model.path));
  for (const std::string& note : files.notes) print_note(note);
  NARU_ASSIGN(auto chip, make_chip(options.model));
  NARU_ASSIGN(models::ModelPlan plan, models::plan_model(files, *chip, load_options(options.model)));
  engine::MemoryOptions memory_options;
  memory_options.context_tokens = options.model.context;
  memory_options.prefill_chunk = options.model.prefill_chunk;
  // What it would take, also where it does not fit.
  memory_options.memory_bytes = std::numeric_limits<int64_t>::max() / 2;
  NARU_ASSIGN(engine::MemoryPlan memory, engine::plan_memory(plan, memory_options));
  memory.available_bytes = chip->memory().free;
  Facts facts{.path = options.model.path,
              .chip = std::move(chip),
              .files = std::move(files),
              .plan = std::move(plan),
              .memory = memory};
  const bool is_gguf = facts.files.tensors.gguf() != nullptr;
  facts.container = is_gguf ? "GGUF" : "safetensors";
  auto tokenizer = read_tokenizer_data(options.model.path);
  if (tokenizer.ok()) {
    facts.tokenizer = std::move(tokenizer).value();
  } else {
    facts.tokenizer_problem = tokenizer.error().message;
  }
  if (builtin::is_builtin_model(options.model.path)) {
    NARU_ASSIGN(facts.builtin, builtin_record());
  }
  if (options.sha256 || options.json) {
    NARU_ASSIGN(facts.digests, digest(facts.files.tensors));
  }
  return facts;
}

std::string attention_words(const ModelConfig& c) {
  if (!c.is_mla()) {
    return fmt::format("{} heads of {}, {} of keys and values", c.heads, c.head_dim, c.kv_heads);
  }
  return fmt::format("{} heads, latent {} + {} rotary, keys {} + {}, values {}{}", c.heads, c.mla.kv_lora_rank,
                     c.mla.qk_rope_head_dim, c.mla.qk_nope_head_dim, c.mla.qk_rope_head_dim, c.mla.v_head_dim,
                     c.mla.q_lora_rank > 0 ? fmt::format(", queries through {}", c.mla.q_lora_rank) : "");
}

std::string experts_words(const formats::MoeConfig& m) {
  std::string text = fmt::format("{} of {} a token, {} wide", m.experts_per_token, m.experts, grouped(m.ffn));
  if (m.shared_experts > 0) text += fmt::format(", {} shared", m.shared_experts);
  if (m.first_dense > 0) text += fmt::format(", first {} layers dense", m.first_dense);
  if (m.n_group > 1) text += fmt::format(", best {} of {} groups", m.topk_group, m.n_group);
  return text;
}

std::string share_words(int64_t part, int64_t all) {
  return all > 0 ? fmt::format("{:.0f} %", 100.0 * static_cast<double>(part) / static_cast<double>(all)) : "";
}

std::string list_words(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kListedMax); ++i)
    text += fmt::format("{}{}", i > 0 ? ", " : "", names[i]);
  if (names.size() > kListedMax) text += fmt::format(", and {} more", names.size() - kListedMax);
  return text;
}

std::string id_words(const std::optional<int32_t>& id) {
  return id ? fmt::format("{}", *id) : "-";
}

void put_model(const Facts& f, Sheet& sheet) {
  const ModelConfig& c = f.plan.config;
  sheet.title(short_name(f.path), c.name.empty() ? std::string() : fmt::format(" · {}", c.name));
  sheet.heading("Model");
  sheet.row("family", formats::family_name(c.family));
  sheet.row("container",
            fmt::format("{}, {} file{}, {}", f.container, f.files.tensors.n_files(),
                        f.files.tensors.n_files() == 1 ? "" : "s", format_bytes(f.files.tensors.file_bytes_total())));
  const bool is_sparse = f.plan.n_active_parameters != f.plan.n_parameters;
  sheet.row("parameters",
            grouped(f.plan.n_parameters) +
                (is_sparse ? fmt::format(", {} active for a token", grouped(f.plan.n_active_parameters)) : ""));
  sheet.row("layers", fmt::format("{}, {} wide", c.layers, grouped(c.hidden)));
  sheet.row("attention", attention_words(c));
  if (c.moe.experts == 0 || c.moe.first_dense > 0) sheet.row("feed-forward", fmt::format("{} wide", grouped(c.ffn)));
  if (c.moe.experts > 0) sheet.row("experts", experts_words(c.moe));
  sheet.row("vocabulary",
            fmt::format("{}{}", grouped(c.vocab), c.tie_embeddings ? ", head tied to the embedding" : ""));
  sheet.row("context", c.max_positions > 0 ? fmt::format("made for {} tokens", grouped(c.max_positions)) : "");
  std::string kinds;
  int64_t all = 0;
  for (const auto& [kind, bytes] : f.plan.stored_kinds) all += bytes;
  for (const auto& [kind, bytes] : f.plan.stored_kinds) {
    kinds += fmt::format("{}{} {} ({})", kinds.empty() ? "" : ", ", kind, format_bytes(bytes), share_words(bytes, all));
  }
  sheet.row("stored as", kinds);
  sheet.row("numerics id", f.plan.numerics_id);
}

void put_memory(const Facts& f, Sheet& sheet) {
  const engine::MemoryPlan& m = f.memory;
  sheet.heading(fmt::format("Memory at {} tokens of context", grouped(m.context_tokens)));
  sheet.row("weights", format_bytes(m.weight_bytes));
  sheet.row("cache", fmt::format("{} ({} a token, {})", format_bytes(m.cache_bytes),
                                 format_bytes(f.plan.cache_bytes_per_page / contract::kCachePage),
                                 dtype_name(f.plan.cache_dtype)));
  sheet.row("workspace", format_bytes(m.workspace_bytes));
  sheet.row("reserve", format_bytes(m.reserve_bytes));
  const bool fits = m.needed_bytes() <= m.available_bytes;
  sheet.row("together",
            fmt::format("{}, {} available: ", format_bytes(m.needed_bytes()), format_bytes(m.available_bytes)),
            fits ? "fits" : "does not fit", fits ? Style::kGreen : Style::kRed);
}

void put_tokenizer(const Facts& f, Sheet& sheet) {
  sheet.heading("Tokenizer");
  if (!f.tokenizer) {
    sheet.row("none", f.tokenizer_problem);
    return;
  }
  const formats::TokenizerData& t = *f.tokenizer;
  sheet.row("kind", fmt::format("byte pairs{}{}",
                                t.gguf_pre.empty() ? std::string() : fmt::format(", pre-tokenizer {}", t.gguf_pre),
                                t.tokenizer_class.empty() ? std::string() : fmt::format(", {}", t.tokenizer_class)));
  sheet.row("vocabulary", fmt::format("{} ids, {} merges, {} added tokens", grouped(t.n_ids()),
                                      grouped(std::ssize(t.merges)), grouped(std::ssize(t.added_tokens))));
  sheet.row("special ids",
            fmt::format("begin {}, end {}, pad {}", id_words(t.bos_id), id_words(t.eos_id), id_words(t.pad_id)));
  sheet.row("chat template", t.chat_template ? "yes" : "no (base model: use --raw)");
}

std::string text_form(const Facts& f) {
  Sheet sheet(Stream::kOut);
  put_model(f, sheet);
  if (f.builtin) put_builtin(*f.builtin, sheet);
  put_memory(f, sheet);
  put_tokenizer(f, sheet);
  if (!f.plan.config.unknown_keys.empty() || !f.plan.unused_tensors.empty()) {
    sheet.heading("Not used");
    sheet.row("config keys", list_words(f.plan.config.unknown_keys));
    sheet.row("tensors", list_words(f.plan.unused_tensors));
  }
  if (!f.digests.empty()) {
    sheet.heading("SHA-256");
    for (const formats::FileDigest& d : f.digests) sheet.line(fmt::format("{}  {}", d.sha256, d.name));
  }
  return sheet.str();
}

Json optional_id(const std::optional<int32_t>& id) {
  return id ? Json(*id) : Json(nullptr);
}

Json config_json(const ModelConfig& c) {
  Json json = {{"layers", c.layers},
               {"hidden", c.hidden},
               {"heads", c.heads},
               {"kv_heads", c.kv_heads},
               {"head_dim", c.head_dim},
               {"ffn", c.ffn},
               {"vocab", c.vocab},
               {"max_positions", c.max_positions},
               {"tie_embeddings", c.tie_embeddings},
               {"rms_eps", c.rms_eps},
               {"rope_theta", c.rope.theta}};
  if (c.is_mla()) {
    json["latent_attention"] = {{"kv_lora_rank", c.mla.kv_lora_rank},
                                {"q_lora_rank", c.mla.q_lora_rank},
                                {"qk_nope_head_dim", c.mla.qk_nope_head_dim},
                                {"qk_rope_head_dim", c.mla.qk_rope_head_dim},
                                {"v_head_dim", c.mla.v_head_dim}};
  }
  if (c.moe.experts > 0) {
    json["experts"] = {{"experts", c.moe.experts},
                       {"experts_per_token", c.moe.experts_per_token},
                       {"shared_experts", c.moe.shared_experts},
                       {"ffn", c.moe.ffn},
                       {"first_dense", c.moe.first_dense},
                       {"n_group", c.moe.n_group},
                       {"topk_group", c.moe.topk_group}};
  }
  if (c.mtp_layers > 0) json["mtp_layers"] = c.mtp_layers;
  return json;
}

Json tokenizer_json(const Facts& f) {
  if (!f.tokenizer) return {{"kind", nullptr}, {"problem", f.tokenizer_problem}};
  const formats::TokenizerData& t = *f.tokenizer;
  return {{"kind", "bpe"},
          {"pre_tokenizer", t.gguf_pre.empty() ? Json(nullptr) : Json(t.gguf_pre)},
          {"ids", t.n_ids()},
          {"merges", t.merges.size()},
          {"added_tokens", t.added_tokens.size()},
          {"bos_id", optional_id(t.bos_id)},
          {"eos_id", optional_id(t.eos_id)},
          {"pad_id", optional_id(t.pad_id)},
          {"chat_template", t.chat_template.has_value()}};
}

Json json_form(const Facts& f) {
  const engine::MemoryPlan& m = f.memory;
  Json json;
  json["model"] = short_name(f.path);
  json["name"] = f.plan.config.name;
  json["architecture"] = formats::family_name(f.plan.config.family);
  json["container"] = f.container;
  json["parameters"] = {{"total", f.plan.n_parameters}, {"active", f.plan.n_active_parameters}};
  json["config"] = config_json(f.plan.config);
  json["dtypes"] = Json::object();
  for (const auto& [kind, bytes] : f.plan.stored_kinds) json["dtypes"][kind] = bytes;
  json["numerics_id"] = f.plan.numerics_id;
  json["memory"] = {{"context_tokens", m.context_tokens},
                    {"weight_bytes", m.weight_bytes},
                    {"cache_bytes", m.cache_bytes},
                    {"workspace_bytes", m.workspace_bytes},
                    {"reserve_bytes", m.reserve_bytes},
                    {"needed_bytes", m.needed_bytes()},
                    {"available_bytes", m.available_bytes},
                    {"fits", m.needed_bytes() <= m.available_bytes},
                    {"cache_dtype", dtype_name(f.plan.cache_dtype)}};
  json["tokenizer"] = tokenizer_json(f);
  json["eos_ids"] = f.plan.config.eos_ids;
  json["bos_ids"] = f.plan.config.bos_ids;
  json["unknown_keys"] = f.plan.config.unknown_keys;
  json["unused_tensors"] = f.plan.unused_tensors;
  if (f.builtin) json["builtin"] = *f.builtin;
  json["files"] = Json::array();
  for (const formats::FileDigest& d : f.digests) {
    json["files"].push_back({{"name", d.name}, {"bytes", d.bytes}, {"sha256", d.sha256}});
  }
  return json;
}

}  // namespace

Status show_command(const ShowOptions& options) {
  if (options.machine) return show_machine(options);
  NARU_ASSIGN(const Facts facts, gather(options));
  if (!options.json) return write_out(text_form(facts));
  return write_out(json_text(json_form(facts)));
}

}  // namespace naru::cli
