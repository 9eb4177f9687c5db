// The fields of a dialect's bodies as tables, of which the OpenAPI document is made (openapi.h). The readers are code;
// a test asks each of them about every row: its example is taken, its bounds are those of the reader, every value of
// another type is refused by the field's name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace naru::server {

// A field of a request's body.
struct FieldRow {
  std::string_view name;
  std::string schema;  // JSON Schema (2020-12) as text; that null counts as absent is added where it is not required
  std::string_view help;
  std::string_view example;     // a value that is taken, as JSON
  std::string_view needs = {};  // other fields without which it is refused: "\"stream\":true"
  bool is_required = false;
  bool is_one_of = false;  // of several of which one must be there, and one alone: the table's rules say it
};

// The bodies of one dialect, and what it answers: names of openapi_components().
struct BodyTable {
  std::string_view dialect;  // Dialect::name
  std::string_view summary;
  std::vector<FieldRow> (*fields)() = nullptr;
  std::string_view answer;           // of status 200
  std::string_view piece = {};       // of a stream; empty: nothing is streamed
  std::string_view piece_type = {};  // its content type: text/event-stream, or another of one piece a line
  std::string_view error = "Error";
  std::string_view rules = {};  // schemas that hold besides, of fields together: a JSON array as text
  bool ends_with_done = false;  // a stream, with an event whose data is [DONE]
};

// A schema that answers and errors are described by; others are named in it as {"$ref": "#/components/schemas/NAME"}.
struct ComponentRow {
  std::string_view name;
  std::string_view schema;  // as text
};

// Schemas of values.
std::string integer_schema(int64_t low, int64_t high);
std::string number_schema(double low, double high);
std::string string_schema(int64_t bytes_max);
std::string boolean_schema();
std::string words_schema(std::initializer_list<std::string_view> words);
std::string array_schema(const std::string& items, int64_t n_max, int64_t n_min = 0);
std::string any_schema(std::initializer_list<std::string> schemas);

// What is there, a file a dialect: openapi_NAME.cpp. A new one stands in openapi.cpp's lists too.
extern const BodyTable kOpenAiChatBody, kOpenAiCompletionBody, kApplyTemplateBody, kTokenizeBody, kDetokenizeBody;
extern const BodyTable kResponsesBody;
extern const BodyTable kAnthropicBody, kAnthropicCountBody;
extern const BodyTable kOllamaChatBody, kOllamaGenerateBody, kOllamaShowBody;
std::vector<ComponentRow> openai_components();
std::vector<ComponentRow> responses_components();
std::vector<ComponentRow> anthropic_components();
std::vector<ComponentRow> ollama_components();
std::vector<ComponentRow> page_components();

}  // namespace naru::server
