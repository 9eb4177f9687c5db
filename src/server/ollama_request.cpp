#include "server/ollama_request.h"

#include <fmt/format.h>

#include <limits>

#include "formats/utf8.h"
#include "server/limits.h"
#include "server/model_facts.h"
#include "server/ollama_answer.h"
#include "server/ollama_messages.h"
#include "server/reasoning_fields.h"
#include "server/request_body.h"

namespace naru::server {
namespace {

using text::Value;

constexpr size_t kOllamaNameBytesMax = 256;
constexpr size_t kOllamaTextBytesMax = kBodyBytesMax;
constexpr int64_t kInt32Max = std::numeric_limits<int32_t>::max();

constexpr FieldNames kOllamaNames = {
    .form = "format",
    .form_advice = "format takes a JSON schema, and structured_outputs of /v1/chat/completions a regex or choices",
    .thinking = "think",
    .effort = "think",
    .reasoning = "thinking"};

void read_ollama_options(Fields& body, AnswerRequest& request) {
  const Value* value = body.find("options");
  if (value == nullptr) return;
  if (value->as_object() == nullptr) return body.refuse_wrong("options", *value, "an object");
  Fields options(*value, "options", body.notes());
  AskedSampling& sampling = request.sampling;
  sampling.temperature = options.number("temperature", 0, 1000);
  sampling.top_p = options.number("top_p", 0, 1);
  sampling.min_p = options.number("min_p", 0, 1);
  sampling.top_k = options.integer("top_k", -1, kInt32Max);
  if (sampling.top_k == -1) sampling.top_k = 0;
  sampling.repetition_penalty = options.number("repeat_penalty", 0.01, 100);
  sampling.presence_penalty = options.number("presence_penalty", -100, 100);
  sampling.frequency_penalty = options.number("frequency_penalty", -100, 100);
  sampling.seed = read_seed(options);
  // -1: without end; -2: until the context is full; 0 is no bound either.
  const int64_t predict = options.integer("num_predict", -2, kInt32Max).value_or(-1);
  request.max_tokens = predict > 0 ? predict : 0;
  request.context_wanted = options.integer("num_ctx", 1, kInt32Max).value_or(0);
  request.stop = read_stops(options, "stop");
  options.ignore_rest();
}

void read_ollama_format(Fields& body, AnswerRequest& request) {
  const Value* value = body.find("format");
  if (value == nullptr) return;
  const std::string* word = value->as_string();
  if (word != nullptr && word->empty()) return;
  if (word != nullptr && *word == "json") {
    request.is_json = true;
  } else if (value->as_object()) {
    request.form = text::SchemaForm{*value};
  } else {
    body.refuse_wrong("format", *value, "\"json\" or a schema");
  }
}

void read_ollama_think(Fields& body, AnswerRequest& request) {
  const Value* value = body.find("think");
  if (value == nullptr) return;
  if (const bool* is_on = value->as_bool()) {
    request.thinks = *is_on;
    return;
  }
  const std::string* word = value->as_string();
  const auto effort = word ? effort_of(*word) : std::nullopt;
  if (!effort) return body.refuse_wrong("think", *value, "true, false, \"low\", \"medium\" or \"high\"");
  request.thinks = effort != "none";
  if (*request.thinks) request.reasoning_effort = *effort;
}

void read_ollama_logprobs(Fields& body, AnswerRequest& request) {
  const bool wanted = body.boolean("logprobs").value_or(false);
  const auto top = body.integer("top_logprobs", 0, kTopLogProbsAskedMax);
  if (wanted) {
    request.top_logprobs = top.value_or(0);
  } else if (top.value_or(0) > 0) {
    body.notes().refuse("top_logprobs", "top_logprobs is given without \"logprobs\": true; give both or none");
  }
}

void read_ollama_keep_alive(Fields& body) {
  const Value* value = body.find("keep_alive");
  if (value == nullptr) return;
  if (!value->as_string() && !value->as_int() && !value->as_double()) {
    return body.refuse_wrong("keep_alive", *value, "a duration");
  }
  body.ignore("keep_alive");
}

void read_ollama_common(Fields& body, AnswerRequest& request) {
  request.names = kOllamaNames;
  request.model = read_ollama_model(body);
  request.is_streamed = body.boolean("stream").value_or(true);
  read_ollama_options(body, request);
  read_ollama_format(body, request);
  read_ollama_think(body, request);
  read_ollama_logprobs(body, request);
  read_ollama_keep_alive(body);
}

// The answer to whoever wants the model to be loaded.
ReadRequest ollama_load_page(const FieldNotes& notes, AnswerRequest& request) {
  if (!notes.ok()) return notes.refusal();
  PageRequest page;
  page.model = std::move(request.model);
  page.ignored = notes.ignored();
  page.make = [is_chat = request.is_chat](const ModelFacts& model) { return ollama_loaded(is_chat, model); };
  return page;
}

void refuse_generate_fields(Fields& body) {
  const Value* images = body.find("images");
  if (images != nullptr && (images->as_list() == nullptr || !images->as_list()->empty())) {
    body.refuse_unsupported("images", "models take text alone here");
  }
  const Value* context = body.find("context");
  if (context != nullptr && (context->as_list() == nullptr || !context->as_list()->empty())) {
    body.refuse_unsupported("context", "send the conversation's messages to /api/chat");
  }
  if (body.string("template", kOllamaTextBytesMax).value_or("") != "") {
    body.refuse_unsupported("template", "send the finished prompt with \"raw\": true");
  }
}

}  // namespace

std::string read_ollama_model(Fields& body, std::string_view field) {
  constexpr std::string_view kTag = ":latest";
  std::string name = body.string(field, kOllamaNameBytesMax).value_or("");
  if (name.ends_with(kTag)) name.resize(name.size() - kTag.size());
  return name;
}

ReadRequest read_ollama_chat(std::string_view body) {
  return read_body(body, [](Fields& fields) -> ReadRequest {
    AnswerRequest request;
    request.is_chat = true;
    read_ollama_common(fields, request);
    request.messages = read_ollama_messages(fields);
    request.tools = read_ollama_tools(fields, request.strict_tools);
    fields.ignore_rest();
    return request.messages.empty() ? ollama_load_page(fields.notes(), request) : finish_request(fields, request);
  });
}

ReadRequest read_ollama_generate(std::string_view body) {
  return read_body(body, [](Fields& fields) -> ReadRequest {
    AnswerRequest request;
    read_ollama_common(fields, request);
    refuse_generate_fields(fields);
    const std::string prompt = fields.string("prompt", kOllamaTextBytesMax).value_or("");
    const std::string system = fields.string("system", kOllamaTextBytesMax).value_or("");
    request.suffix = fields.string("suffix", kOllamaTextBytesMax);
    const bool fills_in = request.suffix.value_or("") != "";
    // A text is continued as it is where that is asked for, and where something stands behind it.
    request.is_chat = !fields.boolean("raw").value_or(false) && !fills_in;
    if (!request.is_chat) {
      if (!system.empty()) {
        fields.refuse_unsupported("system", fills_in ? "a text is filled in without" : "a raw prompt has it within");
      }
      fields.ignore("think");
      request.prompts = {prompt};
    } else {
      request.names.messages = "prompt";
      request.names.has_places = false;
      if (!system.empty()) request.messages.push_back(Value::Object{{"role", "system"}, {"content", system}});
      request.messages.push_back(Value::Object{{"role", "user"}, {"content", prompt}});
    }
    fields.ignore_rest();
    if (!prompt.empty() || fills_in) return finish_request(fields, request);
    request.is_chat = false;
    return ollama_load_page(fields.notes(), request);
  });
}

const Dialect kOllamaChat = {"ollama.chat", "chat-",
                             [](std::string_view body, const HttpRequest&) { return read_ollama_chat(body); },
                             make_ollama_chat_writer, ollama_error};
const Dialect kOllamaGenerate = {"ollama.generate", "gen-",
                                 [](std::string_view body, const HttpRequest&) { return read_ollama_generate(body); },
                                 make_ollama_generate_writer, ollama_error};
const Dialect kOllamaEmbed = {"ollama.embed", "embd-",
                              [](std::string_view, const HttpRequest&) -> ReadRequest {
                                return Refusal{400,
                                               "reading the request: models that answer make no embeddings; take a "
                                               "model and a server that are made for them",
                                               "model", "unsupported_model", 0};
                              },
                              nullptr, ollama_error};

}  // namespace naru::server
