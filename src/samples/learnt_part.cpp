#include "samples/learnt_part.h"

#include <fmt/format.h>

#include "data/sample.h"
#include "data/turn.h"
#include "rewards/answers.h"
#include "text/reasoning.h"
#include "text/value.h"

namespace naru::samples {
namespace {

constexpr size_t kPartBytesMax = size_t{1} << 24;  // of a line: what readers of JSON take

data::Sample asked_sample(const data::Problem& problem) {
  data::Sample sample;
  sample.form = data::LineForm::kMessages;
  sample.is_chat = true;
  sample.messages = problem.messages;
  sample.tools = problem.tools;
  if (sample.messages.empty()) {
    sample.messages.emplace_back(text::Value::Object{{"role", std::string("user")}, {"content", problem.prompt}});
  }
  return sample;
}

text::Value said_by_assistant(std::string content) {
  return text::Value::Object{{"role", std::string("assistant")}, {"content", std::move(content)}};
}

// Whether the turn of the last message is what the model wrote, and the token that ends it.
bool learns(const data::Sample& sample, std::string_view wrote, const PartForm& form) {
  const auto turn = data::make_turn(sample, sample.messages.size() - 1, *form.chat_template, *form.tokenizer, "answer");
  if (!turn.ok()) return false;
  const std::string_view learnt = std::string_view(turn->text).substr(turn->begin, turn->end - turn->begin);
  if (!learnt.starts_with(wrote)) return false;
  const std::string_view rest = learnt.substr(wrote.size());
  if (rest.empty()) return true;
  const auto end = form.tokenizer->find(rest);
  return end && form.tokenizer->is_control(*end);
}

// Whether the template writes such a turn at all.
bool can_be_written(const data::Sample& sample, const PartForm& form) {
  return data::make_turn(sample, sample.messages.size() - 1, *form.chat_template, *form.tokenizer, "answer").ok();
}

}  // namespace

Result<std::optional<std::string>> learnt_part(const data::Problem& problem, std::string_view answer,
                                               bool opens_reasoning, const PartForm& form) {
  const bool is_chat = form.chat_template != nullptr;
  if (!form.is_messages) {
    // As plain text a problem is its question, a space and the answer; asked as text the model wrote the space.
    std::string text = is_chat ? fmt::format("{} {}", problem.text_prompt, rewards::trimmed(answer))
                               : fmt::format("{}{}", problem.text_prompt, answer);
    NARU_ASSIGN(const std::string json, text::json_text(text::Value(std::move(text)), kPartBytesMax));
    return std::optional<std::string>(fmt::format("\"text\": {}", json));
  }
  data::Sample sample = asked_sample(problem);
  const std::string opened = opens_reasoning ? std::string(text::kThinkOpen) : std::string();
  sample.messages.push_back(said_by_assistant(opened + std::string(rewards::trimmed(answer))));
  if (is_chat) {
    if (!can_be_written(sample, form)) return std::optional<std::string>();
    data::Sample as_it_is = sample;
    as_it_is.messages.back() = said_by_assistant(opened + std::string(answer));
    if (learns(as_it_is, answer, form)) sample = std::move(as_it_is);
  }
  NARU_ASSIGN(const std::string messages, text::json_text(text::Value(std::move(sample.messages)), kPartBytesMax));
  if (sample.tools.is_null()) return std::optional<std::string>(fmt::format("\"messages\": {}", messages));
  NARU_ASSIGN(const std::string tools, text::json_text(sample.tools, kPartBytesMax));
  return std::optional<std::string>(fmt::format("\"messages\": {}, \"tools\": {}", messages, tools));
}

}  // namespace naru::samples
