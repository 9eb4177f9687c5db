// CheckpointStore: the checkpoints of one run as this process knows them. It answers two questions, which one to go on
// from and which to remove, and trusts for both only what it wrote itself or verified by content (SHA-256), once in a
// process as long as names, lengths and times stay.
//
// A checkpoint that cannot be read is not damaged. Going on falls back to an older one only where bytes are wrong; any
// other failure is an error, as is a folder of checkpoints of which none is good. Nothing here removes what it did not
// find sound, and nothing that lies later than where the run stands. Where the run writes a step anew, only its own
// checkpoint of that step or a damaged one is replaced; any other is moved aside.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "train/checkpoint.h"

namespace naru::train {

class CheckpointStore {
 public:
  // Why a sound checkpoint is not of this run's line ("it is of another recipe"); nothing where it is.
  using OffLine = std::function<std::optional<std::string>(const CheckpointInfo&)>;
  using Note = std::function<void(const std::string&)>;
  CheckpointStore(std::filesystem::path parent, OffLine off_line, Note note);

  using ShouldStop = std::function<bool()>;
  // The newest that is good and of this run's line; what is passed over is noted. Nothing where there are none at all.
  // `should_stop` is asked while bytes are read: kCancelled where it says so.
  Result<std::optional<CheckpointInfo>> newest_good(const ShouldStop& should_stop = {});

  // Writes the checkpoint of `step`. One of that step goes: this line's own, and a damaged one, which is noted. One
  // that is of another line or cannot be read stays, under a name that is noted (step-00000100.set-aside-1).
  Status write(int64_t step, const std::vector<FileToWrite>& files, const std::string& state_json);

  // Of those up to `step` (where the run stands, just written), the newest `keep` good ones stay, at least one, and the
  // one of `best_step` (-1: none). Good ones beside these go; all others stay. Unfinished folders go too.
  Status prune(int64_t step, int64_t keep, int64_t best_step);

  // Whether there is any checkpoint later than `step`, good or not.
  Result<bool> has_later(int64_t step) const;

 private:
  struct Known {
    std::string look;     // names, lengths and times when it was judged
    std::string problem;  // why it is not to be trusted; "" for a good one
    bool is_off_line;     // the problem: it is sound, and of another line
    std::string state_json;
  };
  // What is known of a checkpoint; it is verified where it was not, or looks otherwise than then.
  Result<Known> judge(const CheckpointInfo& checkpoint, const ShouldStop& should_stop = {});
  // What of `step` may not be replaced gets out of the way; whether what is left there is damaged.
  Result<bool> make_place(int64_t step);
  void note_once(int64_t step, const std::string& line);

  std::filesystem::path parent_;
  OffLine off_line_;
  Note note_;
  std::map<int64_t, Known> known_;  // by step
  std::set<std::pair<int64_t, std::string>> noted_;
};

}  // namespace naru::train
