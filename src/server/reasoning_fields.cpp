#include "server/reasoning_fields.h"

#include <fmt/format.h>

#include "formats/utf8.h"
#include "server/request_body.h"

namespace naru::server {
namespace {

constexpr size_t kWordBytesMax = 64;
constexpr std::string_view kEfforts[][2] = {{"none", "none"}, {"minimal", "low"}, {"low", "low"}, {"medium", "high"},
                                            {"high", "high"}, {"xhigh", "high"},  {"max", "max"}, {"ultra", "max"}};

void read_thinking_switch(Fields& body, AnswerRequest& request) {
  const text::Value* value = body.find("thinking");
  if (value == nullptr) return;
  if (value->as_object() == nullptr) {
    return body.refuse_wrong("thinking", *value, "an object as {\"type\": \"enabled\"}");
  }
  Fields thinking(*value, "thinking", body.notes());
  const auto type = thinking.string("type", kWordBytesMax);
  if (type == "enabled" || type == "disabled") {
    request.thinks = type == "enabled";
  } else {
    body.notes().refuse("thinking.type", fmt::format("thinking.type is {}, enabled or disabled was wanted; correct it",
                                                     type ? formats::printable(*type) : "not there"));
  }
  read_budget(thinking, "budget_tokens", request);
  thinking.ignore_rest();
}

}  // namespace

std::optional<std::string> effort_of(std::string_view word) {
  for (const auto& [theirs, ours] : kEfforts) {
    if (theirs == word) return std::string(ours);
  }
  return std::nullopt;
}

void read_budget(Fields& fields, std::string_view name, AnswerRequest& request) {
  const auto budget = fields.integer(name, 1, kTokensOfAnswerMax);
  if (!budget) return;
  const std::string place = fields.path_of(name);
  if (request.reasoning_tokens_max != 0 && request.reasoning_tokens_max != *budget) {
    return fields.notes().refuse(place, fmt::format("{} is {}, and another field gives reasoning {} tokens; leave one "
                                                    "out",
                                                    place, *budget, request.reasoning_tokens_max));
  }
  if (request.thinks == false) {
    fields.ignore(name);
  } else {
    request.reasoning_tokens_max = *budget;
    if (fields.path().empty()) request.names.budget = name;
  }
}

void read_reasoning(Fields& body, AnswerRequest& request) {
  read_thinking_switch(body, request);
  read_budget(body, "thinking_token_budget", request);
  const auto word = body.string("reasoning_effort", kWordBytesMax);
  if (!word) return;
  const auto effort = effort_of(*word);
  if (!effort) {
    return body.notes().refuse("reasoning_effort",
                               fmt::format("reasoning_effort is {}, one of none, minimal, low, medium, high, xhigh and "
                                           "max was wanted; correct it",
                                           formats::printable(*word)));
  }
  if (request.thinks && *request.thinks != (effort != "none")) {
    return body.notes().refuse("reasoning_effort", fmt::format("reasoning_effort is {} and thinking {}; leave one out",
                                                               *word, *request.thinks ? "enabled" : "disabled"));
  }
  request.reasoning_effort = *effort;
}

void read_prefix(Fields& body, AnswerRequest& request) {
  const text::Value* value = body.find("messages");
  const text::Value::List* list = value ? value->as_list() : nullptr;
  for (size_t i = 0; list && i < list->size(); ++i) {
    const text::Value* prefix = (*list)[i].find("prefix");
    const text::Value* role = (*list)[i].find("role");
    if (!prefix || !prefix->as_bool() || !*prefix->as_bool()) continue;  // another type is refused with the message
    const bool is_assistant = role && role->as_string() && *role->as_string() == "assistant";
    if (i + 1 < list->size() || !is_assistant) {
      const std::string place = fmt::format("messages[{}].prefix", i);
      return body.notes().refuse(place, fmt::format("{} is true, and only the last message can be one to go on from, "
                                                    "where its role is assistant; leave it out",
                                                    place));
    }
    request.continues_last = true;
  }
}

}  // namespace naru::server
