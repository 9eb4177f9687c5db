// Token ids that a user gives: a JSON array, an object with "ids", or numbers separated by white space.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace naru::cli {

inline constexpr int64_t kIdsBytesMax = int64_t{256} << 20;
inline constexpr int64_t kIdsMax = int64_t{1} << 24;

// A JSON array of integers in [0, 2^31). `name` appears in messages.
Result<std::vector<int32_t>> parse_ids_array(Bytes json, std::string_view name);
// Any of the three forms.
Result<std::vector<int32_t>> parse_ids(std::string_view text, std::string_view name);

// Every id below `limit`.
Status check_ids(const std::vector<int32_t>& ids, int64_t limit, std::string_view name);

}  // namespace naru::cli
