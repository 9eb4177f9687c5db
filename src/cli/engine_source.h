// EngineSource: answers of a model in this process.
#pragma once

#include "cli/answer_source.h"
#include "cli/offered_prompts.h"
#include "cli/open_model.h"
#include "cli/prompt.h"

namespace naru::cli {

class EngineSource final : public AnswerSource {
 public:
  // Both must outlive it. `form`: of every answer; null: any.
  EngineSource(const RunOptions& options, OpenModel& model, bool is_raw,
               std::shared_ptr<engine::SharedForm> form = nullptr)
      : options_(options), model_(model), is_raw_(is_raw), form_(std::move(form)) {}

  std::string title() const override;
  ChatSettings settings() const override;
  bool is_raw() const override { return is_raw_; }
  int64_t context_tokens() const override { return model_.engine->context_tokens(); }
  std::vector<std::string> offers() const override { return offered_prompts(options_.model.path); }
  Status check_system(const std::string& text) const override;
  Result<engine::Answer> answer(Conversation& conversation, const ChatSettings& settings, uint32_t sample,
                                AnswerView& view) override;

 private:
  Result<Prompt> make_prompt(Conversation& conversation, int64_t max_tokens) const;
  Result<Prompt> fitting_prompt(Conversation& conversation, int64_t max_tokens) const;
  Error too_long(std::string_view what, int64_t n_tokens, std::string_view next) const;

  const RunOptions& options_;
  OpenModel& model_;
  bool is_raw_;
  std::shared_ptr<engine::SharedForm> form_;
};

}  // namespace naru::cli
