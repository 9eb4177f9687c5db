#include "cli/values.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace naru::cli {
namespace {

template <typename T>
std::optional<T> parse_whole(std::string_view text) {
  T value{};
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

constexpr std::string_view kTyped = "command";  // of the chat

// Of a source as Given has them: a command of the chat by its name, the defaults file by its path and line.
std::string_view origin_name(std::string_view source) {
  if (source.starts_with("NARU_")) return "environment";
  if (!source.starts_with('/') && !source.starts_with('~')) return "command line";
  return source.find(':') == std::string_view::npos ? kTyped : "defaults";
}

}  // namespace

Error bad_value(const Given& given, std::string_view wanted, std::string_view next) {
  constexpr size_t kShownMax = 80;
  const std::string shown = given.text.size() <= kShownMax ? given.text : given.text.substr(0, kShownMax) + "...";
  const std::string_view origin = origin_name(given.source);
  const std::string_view help = origin == kTyped ? "see /help" : "see --help for what it means";
  return {Code::kInvalidArgument, fmt::format("reading the {}: {}: '{}' was given, {} was wanted; {}", origin,
                                              given.source, shown, wanted, next.empty() ? help : next)};
}

Result<int64_t> parse_integer(const Given& given, int64_t low, int64_t high) {
  const auto value = parse_whole<int64_t>(given.text);
  if (value && *value >= low && *value <= high) return *value;
  if (high == INT64_MAX) return bad_value(given, fmt::format("a whole number of at least {}", low));
  return bad_value(given, fmt::format("a whole number from {} to {}", low, high));
}

Result<uint64_t> parse_seed(const Given& given) {
  const auto value = parse_whole<uint64_t>(given.text);
  if (value) return *value;
  return bad_value(given, fmt::format("a whole number from 0 to {}", UINT64_MAX));
}

Result<double> parse_number(const Given& given, double low, double high) {
  std::string_view text = given.text;
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_whole = error == std::errc() && end == text.data() + text.size() && !text.empty();
  if (is_whole && std::isfinite(value) && value >= low && value <= high) return value;
  return bad_value(given, fmt::format("a number from {} to {}", low, high));
}

Result<size_t> parse_word(const Given& given, std::span<const std::string_view> words) {
  const auto found = std::ranges::find(words, given.text);
  if (found != words.end()) return static_cast<size_t>(found - words.begin());
  std::string list;
  for (const std::string_view word : words) list += fmt::format("{}{}", list.empty() ? "" : ", ", word);
  const auto near = nearest(given.text, words);
  return bad_value(given, fmt::format("one of {}", list), near ? fmt::format("did you mean {}?", *near) : "");
}

Result<size_t> parse_word(const Given& given, std::initializer_list<std::string_view> words) {
  return parse_word(given, std::span(words.begin(), words.size()));
}

Result<bool> parse_switch(const Given& given) {
  for (const std::string_view word : {"on", "true", "yes", "1"}) {
    if (given.text == word) return true;
  }
  for (const std::string_view word : {"off", "false", "no", "0"}) {
    if (given.text == word) return false;
  }
  return bad_value(given, "on or off");
}

Result<std::vector<int64_t>> parse_integers(const Given& given, int64_t low, int64_t high, size_t count_max) {
  std::vector<int64_t> values;
  std::string_view rest = given.text;
  while (true) {
    const size_t comma = rest.find(',');
    const auto value = parse_whole<int64_t>(rest.substr(0, comma));
    if (!value || *value < low || *value > high || values.size() == count_max) {
      return bad_value(
          given, fmt::format("a list like 0,512,2048 of at most {} whole numbers from {} to {}", count_max, low, high));
    }
    values.push_back(*value);
    if (comma == std::string_view::npos) return values;
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace naru::cli
