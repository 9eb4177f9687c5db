// naru show --machine: what this machine has and what naru uses of it. Nothing is measured; `naru bench` does that.
#pragma once

#include "cli/options.h"

namespace naru::cli {

Status show_machine(const ShowOptions& options);

}  // namespace naru::cli
