// The commands about the program itself: naru config, doctor, completion, man.
#pragma once

#include <string>

#include "cli/command.h"

namespace naru::cli {

Command make_config();
Command make_doctor();
Command make_completion();
Command make_man();

// The page of a command, and of naru itself, in the macros of man(7).
std::string man_page(const Command& command);
std::string man_page_of_all(const std::vector<Command>& commands);

// What a shell reads to complete the words of naru.
std::string bash_completion(const std::vector<Command>& commands);
std::string zsh_completion(const std::vector<Command>& commands);
std::string fish_completion(const std::vector<Command>& commands);

}  // namespace naru::cli
