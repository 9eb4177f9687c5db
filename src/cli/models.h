// The commands of the models folder: naru pull, naru list, naru rm.
#pragma once

#include "cli/command.h"

namespace naru::cli {

Command make_pull();
Command make_list();
Command make_rm();

}  // namespace naru::cli
