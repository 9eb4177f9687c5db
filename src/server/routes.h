// The routes: which path and method is what, and who may come there. One table; whatever is not in it is not there.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/dialect.h"

namespace naru::server {

// What answers a path: a dialect, through the model, or a page of the server's own.
enum class Page : uint8_t {
  kDialect,
  kHealth,
  kModels,
  kModel,
  kServer,
  kMetrics,
  kOpenApi,
  kOllamaTags,
  kOllamaPs,
  kOllamaVersion,
  kRuns,
  kRun,
  kPage,     // for people, at /
  kPageFile  // what that one is made of
};

struct Route {
  Page page = Page::kHealth;
  const Dialect* dialect = nullptr;  // of kDialect
  std::string_view method;           // GET (which HEAD goes with), POST, or HEAD alone
  // Also behind /v1 and /beta; one that ends with / takes what follows, but "/" itself.
  std::string_view path;
  bool is_public = false;  // without a key

  // For people, not for programs: only where it stands, and not in the OpenAPI document.
  bool is_of_page() const { return page == Page::kPage || page == Page::kPageFile; }
};

const std::vector<Route>& all_routes();

// Where a request goes.
struct Routed {
  const Route* route = nullptr;  // nullptr: refusal
  std::string_view rest;         // of the path, behind a route that ends with /
  std::string allow;             // methods of the path; empty: no such path
  Refusal refusal;
};
Routed find_route(const HttpRequest& head);

// A refusal in the words of the dialect whose path was asked for; OpenAI's where no dialect has the path.
std::string error_body(const HttpRequest& head, const Refusal& refusal);

}  // namespace naru::server
