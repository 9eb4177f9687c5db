// The OpenAPI document (3.1): every route of routes.h, with the fields of its body where a dialect has a table of them
// (openapi_fields.h).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/openapi_fields.h"
#include "server/routes.h"

namespace naru::server {

// The tables that there are.
const std::vector<const BodyTable*>& described_bodies();

// The path of a route as the document has it, and its method there.
std::string described_path(const Route& route);
std::string described_method(const Route& route);

// JSON. `version` is the program's.
std::string openapi_document(std::string_view version);

}  // namespace naru::server
