#include "server/json_bytes.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "text/utf8.h"

namespace naru::server {

std::string json_bytes(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string json_with(const Json& object, std::string_view name, std::string_view value) {
  std::string text = json_bytes(object);
  text.pop_back();
  return fmt::format(R"({}{}"{}":{}}})", text, object.empty() ? "" : ",", name, value);
}

Json token_json(const std::string& bytes, float logprob) {
  Json numbers = Json::array();
  for (const char c : bytes) numbers.push_back(static_cast<unsigned char>(c));
  return {{"token", text::repair_utf8(bytes)}, {"logprob", json_number(logprob)}, {"bytes", std::move(numbers)}};
}

double json_number(float value) {
  const std::string digits = fmt::format("{}", value);
  double result = value;
  std::from_chars(digits.data(), digits.data() + digits.size(), result);
  return result;
}

}  // namespace naru::server
