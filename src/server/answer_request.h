// AnswerRequest: what is asked for, whichever dialect asked. Every dialect reads its own form into this one, and from
// here on nobody knows which it was; what a request leaves open is left open here (the model's own advice fills it).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "server/refusal.h"
#include "text/forms/form.h"
#include "text/value.h"

namespace naru::server {

struct ModelFacts;

// As engine::SamplingOptions, as far as somebody said.
struct AskedSampling {
  std::optional<double> temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty;
  std::optional<int64_t> top_k;
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::optional<uint64_t> seed;  // absent: one is drawn, and said with the answer
};

// A text to continue, or its tokens.
using TextPrompt = std::variant<std::string, std::vector<int32_t>>;

// What the dialect calls the fields that are looked at when it has been left behind: refusals and ignored fields are
// said by these names.
struct FieldNames {
  std::string_view messages = "messages";
  bool has_places = true;  // element i of AnswerRequest::messages is element i of that field
  std::string_view prompt = "prompt";
  std::string_view form = "response_format";
  std::string_view form_advice = "structured_outputs takes json, regex or choice, and response_format a schema";
  std::string_view thinking = "thinking";
  std::string_view effort = "reasoning_effort";
  std::string_view budget = "thinking.budget_tokens";
  std::string_view reasoning = "reasoning_content";  // of a message
};

using ContentForm = std::variant<text::SchemaForm, text::RegexForm, text::ChoiceForm>;

struct AnswerRequest {
  std::string model;  // empty: whichever is served
  bool is_chat = false;
  // Of a chat: objects with "role", "content", ... as templates know them. Those of an assistant may have "tool_calls"
  // (OpenAI's form; "arguments" the text as it was sent), those of role "tool" answer them ("tool_call_id", "name").
  text::Value::List messages;
  // {"type": "function", "function": {"name", "description", "parameters"}}; null: none, so that nothing is rendered of
  // them and no call is looked for in the answer.
  text::Value tools;
  bool must_call = false;                 // the answer is calls
  std::string only_tool;                  // of these, calls of the tool with this name; empty: of any
  std::vector<std::string> strict_tools;  // names of tools whose arguments must follow their schema
  bool parallel_calls = true;             // false: the answer ends behind its first call
  bool continues_last = false;            // the answer goes on where the last message, an assistant's, ends
  std::optional<bool> thinks;             // reasoning on or off, where the template knows both
  std::string reasoning_effort;           // "low", "high", "max"; "none": thinks is false; empty: the template's own
  int64_t reasoning_tokens_max = 0;       // then it is closed; 0: no bound
  text::Value::Object template_settings;  // further variables of the template
  std::vector<TextPrompt> prompts;        // where it is no chat: at least one
  std::optional<std::string> suffix;      // of a text prompt: what is to stand behind the answer
  AskedSampling sampling;
  int64_t n = 1;               // answers to each prompt
  int64_t max_tokens = 0;      // 0: until the context is full
  int64_t context_wanted = 0;  // tokens; said among what is ignored where the model's context is shorter
  std::vector<std::string> stop;
  bool ignores_end = false;             // the model's own end tokens end nothing
  std::optional<int64_t> top_logprobs;  // 0: of the chosen token; n: of the n best too
  bool is_streamed = false;
  bool wants_usage = false;         // of a stream: tokens are counted at its end
  bool is_json = false;             // the content must be one JSON object
  std::optional<ContentForm> form;  // that the content must have
  int64_t priority = 0;             // of two that wait the lower begins first
  std::string cache_salt;           // requests share computed prompts only where it is the same

  FieldNames names;

  // Of the dialect that has read it, for its writer alone.
  std::string echo;              // fields that an answer repeats: JSON text, "\"a\":1,\"b\":[]"
  bool seals_reasoning = false;  // reasoning is also given in a form that a client sends back unread

  std::vector<std::string> ignored;  // fields that were given and change nothing: said with the answer

  bool has_form() const { return is_json || form.has_value(); }
  int64_t n_prompts() const { return is_chat ? 1 : static_cast<int64_t>(prompts.size()); }
  int64_t n_choices() const { return n_prompts() * n; }
};

// What the model's tokenizer and template alone answer, without its engine: token counts, rendered prompts.
struct PageRequest {
  std::string model;                                                                // as AnswerRequest::model
  std::function<std::variant<std::string, Refusal>(const ModelFacts& model)> make;  // the body of the answer: JSON
  std::vector<std::string> ignored;
};

// What a dialect makes of a body.
using ReadRequest = std::variant<AnswerRequest, PageRequest, Refusal>;

}  // namespace naru::server
