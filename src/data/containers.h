// Files that hold data in another way than as text or JSON: told by their first bytes, else by the ending of their
// name, and refused with the command that makes lines of JSON of them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace naru::data {

inline constexpr size_t kMagicBytes = 512;  // of a file's beginning are looked at

// Nothing for text and JSON, and for what nobody knows. `first_bytes` may be empty.
struct Container {
  std::string what;    // "a Parquet file"
  std::string advice;  // "make lines of JSON of it: python3 -c '...'"
};
std::optional<Container> find_container(std::string_view first_bytes, const std::filesystem::path& path);

}  // namespace naru::data
