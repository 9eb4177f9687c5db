// The version of the program and of the arithmetic.
#pragma once

#include <string>

namespace naru::cli {

std::string version_text();

}  // namespace naru::cli
