// What a reward program said, as bytes from the process that asked it to those that train with it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "rewards/reward_store.h"

namespace naru::rewards {

// Why there is nothing crosses as well, so that all fail alike.
std::string replies_to_bytes(const Result<std::vector<StoredReward>>& replies);
Result<std::vector<StoredReward>> replies_from_bytes(std::string_view bytes, size_t n);

}  // namespace naru::rewards
