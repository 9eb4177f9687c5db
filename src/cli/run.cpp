// naru run: one answer to a prompt, or a chat where a person sits at the terminal and gave none.
#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/answer_view.h"
#include "cli/builtin_words.h"
#include "cli/chat.h"
#include "cli/engine_source.h"
#include "cli/json_text.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/prompt.h"
#include "cli/server_source.h"
#include "cli/terminal.h"
#include "formats/generation_config.h"
#include "text/chat_template.h"

namespace naru::cli {
namespace {

// The shortest decimal that is this f32 again.
double shortest(float value) {
  const std::string digits = fmt::format("{}", value);
  double result = value;
  std::from_chars(digits.data(), digits.data() + digits.size(), result);
  return result;
}

Json sampling_json(const SamplingFlags& flags, const formats::GenerationConfig& makers) {
  const engine::SamplingOptions o = flags.over(makers);
  return {{"temperature", o.temperature},
          {"top_k", o.top_k},
          {"top_p", o.top_p},
          {"min_p", o.min_p},
          {"repetition_penalty", o.repetition_penalty},
          {"presence_penalty", o.presence_penalty},
          {"frequency_penalty", o.frequency_penalty},
          {"seed", o.seed},
          {"defaults", makers.advises_sampling() ? "makers" : "naru"}};
}

Json answer_json(const engine::Answer& answer, const OpenModel& model, const RunOptions& options) {
  const engine::Timings& t = answer.timings;
  Json json;
  json["text"] = answer.text;
  if (!answer.reasoning.empty() && !options.hide_reasoning) json["reasoning"] = answer.reasoning;
  json["finish_reason"] = engine::finish_reason_name(answer.reason);
  json["ids"] = answer.ids;
  json["logprobs"] = Json::array();
  for (const float logprob : answer.logprobs) json["logprobs"].push_back(shortest(logprob));
  json["usage"] = {{"prompt_tokens", answer.usage.prompt_tokens},
                   {"completion_tokens", answer.usage.completion_tokens},
                   {"cached_tokens", answer.usage.cached_tokens},
                   {"total_tokens", answer.usage.prompt_tokens + answer.usage.completion_tokens}};
  json["timings"] = {{"load_ms", model.load_ms},
                     {"ttft_ms", t.prefill_ms},
                     {"prefill_ms", t.prefill_ms},
                     {"decode_ms", t.decode_ms},
                     {"prefill_tokens_per_s", t.prefill_tokens_per_s()},
                     {"decode_tokens_per_s", t.decode_tokens_per_s()}};
  json["sampling"] = sampling_json(options.sampling, model.engine->generation_config());
  json["model"] = short_name(options.model.path);
  json["numerics_id"] = model.engine->model().numerics_id;
  return json;
}

Result<Prompt> make_prompt(const RunOptions& options, const engine::Engine& engine, const std::string& text,
                           bool is_raw) {
  if (is_raw) return encode_raw(engine, text);
  std::vector<Message> messages;
  if (options.system) messages.push_back({"system", repaired(*options.system, "--system")});
  messages.push_back({"user", text});
  return render_chat(engine, messages);
}

Status say_why_it_ended(const engine::Answer& answer, const OpenModel& model, const RunOptions& options,
                        const std::optional<text::Form>& form) {
  if (answer.reason == engine::FinishReason::kAborted) return Error{Code::kCancelled, ""};
  const std::string nothing = nothing_shown(answer, options.hide_reasoning);
  if (!nothing.empty()) print_note(nothing);
  if (answer.reason != engine::FinishReason::kLength) return {};
  const bool is_by_flag = options.max_tokens > 0 && answer.usage.completion_tokens >= options.max_tokens;
  if (!is_by_flag) {
    print_note(
        fmt::format("the answer stops here: the context of {} tokens is full (--context N makes it longer, where the "
                    "model was made for more)",
                    model.engine->context_tokens()));
  } else if (stderr_is_terminal()) {
    print_note(fmt::format("the answer stops here: --max-tokens {}", options.max_tokens));
  }
  return form ? check_form_is_whole(*form, answer.text, answer.usage.completion_tokens) : Status();
}

Status answer_once(const RunOptions& options, OpenModel& model, const std::string& text,
                   const std::optional<text::Form>& form) {
  NARU_ASSIGN(const bool is_raw, decide_raw(options, *model.engine));
  NARU_ASSIGN(Prompt prompt, make_prompt(options, *model.engine, text, is_raw));
  engine::Request request;
  request.ids = std::move(prompt.ids);
  request.sampling = options.sampling.over(model.engine->generation_config());
  request.max_tokens = options.max_tokens;
  if (options.json) request.top_logprobs = 0;
  engine::TextOptions text_options;
  text_options.stop = options.stop;
  text_options.split_reasoning = !is_raw;
  text_options.starts_in_reasoning = prompt.starts_in_reasoning;
  if (form) {
    NARU_ASSIGN(const auto shared, make_form(*form, *model.engine));
    request.constraint = constraint_of(shared, text_options);
  }

  if (options.json) {
    QuietView view;
    NARU_ASSIGN(const engine::Answer answer, generate(*model.engine, std::move(request), text_options, view));
    NARU_TRY(write_out(json_text(answer_json(answer, model, options))));
    if (options.show_stats) write_err(stats_line(answer, model.load_ms) + "\n");
    return answer.reason == engine::FinishReason::kAborted ? Status(Error{Code::kCancelled, ""}) : Status();
  }
  StreamingView view(options.hide_reasoning);
  auto answer = generate(*model.engine, std::move(request), text_options, view);
  const Status ended = view.finish();
  if (!answer.ok()) return std::move(answer).error();
  NARU_TRY(ended);
  if (options.show_stats) {
    write_err(fmt::format("\n{}\n", styled(stats_line(*answer, model.load_ms), Style::kDim, Stream::kErr)));
  }
  return say_why_it_ended(*answer, model, options, form);
}

Status chat_here(const RunOptions& options, OpenModel& model, const std::optional<text::Form>& form) {
  NARU_ASSIGN(const bool is_raw, decide_raw(options, *model.engine));
  std::shared_ptr<engine::SharedForm> shared;
  if (form) {
    NARU_ASSIGN(shared, make_form(*form, *model.engine));
  }
  EngineSource source(options, model, is_raw, std::move(shared));
  return chat(options, source);
}

Status require_tokenizer(const RunOptions& options, const engine::Engine& engine) {
  if (engine.tokenizer() != nullptr) return {};
  const Error& why = engine.tokenizer_status().error();
  return Error{why.code,
               fmt::format("preparing the prompt: {}: no text without a tokenizer: {}; put the tokenizer's files "
                           "beside the weights (`naru logits` works without them)",
                           short_name(options.model.path), why.message)};
}

}  // namespace

Status run_command(const RunOptions& options) {
  if (!options.server.empty()) return run_with_server(options);
  NARU_ASSIGN(models::ModelFiles files, open_files(options.model));  // a prompt may be long in coming
  NARU_ASSIGN(const std::optional<std::string> text, gather_prompt(options));
  if (!text && options.json) {
    return Error{Code::kInvalidArgument,
                 "reading the command line: naru run: --json answers one prompt and none was given; "
                 "for example: naru run model.gguf \"Why?\" --json"};
  }
  NARU_ASSIGN(const std::optional<text::Form> form, read_form(options.form));
  if (form) NARU_TRY(text::compile(*form, {}));  // what is wrong is said before a model is loaded
  std::optional<std::string> chat_template;      // read before a model is loaded for it
  if (options.chat_template) {
    NARU_ASSIGN(chat_template, text::read_chat_template(*options.chat_template));
  }
  if (text && options.is_builtin_by_default) note_builtin("answers");  // a chat begins with what it is
  std::optional<NoEcho> quiet;  // what is typed while a chat is not at its prompt waits for it
  if (!text && stderr_is_terminal()) quiet.emplace();
  NARU_ASSIGN(OpenModel model,
              open_model(std::move(files), options.model,
                         {.context_tokens = options.model.context, .chat_template = std::move(chat_template)}));
  NARU_TRY(require_tokenizer(options, *model.engine));
  const Status status = text ? answer_once(options, model, *text, form) : chat_here(options, model, form);
  if (options.model.explain) write_err("\n" + kernel_table(*model.chip));
  return status;
}

}  // namespace naru::cli
