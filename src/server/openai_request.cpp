#include "server/openai_request.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "formats/utf8.h"
#include "server/fields.h"
#include "server/limits.h"
#include "server/openai_answer.h"
#include "server/openai_form.h"
#include "server/openai_messages.h"
#include "server/openai_tools.h"
#include "server/reasoning_fields.h"
#include "server/request_body.h"

namespace naru::server {
namespace {

using text::Value;

constexpr size_t kNameBytesMax = 256;
constexpr double kBiasMax = 100;

void read_sampling(Fields& body, AskedSampling& sampling) {
  sampling.temperature = body.number("temperature", 0, 1000);
  sampling.top_p = body.number("top_p", 0, 1);
  sampling.min_p = body.number("min_p", 0, 1);
  sampling.repetition_penalty = body.number("repetition_penalty", 0.01, 100);
  sampling.presence_penalty = body.number("presence_penalty", -100, 100);
  sampling.frequency_penalty = body.number("frequency_penalty", -100, 100);
  sampling.top_k = body.integer("top_k", -1, std::numeric_limits<int32_t>::max());
  if (sampling.top_k == -1) sampling.top_k = 0;  // off, as others write it
  sampling.seed = read_seed(body);
}

void read_logit_bias(Fields& body, AskedSampling& sampling) {
  const Value* value = body.find("logit_bias");
  if (value == nullptr) return;
  const Value::Object* object = value->as_object();
  if (object == nullptr) return body.refuse_wrong("logit_bias", *value, "an object of token ids and numbers");
  if (static_cast<int64_t>(object->size()) > kLogitBiasMax) {
    return body.notes().refuse(
        "logit_bias", fmt::format("logit_bias has {} tokens, at most {} are taken", object->size(), kLogitBiasMax));
  }
  for (const auto& [key, bias] : *object) {
    int32_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    const bool is_id = error == std::errc() && end == key.data() + key.size() && id >= 0;
    const int64_t* i = bias.as_int();
    const double* d = bias.as_double();
    const double number = i ? static_cast<double>(*i) : d ? *d : std::numeric_limits<double>::quiet_NaN();
    // The key is the client's own and stays out of param, which is logged.
    const std::string place = fmt::format("logit_bias.{}", formats::printable(key));
    if (!is_id) {
      return body.notes().refuse("logit_bias", fmt::format("{} is no token id, one of 0 and above was wanted", place));
    }
    if (!(number >= -kBiasMax && number <= kBiasMax)) {
      return body.notes().refuse("logit_bias", fmt::format("{} is {}, a number of {} to {} was wanted", place,
                                                           shown_value(bias), -kBiasMax, kBiasMax));
    }
    for (const auto& [other, unused] : sampling.logit_bias) {
      if (other == id) return body.notes().refuse("logit_bias", fmt::format("{} names a token a second time", place));
    }
    sampling.logit_bias.emplace_back(id, static_cast<float>(number));
  }
}

void read_stream(Fields& body, AnswerRequest& request) {
  request.is_streamed = body.boolean("stream").value_or(false);
  const Value* value = body.find("stream_options");
  if (value == nullptr) return;
  if (value->as_object() == nullptr) return body.refuse_wrong("stream_options", *value, "an object");
  if (!request.is_streamed) {
    return body.notes().refuse("stream_options", "stream_options is given without \"stream\": true; leave one out");
  }
  Fields options(*value, "stream_options", body.notes());
  request.wants_usage = options.boolean("include_usage").value_or(false);
  options.ignore_rest();
}

// Fields that both kinds of request share, beside the prompt's.
void read_common(Fields& body, AnswerRequest& request) {
  read_sampling(body, request.sampling);
  read_logit_bias(body, request.sampling);
  request.stop = read_stops(body, "stop");
  read_stream(body, request);
  request.n = body.integer("n", 1, kChoicesMax).value_or(1);
  request.ignores_end = body.boolean("ignore_eos").value_or(false);
  request.cache_salt = body.string("cache_salt", kNameBytesMax).value_or("");
  request.priority = body.integer("priority", -kPriorityMax, kPriorityMax).value_or(0);
  for (const char* name : {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}) {
    body.ignore(name);
  }
}

void read_max_tokens(Fields& body, AnswerRequest& request) {
  const auto old_name = body.integer("max_tokens", 1, kTokensOfAnswerMax);
  const auto new_name = body.integer("max_completion_tokens", 1, kTokensOfAnswerMax);
  if (old_name && new_name && *old_name != *new_name) {
    body.notes().refuse("max_tokens", fmt::format("max_tokens is {} and max_completion_tokens {}, two names of one "
                                                  "thing; give one",
                                                  *old_name, *new_name));
  }
  request.max_tokens = new_name.value_or(old_name.value_or(0));
}

void read_chat_logprobs(Fields& body, AnswerRequest& request) {
  const bool wanted = body.boolean("logprobs").value_or(false);
  const auto top = body.integer("top_logprobs", 0, kTopLogProbsAskedMax);
  if (top && !wanted) {
    return body.notes().refuse("top_logprobs", "top_logprobs is given without \"logprobs\": true; give both or none");
  }
  if (wanted) request.top_logprobs = top.value_or(0);
}

// What is there in OpenAI's API, and not here yet.
void refuse_chat_fields(Fields& body) {
  if (const Value* kinds = body.find("modalities")) {
    const auto* list = kinds->as_list();
    const bool is_text = list && list->size() == 1 && list->front().as_string() && *list->front().as_string() == "text";
    if (!is_text) body.refuse_unsupported("modalities", "only [\"text\"] is");
  }
  body.refuse_unsupported("audio", "models take and give text alone here");
  body.refuse_unsupported("prediction", "leave it out: answers come whole and the same without it");
  body.refuse_unsupported("web_search_options", "nothing here goes to the network");
}

void read_template_settings(Fields& body, AnswerRequest& request) {
  const Value* value = body.find("chat_template_kwargs");
  if (value == nullptr) return;
  const Value::Object* object = value->as_object();
  if (object == nullptr) return body.refuse_wrong("chat_template_kwargs", *value, "an object");
  if (static_cast<int64_t>(object->size()) > kTemplateSettingsMax) {
    return body.notes().refuse("chat_template_kwargs", fmt::format("chat_template_kwargs has {} fields, at most {} are "
                                                                   "taken",
                                                                   object->size(), kTemplateSettingsMax));
  }
  for (const auto& [key, setting] : *object) {
    for (const char* taken : {"messages", "tools", "documents", "add_generation_prompt"}) {
      if (key != taken) continue;
      const std::string place = fmt::format("chat_template_kwargs.{}", key);
      return body.notes().refuse(place, fmt::format("{} is made of the request itself; leave it out", place));
    }
  }
  request.template_settings = *object;
}

// A token id, or nothing.
std::optional<int32_t> token_id(const Value& value) {
  const int64_t* id = value.as_int();
  if (id == nullptr || *id < 0 || *id > std::numeric_limits<int32_t>::max()) return std::nullopt;
  return static_cast<int32_t>(*id);
}

bool read_prompt_ids(const Value::List& list, std::vector<int32_t>& ids) {
  for (const Value& value : list) {
    const auto id = token_id(value);
    if (!id) return false;
    ids.push_back(*id);
  }
  return !ids.empty();
}

void read_prompts(Fields& body, AnswerRequest& request) {
  constexpr std::string_view kWanted = "a string, an array of strings, an array of token ids, or an array of those";
  const Value* value = body.find("prompt");
  if (value == nullptr)
    return body.notes().refuse("prompt", fmt::format("prompt is not there, {} was wanted", kWanted));
  if (const std::string* text = value->as_string()) {
    request.prompts.emplace_back(*text);
    return;
  }
  const Value::List* list = value->as_list();
  if (list == nullptr || list->empty()) return body.refuse_wrong("prompt", *value, kWanted);
  std::vector<int32_t> ids;
  if (list->front().as_int()) {
    if (!read_prompt_ids(*list, ids)) return body.refuse_wrong("prompt", *value, "an array of token ids only");
    request.prompts.emplace_back(std::move(ids));
    return;
  }
  if (static_cast<int64_t>(list->size()) > kPromptsMax) {
    return body.notes().refuse("prompt", fmt::format("prompt has {} texts, at most {} are taken; send several requests",
                                                     list->size(), kPromptsMax));
  }
  for (size_t i = 0; i < list->size(); ++i) {
    const Value& each = (*list)[i];
    const std::string place = fmt::format("prompt[{}]", i);
    ids.clear();
    if (const std::string* text = each.as_string()) {
      request.prompts.emplace_back(*text);
    } else if (each.as_list() && read_prompt_ids(*each.as_list(), ids)) {
      request.prompts.emplace_back(ids);
    } else {
      return body.notes().refuse(
          place, fmt::format("{} is {}, a string or an array of token ids was wanted", place, shown_value(each)));
    }
  }
}

void refuse_completion_fields(Fields& body, const AnswerRequest& request) {
  if (body.boolean("echo") == true) {
    body.refuse_unsupported("echo", "put the prompt before the answer yourself");
  }
  const auto best_of = body.integer("best_of", 1, kChoicesMax);
  if (best_of && *best_of != request.n) {
    body.refuse_unsupported("best_of", "give n, and choose among the answers");
  }
}

}  // namespace

void read_openai_prompt_fields(Fields& fields, AnswerRequest& request) {
  request.is_chat = true;
  request.model = fields.string("model", kNameBytesMax).value_or("");
  request.messages = read_openai_messages(fields);
  read_template_settings(fields, request);
  read_openai_tools(fields, request);
  read_reasoning(fields, request);
  read_prefix(fields, request);
}

ReadRequest read_openai_chat(std::string_view body) {
  return read_body(body, [](Fields& fields) -> ReadRequest {
    AnswerRequest request;
    read_openai_prompt_fields(fields, request);
    read_common(fields, request);
    read_max_tokens(fields, request);
    read_chat_logprobs(fields, request);
    read_openai_form(fields, request);
    refuse_chat_fields(fields);
    return finish_request(fields, request);
  });
}

ReadRequest read_openai_completion(std::string_view body) {
  return read_body(body, [](Fields& fields) -> ReadRequest {
    AnswerRequest request;
    request.model = fields.string("model", kNameBytesMax).value_or("");
    read_prompts(fields, request);
    request.suffix = fields.string("suffix", kBodyBytesMax);
    read_common(fields, request);
    // Sixteen tokens where nobody says: OpenAI's default, which clients count on.
    request.max_tokens = fields.integer("max_tokens", 1, kTokensOfAnswerMax).value_or(16);
    request.top_logprobs = fields.integer("logprobs", 0, kTopLogProbsAskedMax);
    read_openai_form(fields, request);
    refuse_completion_fields(fields, request);
    return finish_request(fields, request);
  });
}

const Dialect kOpenAiChat = {"openai.chat", "chatcmpl-",
                             [](std::string_view body, const HttpRequest&) { return read_openai_chat(body); },
                             make_openai_writer, openai_error};
const Dialect kOpenAiCompletion = {
    "openai.completion", "cmpl-",
    [](std::string_view body, const HttpRequest&) { return read_openai_completion(body); }, make_openai_writer,
    openai_error};
const Dialect kOpenAiEmbeddings = {
    "openai.embeddings", "embd-",
    [](std::string_view, const HttpRequest&) -> ReadRequest {
      return Refusal{
          400,
          "reading the request: models that answer make no embeddings; take a model and a server that are made "
          "for them",
          "model", "unsupported_model", 0};
    },
    nullptr, openai_error};

}  // namespace naru::server
