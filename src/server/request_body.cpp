#include "server/request_body.h"

#include <fmt/format.h>

#include <limits>

#include "formats/json_place.h"
#include "server/limits.h"

namespace naru::server {
namespace {

using text::Value;

// What llama.cpp, vLLM, SGLang, TGI and the other dialects call the forms that answers are held to. Whoever sends one
// counts on it.
constexpr std::string_view kForeignForms[] = {"grammar",         "json_schema",
                                              "guided_json",     "guided_regex",
                                              "guided_choice",   "guided_grammar",
                                              "guided_decoding", "structured_outputs",
                                              "structural_tag",  "guided_whitespace_pattern",
                                              "regex",           "ebnf",
                                              "response_format", "output_format",
                                              "format"};

// Nothing where `root` is the body's object now.
std::optional<Refusal> parse_body(std::string_view body, Value& root) {
  if (body.empty()) {
    return Refusal{400,
                   "reading the request: its body is empty, a JSON object was wanted; send one, as in docs/server.md",
                   "", "invalid_json", 0};
  }
  // As a text that somebody wrote: its errors say line and column, and to correct it.
  auto parsed = text::parse_value_at(formats::JsonPlace{}, body, "the request's body");
  if (!parsed.ok()) return Refusal{400, parsed.error().message, "", "invalid_json", 0};
  root = std::move(parsed).value();
  if (root.as_object()) return std::nullopt;
  return Refusal{400,
                 fmt::format("reading the request: its body is {}, a JSON object was wanted; send one, as in "
                             "docs/server.md",
                             shown_value(root)),
                 "", "invalid_json", 0};
}

}  // namespace

std::vector<std::string> read_stops(Fields& body, std::string_view name) {
  std::vector<std::string> stops;
  const Value* value = body.find(name);
  if (value == nullptr) return stops;
  const std::string place = body.path_of(name);
  const Value::List one = {*value};
  const Value::List& list = value->as_list() ? *value->as_list() : one;
  if (static_cast<int64_t>(list.size()) > kStopsMax) {
    body.notes().refuse(place, fmt::format("{} has {} strings, at most {} are taken", place, list.size(), kStopsMax));
    return stops;
  }
  for (const Value& each : list) {
    const std::string* text = each.as_string();
    if (text == nullptr) {
      body.refuse_wrong(name, each, "a string, or an array of strings");
      return stops;
    }
    if (text->empty() || static_cast<int64_t>(text->size()) > kStopBytesMax) {
      body.notes().refuse(place, fmt::format("{} has a string of {} bytes, one of 1 to {} was wanted", place,
                                             text->size(), kStopBytesMax));
      return stops;
    }
    stops.push_back(*text);
  }
  return stops;
}

std::optional<uint64_t> read_seed(Fields& body) {
  const auto seed = body.integer("seed", -1, std::numeric_limits<int64_t>::max());
  return seed && *seed >= 0 ? std::optional(static_cast<uint64_t>(*seed)) : std::nullopt;
}

ReadRequest read_body(std::string_view body, const std::function<ReadRequest(Fields&)>& read) {
  Value root;
  if (auto refusal = parse_body(body, root)) return *refusal;
  FieldNotes notes;
  Fields fields(root, "", notes);
  return read(fields);
}

ReadRequest finish_request(Fields& fields, AnswerRequest& request) {
  for (const std::string_view name : kForeignForms) {
    if (fields.is_known(name) || !fields.has(name)) continue;  // a dialect's own was read
    const std::string place = fields.path_of(name);
    fields.notes().refuse(place,
                          fmt::format("{} is given, and answers are not held to a form by that name here; {}", place,
                                      request.names.form_advice),
                          400, "unsupported_parameter");
  }
  fields.ignore_rest();
  if (!fields.notes().ok()) return fields.notes().refusal();
  request.ignored = fields.notes().ignored();
  return std::move(request);
}

}  // namespace naru::server
