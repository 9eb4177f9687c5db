// Writes values of schemas, and tries texts on them, for tools/check_forms.py, which asks another reader of schemas.
//
// One JSON object a line on stdin: {"schema": SCHEMA, "texts": ["...", ...], "n": 4, "seed": 1}. One a line on stdout:
// {"made": ["...", ...], "taken": [true, ...]} or {"error": "..."}. What is made is a random walk through the form,
// byte by byte, that ends where it may with a chance that grows.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/philox.h"
#include "text/forms/form.h"
#include "text/forms/matcher.h"
#include "text/value.h"

namespace naru {
namespace {

using text::FormMatcher;

constexpr size_t kMadeBytesMax = 4000;

// Of the bytes that may come one, those that lead to an end sooner where the text is long already.
std::string make_text(FormMatcher& matcher, text::RuleId root, uint64_t seed) {
  std::string made;
  FormMatcher::State state = matcher.begin(root);
  for (uint32_t i = 0; made.size() < kMadeBytesMax; ++i) {
    const PhiloxBlock random = draw(seed, DrawPurpose::kTest, 0, i);
    std::string likely, all;
    for (int byte = 0; byte < 256; ++byte) {
      if (matcher.step(state, static_cast<text::FormSymbol>(byte)) == FormMatcher::kDead) continue;
      all += static_cast<char>(byte);
      const bool closes = byte == '"' || byte == '}' || byte == ']' || byte == ',' || byte == ':';
      if (closes || (byte >= 'a' && byte <= 'f') || (byte >= '0' && byte <= '9')) likely += static_cast<char>(byte);
    }
    if (matcher.may_end(state) && (all.empty() || random[0] % 3 == 0)) return made;
    if (all.empty()) return "";  // nothing goes on from here, and it may not end: seen by who counts what is made
    std::string closing;
    for (const char c : likely) {
      if (c == '"' || c == '}' || c == ']') closing += c;
    }
    const std::string& from = made.size() > 200 && !closing.empty() && random[1] % 4 != 0 ? closing
                              : !likely.empty() && random[1] % 8 != 0                     ? likely
                                                                                          : all;
    made += from[random[2] % from.size()];
    state = matcher.step(state, static_cast<text::FormSymbol>(static_cast<unsigned char>(made.back())));
    if (matcher.is_full()) {
      FormMatcher::Saved saved;
      matcher.save(state, saved);
      matcher.forget();
      state = matcher.restore(saved);
    }
  }
  return "";  // too long to be looked at
}

std::string answer(const std::string& line) {
  nlohmann::json out;
  const auto asked = text::parse_value(line, "line");
  if (!asked.ok()) return nlohmann::json{{"error", asked.error().message}}.dump();
  const auto form = text::compile(text::SchemaForm{*asked->find("schema")}, {});
  if (!form.ok()) return nlohmann::json{{"error", form.error().message}}.dump();
  FormMatcher matcher(form->grammar);
  out["made"] = nlohmann::json::array();
  out["taken"] = nlohmann::json::array();
  for (int64_t i = 0; i < *asked->find("n")->as_int(); ++i) {
    const std::string made =
        make_text(matcher, form->content, static_cast<uint64_t>(*asked->find("seed")->as_int() + i));
    if (!made.empty()) out["made"].push_back(made);
  }
  for (const text::Value& value : *asked->find("texts")->as_list()) {
    const FormMatcher::State state = matcher.step(matcher.begin(form->content), *value.as_string());
    out["taken"].push_back(state != FormMatcher::kDead && matcher.may_end(state));
  }
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace
}  // namespace naru

int main() {
  for (std::string line; std::getline(std::cin, line);) std::cout << naru::answer(line) << std::endl;
}
