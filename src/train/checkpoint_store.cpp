#include "train/checkpoint_store.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/file_digest.h"
#include "base/folder.h"
#include "runs/run_files.h"

namespace naru::train {
namespace {

namespace fs = std::filesystem;

// Names, inodes, lengths and times of a checkpoint's files: where they are as before, so are the bytes, as far as the
// system's own records go. Empty where that cannot be told.
std::string look_of(const fs::path& folder) {
  std::vector<std::string> lines;
  std::error_code code;
  for (fs::directory_iterator place(folder, code), end; !code && place != end; place.increment(code)) {
    struct stat info {};
    if (::stat(place->path().c_str(), &info) != 0) return "";
    lines.push_back(fmt::format("{}/{}/{}/{}/{}.{}/{}.{}\n", place->path().filename().string(), info.st_dev,
                                info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
                                info.st_ctim.tv_sec, info.st_ctim.tv_nsec));
  }
  if (code) return "";
  std::sort(lines.begin(), lines.end());
  std::string look;
  for (const std::string& line : lines) look += line;
  return look;
}

// Renames a checkpoint to the first free name step-00000100.set-aside-N beside it, and returns that.
Result<fs::path> set_aside(const fs::path& folder) {
  for (int64_t number = 1;; ++number) {
    fs::path target = folder;
    target += fmt::format(".{}{}", runs::kSetAsideMark, number);
    NARU_ASSIGN(const bool is_there, is_anything(target));
    if (is_there) continue;
    if (::rename(folder.c_str(), target.c_str()) != 0) {
      return Error{Code::kUnavailable,
                   fmt::format("setting the checkpoint {} aside, which is not of this run's line: {}; move it away, "
                               "and start again",
                               folder.string(), std::strerror(errno))};
    }
    NARU_TRY(sync_folder(folder.parent_path()));
    return target;
  }
}

}  // namespace

CheckpointStore::CheckpointStore(fs::path parent, OffLine off_line, Note note)
    : parent_(std::move(parent)), off_line_(std::move(off_line)), note_(std::move(note)) {}

void CheckpointStore::note_once(int64_t step, const std::string& line) {
  if (noted_.emplace(step, line).second) note_(line);
}

Result<CheckpointStore::Known> CheckpointStore::judge(const CheckpointInfo& checkpoint, const ShouldStop& should_stop) {
  const std::string look = look_of(checkpoint.folder);
  const auto place = known_.find(checkpoint.step);
  if (place != known_.end() && !look.empty() && place->second.look == look) return place->second;
  auto verified = verify_checkpoint(checkpoint.folder, should_stop);
  if (!verified.ok() && verified.error().code != Code::kCorrupt) return std::move(verified).error();
  Known known{.look = look, .problem = {}, .is_off_line = false, .state_json = {}};
  if (!verified.ok()) {
    known.problem = verified.error().message;
  } else {
    known.state_json = verified->state_json;
    if (const auto reason = off_line_(*verified)) {
      known.is_off_line = true;
      known.problem = fmt::format("checking {}: {}; it is kept", checkpoint.folder.string(), *reason);
    }
  }
  known_.insert_or_assign(checkpoint.step, known);
  return known;
}

Result<std::optional<CheckpointInfo>> CheckpointStore::newest_good(const ShouldStop& should_stop) {
  NARU_ASSIGN(const auto found, list_checkpoints(parent_));
  for (const CheckpointInfo& checkpoint : found) {
    auto known = judge(checkpoint, should_stop);
    if (!known.ok() && known.error().code == Code::kCancelled) return std::move(known).error();
    if (!known.ok()) {
      Error error = std::move(known).error();
      error.message +=
          ". The checkpoint is not known to be damaged: no older one was taken in its place and nothing was changed; "
          "make it readable and start again";
      return error;
    }
    if (known->problem.empty()) {
      return std::optional<CheckpointInfo>({checkpoint.folder, checkpoint.step, known->state_json});
    }
    note_once(checkpoint.step, known->problem);
  }
  if (found.empty()) return std::optional<CheckpointInfo>();
  return Error{
      Code::kCorrupt,
      fmt::format("going on from {}: none of the {} checkpoint{} there is good, one at least was wanted; bring "
                  "one back from a copy, or begin anew with --start-over, which sets the old ones aside",
                  parent_.string(), found.size(), found.size() == 1 ? "" : "s")};
}

Result<bool> CheckpointStore::make_place(int64_t step) {
  NARU_ASSIGN(const auto found, list_checkpoints(parent_));
  const auto place = std::ranges::find(found, step, &CheckpointInfo::step);
  if (place == found.end()) return false;
  const auto known = judge(*place);
  if (known.ok() && !known->is_off_line) return !known->problem.empty();
  NARU_ASSIGN(const fs::path target, set_aside(place->folder));
  known_.erase(step);
  note_(fmt::format("{}; the run writes that step now: it is set aside as {}",
                    known.ok() ? known->problem : known.error().message, target.filename().string()));
  return false;
}

Status CheckpointStore::write(int64_t step, const std::vector<FileToWrite>& files, const std::string& state_json) {
  NARU_ASSIGN(const bool was_damaged, make_place(step));
  NARU_TRY(write_checkpoint(parent_, step, files, state_json));
  NARU_ASSIGN(const auto found, list_checkpoints(parent_));
  for (const CheckpointInfo& checkpoint : found) {
    if (checkpoint.step != step) continue;
    known_.insert_or_assign(
        step, Known{.look = look_of(checkpoint.folder), .problem = {}, .is_off_line = false, .state_json = state_json});
    if (was_damaged) note_(fmt::format("{} was no good, and is written anew", checkpoint.folder.string()));
  }
  return {};
}

Status CheckpointStore::prune(int64_t step, int64_t keep, int64_t best_step) {
  NARU_TRY(remove_unfinished_checkpoints(parent_));
  NARU_ASSIGN(const auto found, list_checkpoints(parent_));
  int64_t n_kept = 0;
  for (const CheckpointInfo& checkpoint : found) {
    if (checkpoint.step > step) continue;
    const auto known = judge(checkpoint);
    // One that cannot be read now may be good: it stays, and no other goes for its sake.
    const std::string problem = known.ok() ? known->problem : known.error().message;
    if (!problem.empty()) {
      note_once(checkpoint.step, problem);
      continue;
    }
    if (n_kept++ < std::max<int64_t>(keep, 1) || checkpoint.step == best_step) continue;
    NARU_TRY(remove_folder(checkpoint.folder));
    known_.erase(checkpoint.step);
  }
  return {};
}

Result<bool> CheckpointStore::has_later(int64_t step) const {
  NARU_ASSIGN(const auto found, list_checkpoints(parent_));
  return !found.empty() && found.front().step > step;
}

}  // namespace naru::train
