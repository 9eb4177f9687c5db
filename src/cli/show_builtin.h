// What naru show says of the built-in model besides what it says of every model: how it was made, what it solves, and
// how to make it again.
#pragma once

#include "cli/json_text.h"
#include "cli/sheet.h"

namespace naru::cli {

// Of its record (src/builtin); there is one.
Result<Json> builtin_record();
void put_builtin(const Json& record, Sheet& sheet);

}  // namespace naru::cli
