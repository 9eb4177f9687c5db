// The lines of the files of lines (kLineFiles) across starts and roll-backs. Lines of steps that come again are taken
// out, and kept aside in a file beside them (metrics.aside.jsonl) until a later checkpoint is whole; where a run goes
// on from later than its lines reach, because a checkpoint could be read again, they come back. The aside is written
// before the file that they are taken from: killed at any moment, every line is in one of the two.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace naru::runs {

// "metrics.aside.jsonl" of "metrics.jsonl".
std::filesystem::path aside_of(const std::filesystem::path& lines);

struct StepLine {
  std::optional<int64_t> step;  // nothing: the line is no object, or has no whole step
  std::string what;             // which line of its step it is: its names, its problem, and its prompt
  std::string text;
};

// Leaves the lines of steps up to `step` in a file; -1: none. Lines that are no objects with a step go aside too, and
// so does what a killed program left half-written. In two parts, so that a start reads all that it needs before it
// changes anything.
class LineRewind {
 public:
  // Reads. An error where the file may not be read or written.
  static Result<LineRewind> plan(const std::filesystem::path& lines, int64_t step);
  Status apply() const;

 private:
  std::filesystem::path path_;
  std::vector<StepLine> kept_, aside_;
};

// After the checkpoint of `step` is whole: what is aside of steps up to it, and all of it where no later checkpoint is
// there that could be gone on from, is in the past.
Status settle_lines(const std::filesystem::path& lines, int64_t step, bool has_later);

}  // namespace naru::runs
