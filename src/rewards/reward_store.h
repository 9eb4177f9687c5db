// RewardStore: what programs said of answers, in a file that only grows (rewards.jsonl in the folder of a run): on disk
// before it is used, and read back when the same is asked again. So a program's order and speed, and how often a run
// was killed, change nothing.
//
// A line: {"asked": SHA-256 of program and question, "reward": 1.0, "right": true}, and "failed": why, where the
// program gave none. A last line that was cut off is taken away.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "rewards/reward_program.h"
#include "runs/append_file.h"

namespace naru::rewards {

inline constexpr int64_t kRewardStoreBytesMax = int64_t{1} << 31;  // bytes of rewards.jsonl

struct StoredReward {
  RewardReply reply;
  bool is_failed = false;
};

// One line without its end; any bytes.
Result<std::pair<std::string, StoredReward>> parse_stored_reward(std::string_view line, std::string_view place);

class RewardStore {
 public:
  // "": nothing is kept. A file above `bytes_max` is not read, and none grows above it.
  static Result<RewardStore> open(const std::filesystem::path& path, int64_t bytes_max = kRewardStoreBytesMax);

  const std::filesystem::path& path() const { return path_; }
  const StoredReward* find(const std::string& asked) const;
  int64_t n_failed() const { return n_failed_; }

  struct Entry {
    std::string asked;
    ProgramReply reply;
  };
  // On disk when it returns; all of them or none.
  Status add(const std::vector<Entry>& entries);

 private:
  Status read();
  void remember(std::string asked, const StoredReward& reward);

  std::filesystem::path path_;
  int64_t bytes_max_ = kRewardStoreBytesMax;
  runs::AppendFile file_;
  std::unordered_map<std::string, StoredReward> rewards_;
  int64_t n_failed_ = 0;
};

}  // namespace naru::rewards
