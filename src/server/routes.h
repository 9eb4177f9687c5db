// The routes: which path and method is what, and who may come there. One table; whatever is not in it is not there.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/http_message.h"

namespace naru::server {

enum class Page : uint8_t { kHealth, kModels, kModel, kServer, kChat, kCompletion };

struct Route {
  Page page = Page::kHealth;
  std::string_view method;  // GET (which HEAD goes with) or POST
  std::string_view path;    // below /v1, where it stands too; one that ends with / takes what follows
  bool is_public = false;   // without a key
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

}  // namespace naru::server
