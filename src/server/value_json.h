// Values of a request as JSON text.
#pragma once

#include <string>

#include "text/value.h"

namespace naru::server {

// In the style in which chat templates write JSON, so that what a model has written and a client has parsed comes back
// as the model wrote it: ", " between elements, ": " behind keys, characters as they are, numbers in their shortest
// form, 1.0 with its zero.
std::string value_json(const text::Value& value);

}  // namespace naru::server
