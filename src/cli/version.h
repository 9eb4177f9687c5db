// The version of the program and of the arithmetic.
#pragma once

#include <string>

namespace naru::cli {

std::string version();       // "0.1.0"
std::string version_text();  // a line, with the program's name

}  // namespace naru::cli
