#include "runs/json_lines.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/file.h"
#include "base/file_digest.h"
#include "formats/json.h"

namespace naru::runs {

std::optional<nlohmann::json> parse_json_line(std::string_view line) {
  formats::JsonLimits limits;
  limits.bytes_max = kJsonLineBytesMax;
  limits.depth_max = 8;
  limits.values_max = 10000;
  auto parsed = formats::parse_json(as_bytes(line), "line", limits);
  if (!parsed.ok()) return std::nullopt;
  return std::move(parsed).value();
}

Result<int64_t> for_each_json_line(const std::filesystem::path& path,
                                   const std::function<void(const nlohmann::json&, std::string_view)>& each,
                                   const std::function<void(std::string_view)>& other) {
  NARU_ASSIGN(const bool is_there, is_anything(path));
  if (!is_there) return int64_t{0};
  NARU_ASSIGN(const MappedFile file, MappedFile::open(path));
  if (file.size() > kJsonLinesBytesMax) {
    return Error{Code::kUnsupported, fmt::format("reading {}: it has {} bytes, at most {} are read; log less often",
                                                 path.string(), file.size(), kJsonLinesBytesMax)};
  }
  std::string_view rest = as_text(file.bytes());
  int64_t n_bad = 0;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (const auto object = parse_json_line(line); object && object->is_object()) {
      each(*object, line);
    } else {
      ++n_bad;
      if (other) other(line);
    }
  }
  return n_bad;
}

std::optional<int64_t> json_whole(const nlohmann::json& object, const char* key) {
  const auto place = object.find(key);
  if (place == object.end() || !place->is_number_integer()) return std::nullopt;
  if (place->is_number_unsigned() && !std::in_range<int64_t>(place->get<uint64_t>())) return std::nullopt;
  return place->get<int64_t>();
}

std::optional<double> json_number(const nlohmann::json& object, const char* key) {
  const auto place = object.find(key);
  if (place == object.end() || !place->is_number()) return std::nullopt;
  return place->get<double>();
}

std::string json_text_of(const nlohmann::json& object, const char* key) {
  const auto place = object.find(key);
  return place != object.end() && place->is_string() ? place->get<std::string>() : std::string();
}

std::string json_line(const nlohmann::ordered_json& object) {
  return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace naru::runs
