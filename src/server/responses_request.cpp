#include "server/responses_request.h"

#include <fmt/format.h>

#include <limits>

#include "formats/utf8.h"
#include "server/form_fields.h"
#include "server/json_bytes.h"
#include "server/limits.h"
#include "server/openai_answer.h"
#include "server/reasoning_fields.h"
#include "server/request_body.h"
#include "server/responses_answer.h"
#include "server/responses_items.h"
#include "server/text_blocks.h"
#include "server/value_json.h"

namespace naru::server {
namespace {

using text::Value;

// Several items make one message.
constexpr FieldNames kResponsesNames = {
    .messages = "input",
    .has_places = false,
    .form = "text.format",
    .form_advice = R"(text.format {"type": "json_schema"} gives an answer of a schema, and structured_outputs of )"
                   "/v1/chat/completions one of a regex or choices",
    .thinking = "reasoning.effort",
    .effort = "reasoning.effort",
    .reasoning = "reasoning item"};

// Fields of the request as its answer repeats them. Long ones would be sent three times in a stream: they are left out.
class Echo {
 public:
  void add(std::string_view name, std::string json, std::string_view in_place_of_long) {
    if (static_cast<int64_t>(json.size()) > kEchoBytesMax) json = in_place_of_long;
    text_ += fmt::format(R"({}"{}":{})", text_.empty() ? "" : ",", name, json);
  }
  void add(std::string_view name, const Json& json) { add(name, json_bytes(json), "null"); }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

bool read_function_tool(Fields& tool, ToolList& tools) {
  const std::string type = block_type(tool);
  if (type != "function") return false;
  const Value* parameters = tool.find("parameters");
  if (parameters != nullptr && parameters->as_object() == nullptr) {
    tool.refuse_wrong("parameters", *parameters, "a JSON schema, which is an object");
  }
  tools.add(tool, parameters);
  tool.ignore_rest();
  return true;
}

// A word, or {"type": "function", "name"}.
void read_response_choice(Fields& body, AnswerRequest& request, Echo& echo) {
  constexpr ToolChoiceWords kWords = {"required", "function"};
  const Value* choice = body.find("tool_choice");
  if (choice == nullptr) return echo.add("tool_choice", "auto");
  echo.add("tool_choice", value_json(*choice), "\"auto\"");
  std::string word = choice->as_string() != nullptr ? *choice->as_string() : "";
  bool is_known = word != kWords.named;  // as an object alone
  if (choice->as_object() != nullptr) {
    Fields fields(*choice, "tool_choice", body.notes());
    word = read_tool_choice_object(fields, kWords, request);
    is_known = word == kWords.named;
    fields.ignore_rest();
  }
  if (is_known && take_tool_choice(word, kWords, request)) return;
  body.refuse_unsupported("tool_choice",
                          "\"auto\", \"none\", \"required\" and {\"type\": \"function\", \"name\": NAME} are");
}

// Functions are taken. Tools that OpenAI would run are not there: beside functions, as agents send them, they are
// named as ignored, for no answer has to call a tool; alone they are what the request is about, and refused.
void read_response_tools(Fields& body, AnswerRequest& request, Echo& echo) {
  ToolList tools;
  Value::List functions;
  std::vector<std::pair<std::string, std::string>> others;  // place and type
  FieldNotes& notes = body.notes();
  if (const Value* list = body.find("tools")) {
    read_objects(*list, "tools", kToolsMax, notes, [&](Fields& tool) {
      if (!read_function_tool(tool, tools)) others.emplace_back(tool.path(), block_type(tool));
    });
    for (size_t i = 0; notes.ok() && i < list->as_list()->size(); ++i) {
      const Value& tool = (*list->as_list())[i];
      const Value* type = tool.find("type");
      if (type != nullptr && type->as_string() != nullptr && *type->as_string() == "function")
        functions.push_back(tool);
    }
  }
  for (const auto& [place, type] : others) {
    if (tools.size() > 0 && !type.empty()) {
      notes.ignore(place);
    } else {
      notes.refuse(place + ".type",
                   fmt::format("{}.type is {}, and only tools of type function, which the client runs, are there; "
                               "leave it out",
                               place, type.empty() ? "not there" : formats::printable(type)),
                   400, "unsupported_tool");
    }
  }
  request.strict_tools = tools.strict();
  request.tools = tools.take();
  request.parallel_calls = body.boolean("parallel_tool_calls").value_or(true);
  echo.add("tools", value_json(functions), "[]");
  read_response_choice(body, request, echo);
  echo.add("parallel_tool_calls", request.parallel_calls);
}

void read_response_reasoning(Fields& body, AnswerRequest& request, Echo& echo) {
  Json said = {{"effort", nullptr}, {"summary", nullptr}};
  const Value* value = body.find("reasoning");
  if (value != nullptr && value->as_object() == nullptr) return body.refuse_wrong("reasoning", *value, "an object");
  if (value != nullptr) {
    Fields reasoning(*value, "reasoning", body.notes());
    if (const auto word = reasoning.string("effort", kBlockWordBytesMax)) {
      const auto effort = effort_of(*word);
      if (effort == "none") {
        request.thinks = false;
      } else if (effort) {
        request.reasoning_effort = *effort;
      } else {
        const std::string place = reasoning.path_of("effort");
        body.notes().refuse(place,
                            fmt::format("{} is {}, none, minimal, low, medium, high, xhigh, max or ultra was wanted; "
                                        "correct it",
                                        place, formats::printable(*word)));
      }
      said["effort"] = *word;
    }
    reasoning.ignore_rest();  // summaries too: reasoning is given as it is
  }
  echo.add("reasoning", said);
}

void read_text_form(Fields& body, AnswerRequest& request, Echo& echo) {
  std::string type = "text";
  const Value* value = body.find("text");
  if (value != nullptr && value->as_object() == nullptr) return body.refuse_wrong("text", *value, "an object");
  if (value != nullptr) {
    Fields form(*value, "text", body.notes());
    const Value* format = form.find("format");
    if (format != nullptr && format->as_object() == nullptr) {
      form.refuse_wrong("format", *format, "an object with \"type\"");
    } else if (format != nullptr) {
      Fields fields(*format, "text.format", body.notes());
      type = required_string(fields, "type", kBlockWordBytesMax);
      if (type == "json_schema") {
        fields.string("name", kBlockWordBytesMax);
        fields.string("description", kBodyBytesMax);
        fields.boolean("strict");  // a schema is always followed
        read_schema(fields, request);
      } else if (type != "text" && type != "json_object") {
        const std::string place = fields.path_of("type");
        body.notes().refuse(place, fmt::format("{} is {}, text, json_object or json_schema was wanted; correct it",
                                               place, formats::printable(type)));
      }
      fields.ignore_rest();
    }
    form.ignore_rest();
  }
  request.is_json = type == "json_object";
  const std::string plain = json_bytes({{"format", {{"type", type}}}});
  echo.add("text", request.form ? fmt::format(R"({{"format":{}}})", value_json(*value->find("format"))) : plain, plain);
}

// What the answer is to carry besides. What is there of tools that are not is nothing.
void read_include(Fields& body, AnswerRequest& request) {
  const auto top = body.integer("top_logprobs", 0, kTopLogProbsAskedMax);
  if (top && *top > 0) request.top_logprobs = *top;
  const Value* value = body.find("include");
  if (value == nullptr) return;
  const Value::List* list = value->as_list();
  if (list == nullptr) return body.refuse_wrong("include", *value, "an array of strings");
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string* word = (*list)[i].as_string();
    if (word == nullptr) return body.refuse_wrong("include", (*list)[i], "an array of strings");
    if (*word == "reasoning.encrypted_content") {
      request.seals_reasoning = true;
    } else if (*word == "message.output_text.logprobs") {
      request.top_logprobs = top.value_or(0);
    } else {
      body.notes().ignore(fmt::format("include[{}]", i));
    }
  }
}

void read_response_sampling(Fields& body, AnswerRequest& request, Echo& echo) {
  AskedSampling& sampling = request.sampling;
  sampling.temperature = body.number("temperature", 0, 1000);
  sampling.top_p = body.number("top_p", 0, 1);
  sampling.min_p = body.number("min_p", 0, 1);
  sampling.top_k = body.integer("top_k", 0, std::numeric_limits<int32_t>::max());
  sampling.presence_penalty = body.number("presence_penalty", -100, 100);
  sampling.frequency_penalty = body.number("frequency_penalty", -100, 100);
  sampling.seed = read_seed(body);
  const auto max_tokens = body.integer("max_output_tokens", 1, kTokensOfAnswerMax);
  request.max_tokens = max_tokens.value_or(0);
  request.ignores_end = body.boolean("ignore_eos").value_or(false);
  request.cache_salt = body.string("cache_salt", kBlockWordBytesMax).value_or("");
  echo.add("max_output_tokens", max_tokens ? Json(*max_tokens) : Json(nullptr));
  echo.add("top_logprobs", request.top_logprobs.value_or(0));
}

// What would need a store, a network or another kind of answer.
void refuse_response_fields(Fields& body) {
  if (const Value* id = body.find("previous_response_id")) {
    if (id->as_string() == nullptr) return body.refuse_wrong("previous_response_id", *id, "a string");
    body.notes().refuse("previous_response_id",
                        "previous_response_id is given, and no answer is kept here; send the whole conversation in "
                        "input, its answers too",
                        400, "previous_response_not_found");
  }
  body.refuse_unsupported("conversation", "nothing is stored here: send the whole conversation in input");
  body.refuse_unsupported("prompt", "nothing is stored here: send its text in instructions or input");
  if (body.boolean("background").value_or(false)) {
    body.refuse_unsupported("background", "nothing is stored here: wait for the answer, or stream it");
  }
  const auto truncation = body.string("truncation", kBlockWordBytesMax);
  if (truncation && *truncation != "disabled") {
    body.refuse_unsupported("truncation", "a conversation is never cut here: shorten it where it is too long");
  }
  if (body.boolean("store").value_or(false)) body.ignore("store");
  if (const Value* options = body.find("stream_options")) {
    if (options->as_object() == nullptr) return body.refuse_wrong("stream_options", *options, "an object");
    Fields(*options, "stream_options", body.notes()).boolean("include_obfuscation");  // there is none
  }
  for (const char* name :
       {"client_metadata", "context_management", "max_tool_calls", "moderation", "prompt_cache_key",
        "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "service_tier", "user"}) {
    body.ignore(name);
  }
}

void echo_texts(Fields& body, Echo& echo) {
  const Value* instructions = body.find("instructions");
  echo.add("instructions", instructions ? value_json(*instructions) : "null", "null");
  const Value* metadata = body.find("metadata");
  if (metadata != nullptr && metadata->as_object() == nullptr) {
    body.refuse_wrong("metadata", *metadata, "an object of strings");
  }
  echo.add("metadata", metadata ? value_json(*metadata) : "{}", "{}");
}

}  // namespace

ReadRequest read_responses(std::string_view body) {
  return read_body(body, [](Fields& fields) -> ReadRequest {
    AnswerRequest request;
    Echo echo;
    request.is_chat = true;
    request.names = kResponsesNames;
    request.model = fields.string("model", kBlockWordBytesMax).value_or("");
    Conversation conversation;
    read_responses_conversation(fields, conversation);
    request.messages = conversation.take_messages();
    echo_texts(fields, echo);
    read_response_tools(fields, request, echo);
    read_response_reasoning(fields, request, echo);
    read_text_form(fields, request, echo);
    read_include(fields, request);
    read_response_sampling(fields, request, echo);
    request.is_streamed = fields.boolean("stream").value_or(false);
    refuse_response_fields(fields);
    request.echo = echo.take();
    return finish_request(fields, request);
  });
}

const Dialect kOpenAiResponses = {"openai.responses", "resp_",
                                  [](std::string_view body, const HttpRequest&) { return read_responses(body); },
                                  make_responses_writer, openai_error};

}  // namespace naru::server
