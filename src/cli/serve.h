// naru serve: a model behind an HTTP server.
#pragma once

#include "cli/command.h"

namespace naru::cli {

Command make_serve();

}  // namespace naru::cli
