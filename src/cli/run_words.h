// What the words of `naru run` mean that are no flags.
#pragma once

#include <vector>

#include "cli/options.h"

namespace naru::cli {

// MODEL and PROMPT; with a server PROMPT alone; of none of them the model is the built-in one. One word is MODEL.
Status take_run_words(RunOptions& o, std::vector<Given>& words);

}  // namespace naru::cli
