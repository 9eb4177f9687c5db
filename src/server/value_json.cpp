#include "server/value_json.h"

#include "server/limits.h"

namespace naru::server {

std::string value_json(const text::Value& value) {
  // A byte of a body becomes a few at the most: blanks behind commas, digits of numbers.
  auto text = text::json_text(value, static_cast<size_t>(8 * kBodyBytesMax));
  NARU_CHECK(text.ok(), text.error().message);
  return std::move(text).value();
}

}  // namespace naru::server
