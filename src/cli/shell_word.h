// Words of commands that are printed to be copied.
#pragma once

#include <string>
#include <string_view>

namespace naru::cli {

// A word as a shell reads it back; lines inside it as bash, zsh and ksh read them.
std::string shell_word(std::string_view word);

}  // namespace naru::cli
