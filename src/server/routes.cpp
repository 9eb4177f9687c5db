#include "server/routes.h"

#include <fmt/format.h>

#include "formats/utf8.h"
#include "server/openai_answer.h"
#include "server/openai_request.h"

namespace naru::server {
namespace {

// Paths of other servers, and what to do here in their place.
struct Elsewhere {
  std::string_view path;
  std::string_view advice;
};
constexpr Elsewhere kElsewhere[] = {
    {"/v1/embeddings", "models that answer make no embeddings; take a model and a server that are made for them"},
    {"/v1/responses", "it is not there yet; use /v1/chat/completions"},
    {"/v1/messages", "it is not there yet; use /v1/chat/completions"},
    {"/api/chat", "Ollama's API is not there yet; use /v1/chat/completions"},
    {"/api/generate", "Ollama's API is not there yet; use /v1/completions"},
    {"/api/tags", "Ollama's API is not there yet; use /v1/models"},
    {"/metrics", "it is not there yet; the log has a line for each request"},
    {"/", "a page is not there yet; docs/server.md lists what is"},
};

constexpr std::string_view kPrefix = "/v1";

Refusal no_such_path(std::string_view path) {
  std::string_view advice = "docs/server.md lists what is";
  for (const Elsewhere& each : kElsewhere) {
    if (each.path == path) advice = each.advice;
  }
  return {404, fmt::format("reading the request: there is no {}; {}", formats::printable(path), advice), "",
          "not_found", 0};
}

bool is_path_of(const Route& route, std::string_view path) {
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
      {Page::kOpenApi, nullptr, "GET", "/openapi.json"},
      {Page::kDialect, &kOpenAiChat, "POST", "/chat/completions"},
      {Page::kDialect, &kOpenAiCompletion, "POST", "/completions"},
  };
  return routes;
}
// clang-format on

Routed find_route(const HttpRequest& head) {
  Routed routed;
  const std::string_view whole = head.path();
  std::string_view path = whole;
  if (path.size() > kPrefix.size() && path.starts_with(kPrefix) && path[kPrefix.size()] == '/') {
    path.remove_prefix(kPrefix.size());
  }
  const bool is_head = head.method == "HEAD";
  for (const Route& route : all_routes()) {
    if (!is_path_of(route, path)) continue;
    if (!routed.allow.empty()) routed.allow += ", ";
    routed.allow += route.method == "GET" ? "GET, HEAD" : route.method;
    if (route.method != (is_head ? "GET" : std::string_view(head.method))) continue;
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
  return routed.route != nullptr && routed.route->dialect != nullptr ? routed.route->dialect->error(refusal)
                                                                     : openai_error(refusal);
}

}  // namespace naru::server
