#include "rewards/reward_store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/folder.h"
#include "formats/json.h"

namespace naru::rewards {
namespace {

constexpr size_t kAskedBytes = 64;  // hexadecimal digits

bool is_sha256(std::string_view text) {
  return text.size() == kAskedBytes && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string stored_line(const RewardStore::Entry& entry) {
  std::string line = fmt::format("{{\"asked\": \"{}\", \"reward\": {}, \"right\": {}", entry.asked,
                                 entry.reply.reply.reward, entry.reply.reply.is_right);
  if (!entry.reply.failure.empty()) line += ", \"failed\": " + formats::json_quoted(entry.reply.failure);
  return line + "}\n";
}

}  // namespace

Result<std::pair<std::string, StoredReward>> parse_stored_reward(std::string_view line, std::string_view place) {
  NARU_ASSIGN(const nlohmann::json json, formats::parse_json(as_bytes(line), place));
  NARU_ASSIGN(const auto object, formats::JsonObject::of(json, place));
  NARU_ASSIGN(std::string asked, object.get_string("asked"));
  StoredReward stored;
  NARU_ASSIGN(stored.reply.reward, object.get_double("reward"));
  NARU_ASSIGN(stored.reply.is_right, object.get_bool("right"));
  stored.is_failed = object.has("failed");
  if (!is_sha256(asked) || std::abs(stored.reply.reward) > kRewardMax) {
    return object.wrong(Code::kCorrupt, is_sha256(asked) ? "reward" : "asked", "out of bounds", "what naru wrote",
                        "bring the file back from a copy");
  }
  return std::pair(std::move(asked), stored);
}

Result<RewardStore> RewardStore::open(const std::filesystem::path& path, int64_t bytes_max) {
  RewardStore store;
  store.path_ = path;
  store.bytes_max_ = bytes_max;
  if (path.empty()) return store;
  NARU_ASSIGN(const bool is_there, is_anything(path));
  if (is_there) NARU_TRY(store.read());
  NARU_ASSIGN(store.file_, runs::AppendFile::open(path));
  if (!is_there) NARU_TRY(sync_folder(path.parent_path()));
  return store;
}

Status RewardStore::read() {
  NARU_ASSIGN(const std::string text, read_file(path_, bytes_max_));
  const size_t whole = text.rfind('\n') + 1;  // 0 where there is none
  if (whole < text.size() && ::truncate(path_.c_str(), static_cast<off_t>(whole)) != 0) {
    return Error{Code::kUnavailable, fmt::format("taking the cut line off {}: {}; check that it may be written",
                                                 path_.string(), std::strerror(errno))};
  }
  int64_t number = 0;
  for (size_t at = 0; at < whole;) {
    const size_t end = text.find('\n', at);
    const std::string place = fmt::format("{}:{}", path_.string(), ++number);
    auto stored = parse_stored_reward(std::string_view(text).substr(at, end - at), place);
    if (!stored.ok()) {
      return Error{stored.error().code,
                   fmt::format("{}. It has the rewards of the run: without it they are asked for again, and may be "
                               "others",
                               stored.error().message)};
    }
    remember(std::move(stored->first), stored->second);
    at = end + 1;
  }
  return {};
}

void RewardStore::remember(std::string asked, const StoredReward& reward) {
  if (rewards_.try_emplace(std::move(asked), reward).second && reward.is_failed) ++n_failed_;
}

const StoredReward* RewardStore::find(const std::string& asked) const {
  const auto found = rewards_.find(asked);
  return found == rewards_.end() ? nullptr : &found->second;
}

Status RewardStore::add(const std::vector<Entry>& entries) {
  if (path_.empty() || entries.empty()) return {};
  std::string lines;
  for (const Entry& entry : entries) lines += stored_line(entry);
  const int64_t size = file_.size() + static_cast<int64_t>(lines.size());
  if (size > bytes_max_) {
    return Error{Code::kResourceExhausted,
                 fmt::format("writing {}: it would have {} bytes, at most {} was wanted; train on from the run's last "
                             "model in a new run (model.path), which has a file of its own",
                             path_.string(), size, bytes_max_)};
  }
  NARU_TRY(file_.append(lines));
  NARU_TRY(file_.sync());
  for (const Entry& entry : entries) remember(entry.asked, {entry.reply.reply, !entry.reply.failure.empty()});
  return {};
}

}  // namespace naru::rewards
