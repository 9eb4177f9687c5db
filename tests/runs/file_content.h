// The bytes of a file, for tests that look into one.
#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace naru::runs {

// Empty where there is no such file.
inline std::string content(const std::filesystem::path& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

}  // namespace naru::runs
