// The chips that there are, as `naru show --machine`, `naru doctor` and the value "list" of every --chip tell them.
#pragma once

#include <string>

#include "base/result.h"
#include "chips/registry/registry.h"
#include "cli/json_text.h"

namespace naru::cli {

// "level avx2", or "absent: WHY".
std::string chip_state(const chips::ChipEntry& chip);

// Of each chip its name, what it is, whether it is there, and its devices or why it is absent.
Json chips_json();

// Prints the chips and their devices, and why others are absent.
Status list_chips(bool is_json);

}  // namespace naru::cli
