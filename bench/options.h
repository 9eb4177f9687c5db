// Options of the benches: --name value, each of a list that --help prints. One that is not on the list, or has no
// value, ends the program with status 2.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace naru {

class Options {
 public:
  struct Option {
    std::string_view name;  // "--rounds"
    std::string_view help;  // what its value is and does
  };

  Options(int argc, char** argv, std::string_view what, const std::vector<Option>& known) {
    for (int i = 1; i < argc; ++i) {
      const std::string_view name = argv[i];
      if (name == "--help") {
        fmt::print("{}\n\n", what);
        for (const Option& option : known) fmt::print("  {:<12} {}\n", option.name, option.help);
        std::exit(0);
      }
      if (std::none_of(known.begin(), known.end(), [&](const Option& option) { return option.name == name; })) {
        refuse(name, "is not known");
      }
      if (++i == argc) refuse(name, "has no value");
      values_[std::string(name)] = argv[i];
    }
  }

  bool has(const std::string& name) const { return values_.contains(name); }
  std::string text(const std::string& name, const std::string& otherwise = "") const {
    const auto found = values_.find(name);
    return found == values_.end() ? otherwise : found->second;
  }
  int64_t number(const std::string& name, int64_t otherwise, int64_t low, int64_t high) const {
    if (!has(name)) return otherwise;
    const std::string value = text(name);
    int64_t n = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
    if (error != std::errc() || end != value.data() + value.size() || n < low || n > high) {
      refuse(name, fmt::format("has the value '{}', a number from {} to {} was wanted", value, low, high));
    }
    return n;
  }
  bool flag(const std::string& name, bool otherwise) const { return number(name, otherwise ? 1 : 0, 0, 1) == 1; }
  // "512x2048x2048": `n` numbers from 1; empty where the option is not given.
  std::vector<int64_t> sizes(const std::string& name, size_t n) const {
    std::vector<int64_t> sizes;
    if (!has(name)) return sizes;
    const std::string value = text(name);
    for (const char *at = value.data(), *end = at + value.size(); at <= end;) {
      int64_t size = 0;
      const auto [behind, error] = std::from_chars(at, end, size);
      if (error != std::errc() || size < 1 || size > kSizeMax || (behind != end && *behind != 'x')) break;
      sizes.push_back(size);
      at = behind + 1;
      if (behind == end && sizes.size() == n) return sizes;
    }
    refuse(name, fmt::format("has the value '{}', {} numbers with x between them were wanted", value, n));
  }
  [[noreturn]] static void refuse(std::string_view name, std::string_view why) {
    fmt::print(stderr, "reading the options: {}: it {}; see --help\n", name, why);
    std::exit(2);
  }

 private:
  static constexpr int64_t kSizeMax = int64_t{1} << 24;
  std::map<std::string, std::string> values_;
};

}  // namespace naru
