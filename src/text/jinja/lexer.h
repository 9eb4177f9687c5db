// Cuts a template's source into data, and the tokens inside {{ }} and {% %}. White space control happens here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace naru::text::jinja {

enum class TokenKind : uint8_t {
  kData,           // text between tags
  kVariableBegin,  // {{
  kVariableEnd,    // }}
  kBlockBegin,     // {%
  kBlockEnd,       // %}
  kName,
  kText,      // a string literal, unescaped
  kInt,       // text holds the digits, without underscores
  kDouble,    // the same
  kOperator,  // text
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int32_t line = 0;
  std::string text;
};

// The last token is kEnd.
Result<std::vector<Token>> tokenize_template(std::string_view source);

// The error of a template at a line.
Error template_error(Code code, int32_t line, std::string_view what, std::string_view next);

}  // namespace naru::text::jinja
