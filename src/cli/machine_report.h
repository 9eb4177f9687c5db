// What naru doctor says of the machine and of the process: rows of a name and a text, none of which has a path outside
// of ~ that the user did not give, a name of a user or a host, or a secret.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cli/command.h"

namespace naru::cli {

using ReportRows = std::vector<std::pair<std::string, std::string>>;

// "Linux 6.1.0 on x86_64, Debian GNU/Linux 12 (bookworm), glibc 2.36"
std::string system_line();
ReportRows machine_rows();   // processor, levels, chips, memory, limits
ReportRows terminal_rows();  // terminal, locale
// Variables of naru and of the hub that are set: numbers and words as they are, of texts and of all that could be a
// secret only that they are set.
std::string environment_line(const std::vector<Command>& commands);

}  // namespace naru::cli
