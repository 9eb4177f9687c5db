#include "server/ollama_pages.h"

#include <fmt/format.h>

#include "server/json_bytes.h"
#include "server/ollama_answer.h"
#include "server/ollama_request.h"
#include "server/request_body.h"
#include "text/fill_in.h"
#include "text/reasoning.h"

namespace naru::server {
namespace {

constexpr std::string_view kOllamaVersion = "0.12.11";       // the first with logprobs
constexpr std::string_view kNever = "9999-12-31T23:59:59Z";  // a model stays until another needs its memory

std::string parameter_size(int64_t n) {
  const auto count = static_cast<double>(n);
  if (count >= 1e9) return fmt::format("{:.1f}B", count / 1e9);
  return count >= 1e6 ? fmt::format("{:.2f}M", count / 1e6) : fmt::format("{:.2f}K", count / 1e3);
}

Json details_of(const ModelFacts& model) {
  std::string kind = model.stored_kind;
  for (char& c : kind) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return {{"parent_model", ""},
          {"format", model.is_gguf ? "gguf" : "safetensors"},
          {"family", model.architecture},
          {"families", Json::array({model.architecture})},
          {"parameter_size", parameter_size(model.n_parameters)},
          {"quantization_level", kind}};
}

Json ollama_entry(const OllamaModel& model) {
  Json json = {{"name", model.name}, {"model", model.name}};
  if (model.facts == nullptr) return json;
  json["modified_at"] = ollama_time(model.facts->created);
  json["size"] = model.facts->file_bytes;
  if (!model.digest.empty()) json["digest"] = model.digest;
  json["details"] = details_of(*model.facts);
  return json;
}

// What a client may ask of the model.
Json capabilities_of(const ModelFacts& model) {
  Json words = Json::array({"completion"});
  const text::ChatTemplate* chat = model.chat_template;
  if (model.tools.lists_tools && model.tools.form != text::ToolCallForm::kNone) words.push_back("tools");
  if (model.tokenizer && text::fill_in_tokens(*model.tokenizer)) words.push_back("insert");
  const bool has_tags = model.tokenizer && text::reasoning_tokens(*model.tokenizer).close;
  const bool has_switch = chat && (chat->reads_variable("enable_thinking") || chat->reads_variable("thinking"));
  if (has_tags || has_switch) words.push_back("thinking");
  return words;
}

std::string sampling_lines(const engine::SamplingOptions& o) {
  return fmt::format("temperature {}\ntop_k {}\ntop_p {}\nmin_p {}\nrepeat_penalty {}", o.temperature, o.top_k, o.top_p,
                     o.min_p, o.repetition_penalty);
}

std::string ollama_show(const ModelFacts& model) {
  const std::string& architecture = model.architecture;
  return json_bytes({{"modified_at", ollama_time(model.created)},
                     {"parameters", sampling_lines(model.sampling)},
                     {"details", details_of(model)},
                     {"model_info",
                      {{"general.architecture", architecture},
                       {"general.parameter_count", model.n_parameters},
                       {architecture + ".context_length", model.context_tokens},
                       {architecture + ".vocab_size", model.vocab},
                       {"naru.numerics_id", model.numerics_id},
                       {"naru.fingerprint", model.fingerprint}}},
                     {"capabilities", capabilities_of(model)}});
}

ReadRequest read_ollama_show(std::string_view body, const HttpRequest&) {
  return read_body(body, [](Fields& fields) -> ReadRequest {
    PageRequest page;
    page.model = read_ollama_model(fields);
    const std::string older = read_ollama_model(fields, "name");
    if (page.model.empty()) page.model = older;
    fields.ignore("verbose");
    fields.ignore_rest();
    if (!fields.notes().ok()) return fields.notes().refusal();
    page.ignored = fields.notes().ignored();
    page.make = [](const ModelFacts& model) { return ollama_show(model); };
    return page;
  });
}

}  // namespace

std::string ollama_tags(const std::vector<OllamaModel>& models) {
  Json list = Json::array();
  for (const OllamaModel& model : models) list.push_back(ollama_entry(model));
  return json_bytes({{"models", std::move(list)}});
}

std::string ollama_ps(const std::vector<OllamaModel>& models) {
  Json list = Json::array();
  for (const OllamaModel& model : models) {
    Json json = ollama_entry(model);
    const ModelFacts& facts = *model.facts;
    json.erase("modified_at");
    json["expires_at"] = kNever;
    json["size_vram"] = facts.chip.starts_with("cpu") || facts.chip.starts_with("reference") ? 0 : facts.file_bytes;
    json["context_length"] = facts.context_tokens;
    list.push_back(std::move(json));
  }
  return json_bytes({{"models", std::move(list)}});
}

std::string ollama_version(std::string_view version) {
  return json_bytes({{"version", kOllamaVersion}, {"naru", version}});
}

const Dialect kOllamaShow = {"ollama.show", "show-", read_ollama_show, nullptr, ollama_error};

}  // namespace naru::server
