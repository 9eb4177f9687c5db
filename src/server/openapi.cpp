#include "server/openapi.h"

#include <fmt/format.h>

#include <algorithm>

#include "server/json_bytes.h"

namespace naru::server {
namespace {

constexpr std::string_view kAbout =
    "A model behind HTTP. Every path is there with and without /v1 before it, and HEAD goes wherever GET does. An "
    "answer "
    "depends on its request and the model alone, never on who else is served. Fields that nobody knows are named in "
    "the "
    "header x-naru-ignored; a field that is null counts as absent.";

Json schema_ref(std::string_view name) {
  return {{"$ref", fmt::format("#/components/schemas/{}", name)}};
}

Json json_content(std::string_view component) {
  return {{"application/json", {{"schema", schema_ref(component)}}}};
}

// Of a field that may be left out: null too.
Json or_null(Json schema) {
  const auto type = schema.find("type");
  if (type != schema.end() && type->is_string() && !schema.contains("enum")) {
    *type = Json::array({*type, "null"});
    return schema;
  }
  if (const auto any = schema.find("anyOf"); any != schema.end()) {
    any->push_back({{"type", "null"}});
    return schema;
  }
  return {{"anyOf", Json::array({std::move(schema), {{"type", "null"}}})}};
}

Json body_schema(const BodyTable& table) {
  Json properties = Json::object(), required = Json::array();
  for (const FieldRow& row : table.fields()) {
    Json schema = Json::parse(row.schema);
    if (row.is_required) {
      required.push_back(row.name);
    } else if (!row.is_one_of) {
      schema = or_null(std::move(schema));
    }
    schema["description"] = row.help;
    schema["examples"] = Json::array({Json::parse(row.example)});
    properties[std::string(row.name)] = std::move(schema);
  }
  Json schema = {{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) schema["required"] = std::move(required);
  if (!table.rules.empty()) schema["allOf"] = Json::parse(table.rules);
  return schema;
}

// Of one piece: a line, or an event, whose data is the piece as text.
Json stream_schema(const BodyTable& table) {
  if (table.piece_type != "text/event-stream") return schema_ref(table.piece);
  Json data = {
      {"type", "string"}, {"contentMediaType", "application/json"}, {"contentSchema", schema_ref(table.piece)}};
  if (table.ends_with_done) data = {{"anyOf", Json::array({{{"const", "[DONE]"}}, std::move(data)})}};
  return {{"type", "object"}, {"required", Json::array({"data"})}, {"properties", {{"data", std::move(data)}}}};
}

const BodyTable* find_table(std::string_view dialect) {
  for (const BodyTable* table : described_bodies()) {
    if (table->dialect == dialect) return table;
  }
  return nullptr;
}

// Of every operation; which status means what is the same for all (docs/server.md).
Json error_responses(std::string_view error, bool has_body, bool is_public) {
  struct Row {
    std::string_view status, what;
    bool of_bodies, of_keys;
  };
  constexpr Row kRows[] = {{"400", "the request is wrong, in the field that is named", true, false},
                           {"401", "its key is missing or not known", false, true},
                           {"404", "there is no such path or model", false, false},
                           {"405", "the path has other methods", false, false},
                           {"408", "it came too slowly", false, false},
                           {"413", "its body is too long", true, false},
                           {"415", "its body is no JSON", true, false},
                           {"421", "its Host is no name of this machine", false, false},
                           {"429", "the queue is full", true, false},
                           {"500", "a mistake of the server's", false, false},
                           {"503", "the model is being loaded, or the server ends", false, false},
                           {"504", "the answer took too long", true, false}};
  Json responses = Json::object();
  for (const Row& row : kRows) {
    if ((row.of_bodies && !has_body) || (row.of_keys && is_public)) continue;
    responses[std::string(row.status)] = {{"description", row.what}, {"content", json_content(error)}};
  }
  return responses;
}

struct PageRow {
  Page page;
  std::string_view id, summary, component;
};
constexpr PageRow kPages[] = {
    {Page::kHealth, "health", "Whether it answers; 503 while the model is loaded and while it ends", "Health"},
    {Page::kModels, "models", "The models that are served", "ModelList"},
    {Page::kModel, "model", "One of them", "Model"},
    {Page::kServer, "server", "What answers: version, model, numerics, chip, limits", "ServerFacts"},
    {Page::kOpenApi, "openapi", "This document", "Document"},
    {Page::kRuns, "runs", "The training runs of the folder that --runs names", "Object"},
    {Page::kRun, "run", "One of them: its curves and figures", "Object"},
    {Page::kOllamaTags, "ollama.tags", "The models that are served, as Ollama lists them", "Object"},
    {Page::kOllamaPs, "ollama.ps", "Those that are loaded", "Object"},
    {Page::kOllamaVersion, "ollama.version", "The version of Ollama whose forms these are", "Object"},
};

void describe_page(const Route& route, Json& operation) {
  const auto* const row =
      std::find_if(std::begin(kPages), std::end(kPages), [&](const PageRow& each) { return each.page == route.page; });
  const bool is_known = row != std::end(kPages);
  operation["operationId"] = is_known ? fmt::format("{} {}", row->id, route.method) : described_path(route);
  if (is_known) operation["summary"] = row->summary;
  if (described_path(route).ends_with('}')) {
    operation["parameters"] =
        Json::array({{{"name", "name"}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}}});
  }
  operation["responses"]["200"] = {{"description", "what was asked for"}};
  if (is_known) operation["responses"]["200"]["content"] = json_content(row->component);
}

void describe_dialect(const Route& route, Json& operation) {
  const std::string name(route.dialect->name);
  operation["operationId"] = name + std::string(route.path);  // a dialect may have two paths
  const BodyTable* table = find_table(name);
  Json body = {{"type", "object"}};
  if (table != nullptr) {
    operation["summary"] = table->summary;
    body = schema_ref(name);
  }
  operation["requestBody"] = {{"required", true}, {"content", {{"application/json", {{"schema", std::move(body)}}}}}};
  Json& answer = operation["responses"]["200"];
  answer = {{"description", "the answer"}};
  if (table == nullptr) return;
  answer["content"] = json_content(table->answer);
  if (!table->piece.empty()) {
    answer["content"][std::string(table->piece_type)] = {{"schema", stream_schema(*table)}};
  }
  answer["headers"] = {{"x-naru-seed", {{"schema", {{"type", "string"}}}}},
                       {"x-naru-ignored", {{"schema", {{"type", "string"}}}}},
                       {"x-naru-warning", {{"schema", {{"type", "string"}}}}},
                       {"x-naru-replayed", {{"schema", {{"type", "string"}}}}}};
}

Json operation_of(const Route& route) {
  Json operation = Json::object();
  operation["responses"] = Json::object();
  const bool has_body = route.dialect != nullptr;
  if (has_body) {
    describe_dialect(route, operation);
  } else {
    describe_page(route, operation);
  }
  const BodyTable* table = has_body ? find_table(route.dialect->name) : nullptr;
  operation["responses"].update(error_responses(table ? table->error : "Error", has_body, route.is_public));
  if (route.page == Page::kHealth) operation["responses"]["503"]["content"] = json_content("Health");
  if (route.is_public) operation["security"] = Json::array();
  return operation;
}

Json all_components() {
  Json schemas = Json::object();
  for (const auto& rows :
       {page_components(), openai_components(), responses_components(), anthropic_components(), ollama_components()}) {
    for (const ComponentRow& row : rows) schemas[std::string(row.name)] = Json::parse(row.schema);
  }
  for (const BodyTable* table : described_bodies()) schemas[std::string(table->dialect)] = body_schema(*table);
  return schemas;
}

}  // namespace

const std::vector<const BodyTable*>& described_bodies() {
  static const std::vector<const BodyTable*> tables = {
      &kOpenAiChatBody, &kOpenAiCompletionBody, &kApplyTemplateBody, &kTokenizeBody,
      &kDetokenizeBody, &kResponsesBody,        &kAnthropicBody,     &kAnthropicCountBody,
      &kOllamaChatBody, &kOllamaGenerateBody,   &kOllamaShowBody};
  return tables;
}

std::string described_path(const Route& route) {
  std::string path(route.path);
  // Where clients look for them; all others are OpenAI's, or of its kind.
  for (const char* other : {"/api/", "/anthropic/", "/health", "/metrics"}) {
    if (path.starts_with(other)) return path;
  }
  if (path == "/") return path;
  return "/v1" + path + (path.ends_with('/') ? "{name}" : "");
}

std::string described_method(const Route& route) {
  return lower_case(route.method);
}

std::string integer_schema(int64_t low, int64_t high) {
  return fmt::format(R"({{"type":"integer","minimum":{},"maximum":{}}})", low, high);
}
std::string number_schema(double low, double high) {
  return fmt::format(R"({{"type":"number","minimum":{},"maximum":{}}})", low, high);
}
std::string string_schema(int64_t bytes_max) {
  return fmt::format(R"({{"type":"string","maxLength":{}}})", bytes_max);
}
std::string boolean_schema() {
  return R"({"type":"boolean"})";
}
std::string words_schema(std::initializer_list<std::string_view> words) {
  std::string list;
  for (const std::string_view word : words) list += fmt::format("{}\"{}\"", list.empty() ? "" : ",", word);
  return fmt::format(R"({{"type":"string","enum":[{}]}})", list);
}
std::string array_schema(const std::string& items, int64_t n_max, int64_t n_min) {
  return fmt::format(R"({{"type":"array","items":{},"minItems":{},"maxItems":{}}})", items, n_min, n_max);
}
std::string any_schema(std::initializer_list<std::string> schemas) {
  std::string list;
  for (const std::string& schema : schemas) list += (list.empty() ? "" : ",") + schema;
  return fmt::format(R"({{"anyOf":[{}]}})", list);
}

std::string openapi_document(std::string_view version) {
  Json paths = Json::object();
  for (const Route& route : all_routes()) {
    if (route.is_of_page()) continue;
    paths[described_path(route)][described_method(route)] = operation_of(route);
  }
  const Json document = {
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "naru"}, {"version", version}, {"description", kAbout}, {"license", {{"name", "see LICENSE"}}}}},
      {"servers", Json::array({{{"url", "/"}}})},
      {"security", Json::array({Json::object(), {{"bearer", Json::array()}}, {{"key", Json::array()}}})},
      {"paths", std::move(paths)},
      {"components",
       {{"securitySchemes",
         {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}},
          {"key", {{"type", "apiKey"}, {"in", "header"}, {"name", "x-api-key"}}}}},
        {"schemas", all_components()}}}};
  return json_bytes(document);
}

}  // namespace naru::server
