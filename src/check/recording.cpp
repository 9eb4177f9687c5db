#include "check/recording.h"

#include <fmt/format.h>

#include <map>

#include "base/check.h"
#include "check/values.h"
#include "contract/op_table.h"

namespace naru::check {

std::string place_text(const OutputPlace& place) {
  std::string text;
  switch (place.stage) {
    case OutputPlace::Stage::kEmbedding: text = "embedding"; break;
    case OutputPlace::Stage::kLayer: text = fmt::format("layer {}", place.layer); break;
    case OutputPlace::Stage::kHead: text = "head"; break;
  }
  text += fmt::format(", {}", contract::op_name(place.op));
  return place.count == 0 ? text : text + fmt::format(" {}", place.count + 1);
}

// Steps that are one-to-one: two lists that differ in one element have two hashes.
uint64_t hash_of(const OutputValues& values) {
  uint64_t hash = static_cast<uint64_t>(values.rows);
  for (const uint32_t bits : values.bits) {
    hash = (hash ^ bits) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 32;
  }
  return hash;
}

std::string element_text(const OutputValues& values, int64_t row, int64_t col) {
  return value_text(values.dtype, values.at(row, col));
}

std::optional<std::pair<int64_t, int64_t>> first_element(const OutputValues& a, const OutputValues& b) {
  NARU_CHECK(a.rows == b.rows && a.cols == b.cols, a.rows, a.cols, b.rows, b.cols);
  for (size_t i = 0; i < a.bits.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    if (a.bits[i] != b.bits[i]) return std::pair(at / a.cols, at % a.cols);
  }
  return std::nullopt;
}

RecordingComparison compare_recordings(const Recording& a, const Recording& b) {
  RecordingComparison result;
  for (size_t position = 0; position < std::min(a.tokens.size(), b.tokens.size()); ++position) {
    std::map<OutputPlace, uint64_t> of_b;
    for (const Recording::Entry& entry : b.tokens[position]) of_b[entry.place] = entry.hash;
    for (const Recording::Entry& entry : a.tokens[position]) {
      const auto found = of_b.find(entry.place);
      if (found == of_b.end()) continue;
      if (found->second == entry.hash) {
        ++result.n_alike;
        continue;
      }
      result.first = Spot{static_cast<int64_t>(position), entry.place};
      return result;
    }
  }
  return result;
}

}  // namespace naru::check
