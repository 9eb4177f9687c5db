#include "server/model_facts.h"

#include <fmt/format.h>

#include "base/sha256.h"
#include "engine/form_constraint.h"
#include "engine/json_constraint.h"
#include "formats/generation_config.h"

namespace naru::server {

std::shared_ptr<const engine::JsonMasks> VocabularyMasks::json() const {
  std::call_once(is_made_, [this] { json_ = std::make_shared<const engine::JsonMasks>(tokenizer_, n_ids_, end_ids_); });
  return json_;
}

Result<std::shared_ptr<engine::SharedForm>> VocabularyMasks::form(const std::string& key, const text::Form& form,
                                                                  text::ToolCallForm calls) const {
  std::call_once(
      is_read_, [this] { vocabulary_ = std::make_shared<const engine::FormVocabulary>(tokenizer_, n_ids_, end_ids_); });
  const auto find = [&]() -> std::shared_ptr<engine::SharedForm> {
    const std::lock_guard lock(mutex_);
    for (auto at = forms_.begin(); at != forms_.end(); ++at) {
      if (at->first != key) continue;
      auto found = std::move(*at);
      forms_.erase(at);
      forms_.push_back(found);
      return found.second;
    }
    return nullptr;
  };
  if (auto found = find()) return found;
  NARU_TRY(make_room(0));  // before any work is done for it
  NARU_ASSIGN(text::CompiledForm compiled, text::compile(form, vocabulary_->signs(calls)));
  if (auto found = find()) return found;  // another thread was faster
  auto made = std::make_shared<engine::SharedForm>(vocabulary_, std::move(compiled), calls);
  NARU_TRY(make_room(made->bytes()));
  const std::lock_guard lock(mutex_);
  living_.emplace_back(made);
  if (forms_.size() >= kFormsKeptMax) forms_.pop_front();
  forms_.emplace_back(key, made);
  return made;
}

Status VocabularyMasks::make_room(size_t bytes) const {
  const std::lock_guard lock(mutex_);
  const auto count = [this] {
    size_t total = 0;
    std::erase_if(living_, [](const auto& form) { return form.expired(); });
    for (const auto& form : living_) {
      if (const auto living = form.lock()) total += living->bytes();
    }
    return total;
  };
  size_t living = count();
  while (living + bytes > forms_bytes_max_ && !forms_.empty()) {
    forms_.pop_front();
    living = count();
  }
  if (living + bytes <= forms_bytes_max_) return {};
  return Error{Code::kUnavailable,
               fmt::format("making the form of an answer: {} forms of answers that wait or run take {} bytes already, "
                           "of {} that all may take; try again when some have ended, or ask for the same form",
                           living_.size(), living, forms_bytes_max_)};
}

ModelFacts facts_of(const engine::Engine& engine, std::string name, std::string chip, int64_t created) {
  const models::ModelPlan& plan = engine.model();
  ModelFacts facts;
  facts.numerics_id = plan.numerics_id;
  facts.chip = std::move(chip);
  facts.created = created;
  facts.architecture = formats::gguf_architecture(plan.config.family);
  facts.is_gguf = plan.config.from_gguf;
  facts.file_bytes = plan.file_bytes;
  facts.n_parameters = plan.n_parameters;
  facts.vocab = engine.vocab();
  facts.context_tokens = engine.context_tokens();
  facts.sampling = engine::sampling_from(engine.generation_config());
  facts.is_sampling_advised = engine.generation_config().advises_sampling();
  facts.tokenizer = engine.tokenizer();
  facts.chat_template = engine.chat_template();
  facts.template_status = engine.template_status();
  if (facts.tokenizer != nullptr) {
    for (const int32_t id : engine.eos_ids()) {
      const bool is_known = id >= 0 && id < facts.tokenizer->n_ids() && !facts.tokenizer->piece(id).empty();
      if (is_known) facts.end_ids.push_back(id);
    }
    facts.masks = std::make_shared<const VocabularyMasks>(*facts.tokenizer, facts.vocab, engine.eos_ids());
  }
  if (facts.chat_template != nullptr) facts.tools = text::tool_support(*facts.chat_template);
  int64_t kind_bytes = -1;
  for (const auto& [kind, bytes] : plan.stored_kinds) {
    if (bytes > kind_bytes) facts.stored_kind = kind, kind_bytes = bytes;
  }
  std::string identity =
      fmt::format("{}\n{}\n{}\n{}\n{}\n", name, plan.numerics_id, plan.n_parameters, plan.file_bytes, engine.vocab());
  for (const auto& [kind, bytes] : plan.stored_kinds) identity += fmt::format("{} {}\n", kind, bytes);
  facts.fingerprint =
      "fp_" + sha256_hex({reinterpret_cast<const std::byte*>(identity.data()), identity.size()}).substr(0, 16);
  facts.name = std::move(name);
  return facts;
}

ModelFacts lasting_facts(const ModelFacts& facts) {
  ModelFacts lasting = facts;
  lasting.tokenizer = nullptr;
  lasting.chat_template = nullptr;
  lasting.masks = nullptr;
  return lasting;
}

}  // namespace naru::server
