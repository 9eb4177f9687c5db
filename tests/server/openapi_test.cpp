// The OpenAPI document against the program: its tables of fields say what the readers do, and it names every route.
#include "server/openapi.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "server/routes.h"

namespace naru::server {
namespace {

using AnyJson = nlohmann::json;

// A field and its table, and how a body with some value of it is read.
class DescribedField {
 public:
  DescribedField(const Dialect& dialect, const std::vector<FieldRow>& rows, const FieldRow& row)
      : dialect_(dialect), row_(row) {
    for (const FieldRow& each : rows) {
      if (each.is_required && each.name != row.name) base_ += fmt::format("\"{}\":{},", each.name, each.example);
    }
    if (!row.needs.empty()) base_ += fmt::format("{},", row.needs);
  }
  std::string body(std::string_view value) const { return fmt::format("{{{}\"{}\":{}}}", base_, row_.name, value); }
  // Nothing where it is taken.
  std::optional<Refusal> refusal(std::string_view value) const {
    ReadRequest read = dialect_.read(body(value), HttpRequest());
    if (auto* refused = std::get_if<Refusal>(&read)) return *refused;
    return std::nullopt;
  }
  void expect_taken(std::string_view value) const {
    const auto refused = refusal(value);
    EXPECT_FALSE(refused) << dialect_.name << ": " << body(value) << ": " << refused->message;
  }
  void expect_refused(std::string_view value) const {
    const auto refused = refusal(value);
    ASSERT_TRUE(refused) << dialect_.name << ": " << body(value) << " was taken";
    EXPECT_TRUE(refused->status >= 400 && refused->status < 500) << refused->status;
    EXPECT_TRUE(refused->param.starts_with(row_.name)) << body(value) << ": " << refused->param;
    EXPECT_NE(refused->message.find(row_.name), std::string::npos) << refused->message;
  }

 private:
  const Dialect& dialect_;
  const FieldRow& row_;
  std::string base_;
};

// The types of JSON that a schema takes; empty: all.
std::set<std::string> types_of(const AnyJson& schema) {
  std::set<std::string> types;
  if (schema.contains("type")) {
    for (const AnyJson& type : schema["type"].is_array() ? schema["type"] : AnyJson::array({schema["type"]})) {
      types.insert(type.get<std::string>());
    }
  }
  for (const AnyJson& each : schema.value("anyOf", AnyJson::array())) types.merge(types_of(each));
  return types;
}

void expect_bounds(const DescribedField& field, const AnyJson& schema) {
  const bool is_integer = schema.value("type", "") == "integer";
  for (const auto& [key, step] : {std::pair{"minimum", -1}, std::pair{"maximum", 1}}) {
    if (!schema.contains(key)) continue;
    const AnyJson& bound = schema[key];
    field.expect_taken(bound.dump());
    if (!is_integer) {
      field.expect_refused(fmt::format("{}", bound.get<double>() + 1e-6 * step));
    } else if (bound != std::numeric_limits<int64_t>::min() && bound != std::numeric_limits<int64_t>::max()) {
      field.expect_refused(fmt::format("{}", bound.get<int64_t>() + step));
    }
  }
  if (schema.contains("maxLength") && schema["maxLength"] < 100000) {
    const auto n = schema["maxLength"].get<size_t>();
    field.expect_taken('"' + std::string(n, 'a') + '"');
    field.expect_refused('"' + std::string(n + 1, 'a') + '"');
  }
  if (schema.contains("maxItems") && schema["maxItems"] < 100000) {
    const auto n = schema["maxItems"].get<size_t>() + 1;
    std::string list;
    for (size_t i = 0; i < n; ++i) list += i == 0 ? "\"a\"" : ",\"a\"";
    field.expect_refused('[' + list + ']');
  }
  if (schema.value("minItems", 0) > 0) field.expect_refused("[]");
  for (const AnyJson& each : schema.value("anyOf", AnyJson::array())) {
    if (each.contains("maxLength") || each.contains("maxItems")) expect_bounds(field, each);
  }
}

TEST(OpenApi, FieldsAreTakenAndRefusedAsTheTablesSay) {
  const std::vector<std::pair<std::string, std::string>> values = {
      {"boolean", "true"},    {"integer", "1"},    {"number", "1.5"},          {"number", "1e400"},
      {"string", "\"word\""}, {"array", "[true]"}, {"object", R"({"a":[1]})"},
  };
  int n_fields = 0;
  for (const Route& route : all_routes()) {
    for (const BodyTable* table : described_bodies()) {
      if (route.dialect == nullptr || table->dialect != route.dialect->name) continue;
      const std::vector<FieldRow> rows = table->fields();
      for (const FieldRow& row : rows) {
        const DescribedField field(*route.dialect, rows, row);
        const AnyJson schema = AnyJson::parse(row.schema);
        ++n_fields;
        field.expect_taken(row.example);
        if (row.is_required) {
          field.expect_refused("null");
        } else if (!row.is_one_of) {
          field.expect_taken("null");
        }
        const std::set<std::string> types = types_of(schema);
        for (const auto& [type, value] : values) {
          const bool is_taken =
              types.empty() || types.contains(type) || (type == "integer" && types.contains("number"));
          if (!is_taken || value == "1e400") {
            if (!types.empty()) field.expect_refused(value);
          }
        }
        expect_bounds(field, schema);
        if (schema.contains("enum")) field.expect_refused("\"no such word\"");
      }
    }
  }
  EXPECT_GT(n_fields, 200);  // of all dialects
}

TEST(OpenApi, UnknownFieldsAreIgnoredAndSaid) {
  for (const BodyTable* table : described_bodies()) {
    for (const Route& route : all_routes()) {
      if (route.dialect == nullptr || table->dialect != route.dialect->name) continue;
      std::string body = "{\"no_such_field\":1";
      bool has_one = false;
      for (const FieldRow& row : table->fields()) {
        if (row.is_required || (row.is_one_of && !std::exchange(has_one, true)))
          body += fmt::format(",\"{}\":{}", row.name, row.example);
      }
      const ReadRequest read = route.dialect->read(body + "}", HttpRequest());
      const auto* request = std::get_if<AnswerRequest>(&read);
      const auto* page = std::get_if<PageRequest>(&read);
      ASSERT_TRUE(request != nullptr || page != nullptr) << std::get<Refusal>(read).message;
      const std::vector<std::string> ignored = request ? request->ignored : page->ignored;
      EXPECT_EQ(ignored, std::vector<std::string>{"no_such_field"}) << table->dialect;
    }
  }
}

// Every {"$ref": ...} leads somewhere.
void expect_refs(const AnyJson& value, const AnyJson& document) {
  if (value.is_object() && value.contains("$ref")) {
    const std::string ref = value["$ref"].get<std::string>();
    ASSERT_TRUE(ref.starts_with("#/"));
    EXPECT_TRUE(document.contains(AnyJson::json_pointer(ref.substr(1)))) << ref;
  }
  if (!value.is_structured()) return;
  for (const AnyJson& each : value) expect_refs(each, document);
}

TEST(OpenApi, TheDocumentHasEveryRoute) {
  const AnyJson document = AnyJson::parse(openapi_document("naru 1"));
  EXPECT_EQ(document["openapi"], "3.1.0");
  EXPECT_EQ(document["info"]["version"], "naru 1");
  std::set<std::string> ids;
  size_t n_operations = 0;
  for (const Route& route : all_routes()) {
    if (route.is_of_page()) continue;
    const std::string path = described_path(route), method = described_method(route);
    ASSERT_TRUE(document["paths"].contains(path) && document["paths"][path].contains(method)) << path;
    const AnyJson& operation = document["paths"][path][method];
    EXPECT_TRUE(operation["responses"].contains("200"));
    EXPECT_EQ(operation.contains("requestBody"), route.dialect != nullptr);
    ids.insert(operation["operationId"].get<std::string>());
    ++n_operations;
  }
  EXPECT_EQ(ids.size(), n_operations);  // no id twice
  expect_refs(document, document);
  // Its bounds are those of limits.h.
  const AnyJson& fields = document["components"]["schemas"]["openai.chat"]["properties"];
  EXPECT_EQ(fields["n"]["maximum"], 8);
  EXPECT_EQ(fields["temperature"]["type"], AnyJson::array({"number", "null"}));
}

}  // namespace
}  // namespace naru::server
