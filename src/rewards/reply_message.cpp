#include "rewards/reply_message.h"

#include <fmt/format.h>

#include <cstring>

namespace naru::rewards {
namespace {

constexpr char kReplies = 'r', kError = 'e';
constexpr size_t kReplyBytes = sizeof(double) + 1;

}  // namespace

std::string replies_to_bytes(const Result<std::vector<StoredReward>>& replies) {
  if (!replies.ok()) {
    return fmt::format("{}{}{}", kError, static_cast<char>(replies.error().code), replies.error().message);
  }
  std::string bytes(1, kReplies);
  for (const StoredReward& one : *replies) {
    bytes.append(reinterpret_cast<const char*>(&one.reply.reward), sizeof(double));
    bytes += static_cast<char>((one.reply.is_right ? 1 : 0) | (one.is_failed ? 2 : 0));
  }
  return bytes;
}

Result<std::vector<StoredReward>> replies_from_bytes(std::string_view bytes, size_t n) {
  if (bytes.size() >= 2 && bytes[0] == kError && bytes[1] <= static_cast<char>(Code::kInternal)) {
    return Error{static_cast<Code>(bytes[1]), std::string(bytes.substr(2))};
  }
  if (bytes.empty() || bytes[0] != kReplies || bytes.size() != 1 + n * kReplyBytes) {
    return Error{Code::kCorrupt, fmt::format("sharing rewards: {} bytes came, those of {} rewards were wanted; do all "
                                             "processes train the same run?",
                                             bytes.size(), n)};
  }
  std::vector<StoredReward> replies(n);
  for (size_t i = 0; i < n; ++i) {
    const char* const at = bytes.data() + 1 + i * kReplyBytes;
    std::memcpy(&replies[i].reply.reward, at, sizeof(double));
    replies[i].reply.is_right = (at[sizeof(double)] & 1) != 0;
    replies[i].is_failed = (at[sizeof(double)] & 2) != 0;
  }
  return replies;
}

}  // namespace naru::rewards
