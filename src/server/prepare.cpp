#include "server/prepare.h"

#include <fmt/format.h>

#include <cstdlib>

#include "base/sha256.h"
#include "engine/form_constraint.h"
#include "engine/json_constraint.h"
#include "engine/reasoning_budget.h"
#include "server/answer_form.h"
#include "server/chat_prompt.h"
#include "text/fill_in.h"

namespace naru::server {
namespace {

// A prompt as tokens; its segments are of no interest any more.
using Prompt = ChatPrompt;
using MadePrompt = std::variant<Prompt, Refusal>;

engine::SamplingOptions sampling_of(const AskedSampling& asked, const ModelFacts& model, uint64_t seed) {
  engine::SamplingOptions o = model.sampling;
  o.temperature = asked.temperature.value_or(o.temperature);
  o.top_k = asked.top_k.value_or(o.top_k);
  o.top_p = asked.top_p.value_or(o.top_p);
  o.min_p = asked.min_p.value_or(o.min_p);
  o.repetition_penalty = asked.repetition_penalty.value_or(o.repetition_penalty);
  o.presence_penalty = asked.presence_penalty.value_or(o.presence_penalty);
  o.frequency_penalty = asked.frequency_penalty.value_or(o.frequency_penalty);
  o.logit_bias = asked.logit_bias;
  o.seed = asked.seed.value_or(seed);
  return o;
}

// `text`: how the answer is read.
MadePrompt chat_prompt(const AnswerRequest& request, const ModelFacts& model, engine::TextOptions& text,
                       const ReplaySource* replays = nullptr) {
  return render_chat(request, model, true, &text, replays);
}

// What stands between a beginning and an end.
MadePrompt fill_in_prompt(const AnswerRequest& request, size_t index, const ModelFacts& model,
                          const std::string& param) {
  const auto* text = std::get_if<std::string>(&request.prompts[index]);
  if (text == nullptr) {
    return Refusal{400,
                   fmt::format("reading the request: {} has token ids and suffix is a text; give both as text, or a "
                               "prompt of ids that has the tokens of filling in",
                               param),
                   param, "", 0};
  }
  const auto tokens = text::fill_in_tokens(*model.tokenizer);
  if (!tokens) {
    return Refusal{400,
                   "reading the request: suffix is given, and the model's vocabulary has no tokens for filling in; "
                   "leave it out, or take a model that was trained for it",
                   "suffix", "unsupported_parameter", 0};
  }
  if (request.has_form()) {
    return Refusal{400,
                   fmt::format("reading the request: {} asks for {}, and suffix for a text that stands before it; "
                               "leave one out",
                               request.names.form, form_words(request)),
                   "suffix", "", 0};
  }
  Prompt prompt;
  prompt.ids = text::encode_fill_in(*model.tokenizer, *tokens, *text, *request.suffix);
  return prompt;
}

MadePrompt text_prompt(const TextPrompt& prompt, const ModelFacts& model, const std::string& param) {
  Prompt made;
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    made.ids = model.tokenizer->encode(*text, {.add_special = true, .parse_special = true});
  } else {
    made.ids = std::get<std::vector<int32_t>>(prompt);
  }
  for (const int32_t id : made.ids) {
    if (id >= 0 && id < model.vocab) continue;
    return Refusal{400,
                   fmt::format("reading the request: {} has the token id {}, but the vocabulary has ids 0 to {}; "
                               "send ids of this model's tokenizer",
                               param, id, model.vocab - 1),
                   param, "", 0};
  }
  if (!made.ids.empty()) return made;
  return Refusal{400,
                 fmt::format("reading the request: the tokenizer makes no token of {}, one at least was wanted; "
                             "give some text",
                             param),
                 param, "", 0};
}

MadePrompt make_prompt(const AnswerRequest& request, size_t index, const ModelFacts& model, engine::TextOptions& text,
                       const ReplaySource* replays) {
  const FieldNames& names = request.names;
  const std::string param = request.is_chat               ? std::string(names.messages)
                            : request.prompts.size() == 1 ? std::string(names.prompt)
                                                          : fmt::format("{}[{}]", names.prompt, index);
  // An empty end is none.
  const bool fills_in = request.suffix && !request.suffix->empty();
  MadePrompt made = request.is_chat ? chat_prompt(request, model, text, replays)
                    : fills_in      ? fill_in_prompt(request, index, model, param)
                                    : text_prompt(request.prompts[index], model, param);
  const Prompt* prompt = std::get_if<Prompt>(&made);
  if (prompt == nullptr || static_cast<int64_t>(prompt->ids.size()) < model.context_tokens) return made;
  return Refusal{400,
                 fmt::format("reading the request: the prompt has {} tokens and the context holds {}, with one at "
                             "least for the answer; shorten it, or start the server with a longer --context, where the "
                             "model was made for it",
                             prompt->ids.size(), model.context_tokens),
                 param, "context_length_exceeded", 0};
}

// What a chat's prompt says besides, and whether its turn is to be kept: one that may call tools and is a turn of its
// own.
void take_chat_prompt(Prompt& prompt, const AnswerRequest& request, const ReplaySource& replays,
                      const std::shared_ptr<SampledTurns>& turns, PreparedAnswer& answer) {
  answer.warnings = std::move(prompt.warnings);
  answer.replayed_call = std::move(prompt.replayed_call);
  answer.replayed_tokens = prompt.replayed_tokens;
  if (turns == nullptr || request.tools.is_null() || request.continues_last) return;
  answer.turn =
      std::make_shared<const TurnToKeep>(TurnToKeep{turns, replays.scope, std::move(prompt.history), prompt.ids});
}

Refusal no_tokenizer() {
  return {500, "preparing the prompt: the model has no tokenizer", "", "internal_error", 0};
}

}  // namespace

std::variant<std::vector<int32_t>, Refusal> prompt_tokens(const AnswerRequest& request, const ModelFacts& model) {
  if (model.tokenizer == nullptr) return no_tokenizer();
  engine::TextOptions unread;
  MadePrompt made = request.is_chat ? chat_prompt(request, model, unread)
                                    : text_prompt(request.prompts.front(), model, std::string(request.names.prompt));
  if (auto* refusal = std::get_if<Refusal>(&made)) return std::move(*refusal);
  return std::move(std::get<Prompt>(made).ids);
}

uint64_t scope_of(const std::string& key_name, const std::string& cache_salt) {
  if (key_name.empty() && cache_salt.empty()) return 0;
  const std::string text = fmt::format("{}:{}{}", key_name.size(), key_name, cache_salt);
  const std::string hex = sha256_hex({reinterpret_cast<const std::byte*>(text.data()), text.size()});
  return std::strtoull(hex.substr(0, 16).c_str(), nullptr, 16);
}

std::variant<PreparedAnswer, Refusal> prepare(const AnswerRequest& request, const ModelFacts& model, uint64_t seed,
                                              uint64_t cache_scope, const std::shared_ptr<SampledTurns>& turns) {
  if (model.tokenizer == nullptr) return no_tokenizer();
  if (auto refusal = refuse_beside_form(request)) return std::move(*refusal);
  // Before the form: what calls are to look like is of no interest where the template has no place for them.
  if (request.is_chat) {
    if (auto refusal = refuse_chat(request, model)) return std::move(*refusal);
  }
  const engine::SamplingOptions sampling = sampling_of(request.sampling, model, seed);
  if (const Status valid = engine::validate_sampling(sampling, model.vocab); !valid.ok()) {
    return Refusal{400, fmt::format("reading the request: {}", valid.error().message), "", "", 0};
  }
  auto made_form = answer_form(request, model);
  if (auto* refusal = std::get_if<Refusal>(&made_form)) return std::move(*refusal);
  const auto& form = std::get<std::shared_ptr<engine::SharedForm>>(made_form);
  PreparedAnswer answer;
  answer.seed = sampling.seed;
  answer.choices_per_prompt = request.n;
  answer.goes_on = request.continues_last;
  answer.text.stop = request.stop;
  answer.text.split_reasoning = request.is_chat;
  const ReplaySource replays{turns.get(), cache_scope};
  for (size_t i = 0; i < static_cast<size_t>(request.n_prompts()); ++i) {
    MadePrompt made = make_prompt(request, i, model, answer.text, turns != nullptr ? &replays : nullptr);
    if (auto* refusal = std::get_if<Refusal>(&made)) return std::move(*refusal);
    Prompt& prompt = std::get<Prompt>(made);
    answer.text.starts_in_reasoning = prompt.opens_reasoning;
    if (i == 0) answer.ignored = std::move(prompt.ignored);
    if (request.is_chat) take_chat_prompt(prompt, request, replays, turns, answer);
    std::shared_ptr<const engine::Constraint> constraint;
    if (request.is_json) {
      constraint = std::make_shared<const engine::JsonConstraint>(model.masks->json(), answer.text.split_reasoning,
                                                                  prompt.opens_reasoning);
    } else if (form != nullptr) {
      constraint =
          std::make_shared<const engine::FormConstraint>(form, answer.text.split_reasoning, prompt.opens_reasoning);
    }
    if (request.is_chat && request.reasoning_tokens_max > 0) {
      auto bounded = std::make_shared<const engine::ReasoningBudget>(
          *model.tokenizer, model.vocab, request.reasoning_tokens_max, prompt.opens_reasoning, std::move(constraint));
      if (!bounded->can_close()) answer.ignored.emplace_back(request.names.budget);
      constraint = std::move(bounded);
    }
    engine::Request first;
    first.ids = std::move(prompt.ids);
    first.sampling = sampling;
    first.max_tokens = request.max_tokens;
    first.ignore_eos = request.ignores_end;
    first.top_logprobs = request.top_logprobs;
    first.constraint = std::move(constraint);
    first.cache_scope = cache_scope;
    first.priority = request.priority;
    answer.prompts.push_back(std::move(first));
  }
  if (request.context_wanted > model.context_tokens) answer.ignored.push_back("num_ctx");
  return answer;
}

}  // namespace naru::server
