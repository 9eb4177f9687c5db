#include "server/routes.h"

#include <fmt/format.h>

#include "formats/utf8.h"
#include "server/anthropic_request.h"
#include "server/ollama_answer.h"
#include "server/ollama_pages.h"
#include "server/ollama_request.h"
#include "server/openai_answer.h"
#include "server/openai_request.h"
#include "server/responses_request.h"
#include "server/token_pages.h"

namespace naru::server {
namespace {

// Paths of other servers, and what to do here in their place.
struct Elsewhere {
  std::string_view path;
  std::string_view advice;
};
constexpr Elsewhere kElsewhere[] = {
    {"/api/pull", "`naru pull NAME` on the server's machine gets a model"},
    {"/api/push", "models are not sent anywhere"},
    {"/api/create", "`naru convert` and `naru train` make models"},
    {"/api/copy", "`naru serve --name` gives the model another name"},
    {"/api/delete", "`naru rm NAME` on the server's machine removes a model"},
};

// Clients put one of them before the paths: OpenAI's, and that of DeepSeek's newer functions.
constexpr std::string_view kPathPrefixes[] = {"/v1", "/beta"};
constexpr std::string_view kOllamaPrefix = "/api/";

std::string_view without_prefix(std::string_view path) {
  for (const std::string_view prefix : kPathPrefixes) {
    if (path.size() > prefix.size() && path.starts_with(prefix) && path[prefix.size()] == '/') {
      return path.substr(prefix.size());
    }
  }
  return path;
}

Refusal no_such_path(std::string_view path) {
  std::string_view advice = "docs/server.md lists what is";
  for (const Elsewhere& each : kElsewhere) {
    if (each.path == path) advice = each.advice;
  }
  return {404, fmt::format("reading the request: there is no {}; {}", formats::printable(path), advice), "",
          "not_found", 0};
}

bool is_path_of(const Route& route, std::string_view path) {
  if (route.path == "/") return path == "/";
  return route.path.ends_with('/') ? path.starts_with(route.path) && path.size() > route.path.size()
                                   : path == route.path;
}

}  // namespace

// clang-format off: a table
const std::vector<Route>& all_routes() {
  static const std::vector<Route> routes = {
      {Page::kHealth, nullptr, "GET", "/health", true},
      {Page::kModels, nullptr, "GET", "/models"},
      {Page::kModel, nullptr, "GET", "/models/"},
      {Page::kServer, nullptr, "GET", "/server"},
      {Page::kMetrics, nullptr, "GET", "/metrics"},
      {Page::kOpenApi, nullptr, "GET", "/openapi.json"},
      {Page::kDialect, &kOpenAiChat, "POST", "/chat/completions"},
      {Page::kDialect, &kOpenAiCompletion, "POST", "/completions"},
      {Page::kDialect, &kOpenAiEmbeddings, "POST", "/embeddings"},
      {Page::kDialect, &kTokenize, "POST", "/tokenize"},
      {Page::kDialect, &kDetokenize, "POST", "/detokenize"},
      {Page::kDialect, &kApplyTemplate, "POST", "/apply-template"},
      {Page::kDialect, &kOllamaChat, "POST", "/api/chat"},
      {Page::kDialect, &kOllamaGenerate, "POST", "/api/generate"},
      {Page::kDialect, &kOllamaShow, "POST", "/api/show"},
      {Page::kDialect, &kOllamaEmbed, "POST", "/api/embed"},
      {Page::kDialect, &kOllamaEmbed, "POST", "/api/embeddings"},
      {Page::kOllamaTags, nullptr, "GET", "/api/tags"},
      {Page::kOllamaPs, nullptr, "GET", "/api/ps"},
      {Page::kOllamaVersion, nullptr, "GET", "/api/version"},
      {Page::kRuns, nullptr, "GET", "/runs"},
      {Page::kRun, nullptr, "GET", "/runs/"},
      {Page::kPage, nullptr, "GET", "/", true},
      {Page::kPageFile, nullptr, "GET", "/page/", true},
      {Page::kHealth, nullptr, "HEAD", "/"},  // how Ollama's clients look whether it is there
      {Page::kDialect, &kOpenAiResponses, "POST", "/responses"},
      {Page::kDialect, &kAnthropicMessages, "POST", "/messages"},
      {Page::kDialect, &kAnthropicCount, "POST", "/messages/count_tokens"},
      // Where DeepSeek's base for Anthropic's clients points.
      {Page::kDialect, &kAnthropicMessages, "POST", "/anthropic/v1/messages"},
      {Page::kDialect, &kAnthropicCount, "POST", "/anthropic/v1/messages/count_tokens"},
  };
  return routes;
}
// clang-format on

Routed find_route(const HttpRequest& head) {
  Routed routed;
  const std::string_view whole = head.path();
  const std::string_view path = without_prefix(whole);
  const bool is_head = head.method == "HEAD";
  for (const Route& route : all_routes()) {
    if (!is_path_of(route, route.is_of_page() ? whole : path)) continue;
    if (route.method == "HEAD" && !is_head) continue;  // what answers nothing else is no page
    if (!routed.allow.empty()) routed.allow += ", ";
    routed.allow += route.method == "GET" ? "GET, HEAD" : route.method;
    if (route.method != head.method && !(is_head && route.method == "GET")) continue;
    routed.route = &route;
    if (route.path.ends_with('/')) routed.rest = path.substr(route.path.size());
  }
  if (!routed.allow.empty()) routed.allow += ", OPTIONS";
  if (routed.route != nullptr) return routed;
  routed.refusal = no_such_path(whole);
  if (!routed.allow.empty()) {
    routed.refusal = {405,
                      fmt::format("reading the request: {} is no method of {}; use one of {}",
                                  formats::printable(head.method, 20), formats::printable(whole), routed.allow),
                      "", "method_not_allowed", 0};
  }
  return routed;
}

std::string error_body(const HttpRequest& head, const Refusal& refusal) {
  HttpRequest any = head;
  any.method = "POST";  // whatever the method was, its path says which dialect is spoken
  const Routed routed = find_route(any);
  if (without_prefix(head.path()).starts_with(kOllamaPrefix)) return ollama_error(refusal);
  return routed.route != nullptr && routed.route->dialect != nullptr ? routed.route->dialect->error(refusal)
                                                                     : openai_error(refusal);
}

}  // namespace naru::server
