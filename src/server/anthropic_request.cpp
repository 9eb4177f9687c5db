#include "server/anthropic_request.h"

#include <fmt/format.h>

#include <limits>
#include <memory>

#include "formats/utf8.h"
#include "server/anthropic_answer.h"
#include "server/anthropic_messages.h"
#include "server/form_fields.h"
#include "server/limits.h"
#include "server/prepare.h"
#include "server/reasoning_fields.h"
#include "server/request_body.h"
#include "server/text_blocks.h"

namespace naru::server {
namespace {

using text::Value;

// Several messages may be one here, and "system" stands before them.
constexpr FieldNames kAnthropicNames = {.has_places = false,
                                        .form = "output_config.format",
                                        .form_advice =
                                            "output_config.format takes a JSON schema, and "
                                            "structured_outputs of /v1/chat/completions a regex or choices",
                                        .effort = "output_config.effort",
                                        .reasoning = "thinking block"};

// A tool that the client runs; those that Anthropic would run, or knows the schema of, have a type with a date.
void read_anthropic_tool(Fields& tool, ToolList& tools) {
  const std::string type = block_type(tool);
  FieldNotes& notes = tool.notes();
  if (!notes.ok()) return;
  if (tool.find("type") != nullptr && type != "custom") {
    const std::string place = tool.path_of("type");
    return notes.refuse(place,
                        fmt::format("{} is {}, and only tools that the client describes and runs are there "
                                    "({{\"name\", \"description\", \"input_schema\"}}); leave it out",
                                    place, formats::printable(type)),
                        400, "unsupported_tool");
  }
  const Value* schema = tool.find("input_schema");
  const std::string place = tool.path_of("input_schema");
  if (schema == nullptr) {
    notes.refuse(place,
                 fmt::format("{} is not there, a JSON schema was wanted, as in {{\"type\": \"object\"}}", place));
  } else if (schema->as_object() == nullptr) {
    tool.refuse_wrong("input_schema", *schema, "a JSON schema, which is an object");
  }
  tools.add(tool, schema);
  ignore_cache_control(tool);
  tool.boolean("eager_input_streaming");  // input is always streamed as it is made
  tool.ignore_rest();
}

void read_anthropic_choice(const Value& value, AnswerRequest& request, Fields& body) {
  constexpr ToolChoiceWords kWords = {"any", "tool"};
  if (value.as_object() == nullptr) return body.refuse_wrong("tool_choice", value, "an object with \"type\"");
  Fields choice(value, "tool_choice", body.notes());
  request.parallel_calls = !choice.boolean("disable_parallel_tool_use").value_or(false);
  const std::string type = read_tool_choice_object(choice, kWords, request);
  if (!body.notes().ok()) return;
  const std::string place = choice.path_of("type");
  if (!take_tool_choice(type, kWords, request)) {
    body.notes().refuse(place, fmt::format("{} is {}, auto, none, any or tool was wanted; correct it", place,
                                           formats::printable(type)));
  }
  choice.ignore_rest();
}

void read_anthropic_tools(Fields& body, AnswerRequest& request) {
  ToolList tools;
  if (const Value* list = body.find("tools")) {
    read_objects(*list, "tools", kToolsMax, body.notes(), [&](Fields& tool) { read_anthropic_tool(tool, tools); });
  }
  request.strict_tools = tools.strict();
  request.tools = tools.take();
  if (const Value* choice = body.find("tool_choice")) read_anthropic_choice(*choice, request, body);
  const Value* servers = body.find("mcp_servers");
  if (servers != nullptr && (servers->as_list() == nullptr || !servers->as_list()->empty())) {
    body.refuse_unsupported("mcp_servers", "nothing here goes to the network; the client can call them");
  }
}

// How much thinking is given out is not chosen here, and said.
void read_anthropic_thinking(Fields& body, AnswerRequest& request) {
  const Value* value = body.find("thinking");
  if (value == nullptr) return;
  if (value->as_object() == nullptr) return body.refuse_wrong("thinking", *value, "an object with \"type\"");
  Fields thinking(*value, "thinking", body.notes());
  const std::string type = required_string(thinking, "type", kBlockWordBytesMax);
  if (!body.notes().ok()) return;
  if (type != "enabled" && type != "adaptive" && type != "disabled") {
    const std::string place = thinking.path_of("type");
    return body.notes().refuse(place, fmt::format("{} is {}, enabled, adaptive or disabled was wanted; correct it",
                                                  place, formats::printable(type)));
  }
  request.thinks = type != "disabled";
  read_budget(thinking, "budget_tokens", request);
  if (thinking.string("display", kBlockWordBytesMax)) thinking.ignore("display");
  thinking.ignore_rest();
}

// {"type": "json_schema", "schema"}
void read_anthropic_format(Fields& outer, std::string_view name, AnswerRequest& request) {
  const Value* value = outer.find(name);
  if (value == nullptr) return;
  if (value->as_object() == nullptr) return outer.refuse_wrong(name, *value, "an object with \"type\" and \"schema\"");
  Fields format(*value, outer.path_of(name), outer.notes());
  const std::string type = required_string(format, "type", kBlockWordBytesMax);
  const std::string place = format.path_of("type");
  if (outer.notes().ok() && type != "json_schema") {
    return outer.notes().refuse(
        place, fmt::format("{} is {}, json_schema was wanted; correct it", place, formats::printable(type)));
  }
  read_schema(format, request);
  format.ignore_rest();
}

void read_output_config(Fields& body, AnswerRequest& request) {
  read_anthropic_format(body, "output_format", request);  // as it was called before
  const Value* value = body.find("output_config");
  if (value == nullptr) return;
  if (value->as_object() == nullptr) return body.refuse_wrong("output_config", *value, "an object");
  Fields config(*value, "output_config", body.notes());
  read_anthropic_format(config, "format", request);
  if (const auto word = config.string("effort", kBlockWordBytesMax)) {
    const auto effort = effort_of(*word);
    const std::string place = config.path_of("effort");
    if (!effort || effort == "none") {
      return body.notes().refuse(
          place, fmt::format("{} is {}, low, medium, high, xhigh, max or ultra was wanted; correct it", place,
                             formats::printable(*word)));
    }
    request.reasoning_effort = *effort;
  }
  config.ignore_rest();
}

// What decides the prompt: all that counting needs.
void read_prompt_fields(Fields& body, AnswerRequest& request) {
  request.is_chat = true;
  request.names = kAnthropicNames;
  request.model = body.string("model", kBlockWordBytesMax).value_or("");
  Conversation conversation;
  read_anthropic_conversation(body, conversation);
  request.continues_last = conversation.ends_with_assistant();
  request.messages = conversation.take_messages();
  read_anthropic_tools(body, request);
  read_anthropic_thinking(body, request);
  read_output_config(body, request);
  ignore_cache_control(body);
  for (const char* name : {"betas", "context_management", "diagnostics", "inference_geo", "metadata", "service_tier",
                           "speed", "user_profile_id", "workspace_id"}) {
    body.ignore(name);
  }
  body.refuse_unsupported("container", "no code is run here; leave it out");
}

void read_answer_fields(Fields& body, AnswerRequest& request) {
  const auto max_tokens = body.integer("max_tokens", 1, kTokensOfAnswerMax);
  if (!max_tokens) {
    body.notes().refuse("max_tokens",
                        "max_tokens is not there, the most tokens that the answer may have were wanted; give a number");
  }
  request.max_tokens = max_tokens.value_or(0);
  request.stop = read_stops(body, "stop_sequences");
  request.is_streamed = body.boolean("stream").value_or(false);
  AskedSampling& sampling = request.sampling;
  sampling.temperature = body.number("temperature", 0, 1000);
  sampling.top_p = body.number("top_p", 0, 1);
  sampling.top_k = body.integer("top_k", 0, std::numeric_limits<int32_t>::max());
  sampling.min_p = body.number("min_p", 0, 1);
  sampling.seed = read_seed(body);
  request.ignores_end = body.boolean("ignore_eos").value_or(false);
  request.cache_salt = body.string("cache_salt", kBlockWordBytesMax).value_or("");
}

}  // namespace

ReadRequest read_anthropic_messages(std::string_view body) {
  return read_body(body, [](Fields& fields) -> ReadRequest {
    AnswerRequest request;
    read_prompt_fields(fields, request);
    read_answer_fields(fields, request);
    return finish_request(fields, request);
  });
}

ReadRequest read_anthropic_count(std::string_view body) {
  return read_body(body, [](Fields& fields) -> ReadRequest {
    auto request = std::make_shared<AnswerRequest>();
    read_prompt_fields(fields, *request);
    fields.ignore_rest();
    if (!fields.notes().ok()) return fields.notes().refusal();
    PageRequest page;
    page.model = request->model;
    page.ignored = fields.notes().ignored();
    page.make = [request](const ModelFacts& model) -> std::variant<std::string, Refusal> {
      auto tokens = prompt_tokens(*request, model);
      if (auto* refusal = std::get_if<Refusal>(&tokens)) return std::move(*refusal);
      return fmt::format(R"({{"input_tokens":{}}})", std::get<std::vector<int32_t>>(tokens).size());
    };
    return page;
  });
}

const Dialect kAnthropicMessages = {
    "anthropic.messages", "msg_",
    [](std::string_view body, const HttpRequest&) { return read_anthropic_messages(body); }, make_anthropic_writer,
    anthropic_error};
const Dialect kAnthropicCount = {"anthropic.count_tokens", "msg_",
                                 [](std::string_view body, const HttpRequest&) { return read_anthropic_count(body); },
                                 make_anthropic_writer, anthropic_error};

}  // namespace naru::server
