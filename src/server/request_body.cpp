#include "server/request_body.h"

#include <fmt/format.h>

#include <limits>

#include "formats/json_place.h"
#include "server/limits.h"

namespace naru::server {

using text::Value;

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

ReadRequest finish_request(const FieldNotes& notes, AnswerRequest& request) {
  if (!notes.ok()) return notes.refusal();
  request.ignored = notes.ignored();
  return std::move(request);
}

}  // namespace naru::server
