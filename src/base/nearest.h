// The nearest of some names to a mistyped one, for messages that say "did you mean".
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace naru {

// The name that is the fewest edits away (insert, delete, replace, swap neighbours); nothing where all are far.
std::optional<std::string_view> nearest(std::string_view word, std::span<const std::string_view> names);

}  // namespace naru
