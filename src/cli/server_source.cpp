#include "cli/server_source.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/answer_view.h"
#include "cli/chat.h"
#include "cli/json_text.h"
#include "cli/prompt.h"
#include "cli/terminal.h"

namespace naru::cli {
namespace {

// Without ids, log-probabilities and what else only the engine knows.
Json server_answer_json(const engine::Answer& answer, const ServerClient& client, const RunOptions& options) {
  const engine::Timings& t = answer.timings;
  Json json;
  json["text"] = answer.text;
  if (!answer.reasoning.empty() && !options.hide_reasoning) json["reasoning"] = answer.reasoning;
  json["finish_reason"] = engine::finish_reason_name(answer.reason);
  json["usage"] = {{"prompt_tokens", answer.usage.prompt_tokens},
                   {"completion_tokens", answer.usage.completion_tokens},
                   {"cached_tokens", answer.usage.cached_tokens},
                   {"total_tokens", answer.usage.prompt_tokens + answer.usage.completion_tokens}};
  json["timings"] = {
      {"ttft_ms", t.prefill_ms}, {"decode_ms", t.decode_ms}, {"decode_tokens_per_s", t.decode_tokens_per_s()}};
  json["model"] = client.model();
  json["server"] = client.address();
  return json;
}

Status answer_one_prompt(const RunOptions& options, const ServerClient& client, const std::string& text,
                         const text::Form* form) {
  ServerClient::Question question;
  question.form = form;
  question.is_raw = options.is_raw;
  question.text = text;
  if (options.system) question.messages.push_back({"system", repaired(*options.system, "--system")});
  question.messages.push_back({"user", text});
  const ChatSettings settings(options);
  QuietView quiet;
  StreamingView streaming(options.hide_reasoning);
  AnswerView& view = options.json ? static_cast<AnswerView&>(quiet) : streaming;
  auto answer = client.ask(question, settings, options.stop, view);
  NARU_TRY(streaming.finish());
  if (!answer.ok()) return std::move(answer).error();
  if (options.json) NARU_TRY(write_out(json_text(server_answer_json(*answer, client, options))));
  if (options.show_stats) {
    write_err(
        fmt::format("{}{}\n", options.json ? "" : "\n", styled(stats_line(*answer, 0), Style::kDim, Stream::kErr)));
  }
  if (answer->reason == engine::FinishReason::kAborted) return Error{Code::kCancelled, ""};
  const std::string nothing = options.json ? "" : nothing_shown(*answer, options.hide_reasoning);
  if (!nothing.empty()) print_note(nothing);
  const bool is_by_flag = options.max_tokens > 0 && answer->usage.completion_tokens >= options.max_tokens;
  if (answer->reason == engine::FinishReason::kLength && !options.json && (!is_by_flag || stderr_is_terminal())) {
    print_note(is_by_flag ? fmt::format("the answer stops here: --max-tokens {}", options.max_tokens)
                          : std::string("the answer stops here: the server gives no more tokens"));
  }
  if (form == nullptr || options.json || answer->reason != engine::FinishReason::kLength) return {};
  return check_form_is_whole(*form, answer->text, answer->usage.completion_tokens);
}

}  // namespace

std::string ServerSource::title() const {
  std::string text = fmt::format("{} at {}", one_line(client_.model()), client_.address());
  if (client_.context_tokens() > 0) text += fmt::format(" · context {}", client_.context_tokens());
  return text;
}

Result<engine::Answer> ServerSource::answer(Conversation& conversation, const ChatSettings& settings, uint32_t sample,
                                            AnswerView& view) {
  while (true) {
    ServerClient::Question question;
    question.is_raw = options_.is_raw;
    question.text = conversation.turns.back().question;
    question.messages = conversation.messages_without(conversation.n_left);
    question.sample = sample;
    question.form = form_;
    auto answer = client_.ask(question, settings, options_.stop, view);
    const size_t n_old = conversation.turns.size() - 1 - conversation.n_left;
    const bool is_too_long = !answer.ok() && answer.error().code == Code::kOutOfRange;
    if (!is_too_long || question.is_raw || n_old == 0) return answer;
    // How long a prompt is only the server knows: half of the old turns leave until it fits.
    const size_t n_leaving = (n_old + 1) / 2;
    conversation.n_left += n_leaving;
    say_turns_left(n_leaving, "the server's context");
  }
}

Status run_with_server(const RunOptions& options) {
  NARU_ASSIGN(const std::optional<std::string> text, gather_prompt(options));
  if (!text && options.json) {
    return Error{Code::kInvalidArgument,
                 "reading the command line: naru run: --json answers one prompt and none was given; "
                 "for example: naru run --server http://127.0.0.1:8080 \"Why?\" --json"};
  }
  NARU_ASSIGN(const std::optional<text::Form> read, read_form(options.form));
  const text::Form* form = read ? &*read : nullptr;
  std::optional<NoEcho> quiet;  // what is typed while a chat is not at its prompt waits for it
  if (!text && stderr_is_terminal()) quiet.emplace();
  NARU_ASSIGN(const ServerClient client, ServerClient::connect(options));
  if (text) return answer_one_prompt(options, client, *text, form);
  ServerSource source(options, client, form);
  return chat(options, source);
}

}  // namespace naru::cli
