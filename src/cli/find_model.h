// MODEL on the command line: a path, or the name of a model that was pulled. A path that is there wins.
#pragma once

#include <string>

#include "cli/command.h"

namespace naru::cli {

// The path of the model that was given. kNotFound, with how to pull it, where it has the form of a name and is neither
// a path nor pulled; what has not is left for whoever opens it.
Result<std::string> find_model_path(const std::string& given);

// For an argument or a flag that takes a model.
std::function<Status(const Given&)> set_model_path(std::string* path);

}  // namespace naru::cli
