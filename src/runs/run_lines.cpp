#include "runs/run_lines.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "base/file_digest.h"
#include "runs/json_lines.h"

namespace naru::runs {
namespace {

namespace fs = std::filesystem;

std::string what_of(const nlohmann::json& line) {
  std::string what;
  for (const auto& [name, value] : line.items()) what += name + ' ';
  if (const auto problem = json_whole(line, "problem")) what += std::to_string(*problem) + ' ';
  return what + json_text_of(line, "prompt");
}

Result<std::vector<StepLine>> read_lines(const fs::path& path) {
  std::vector<StepLine> lines;
  NARU_ASSIGN([[maybe_unused]] const int64_t n_bad,
              for_each_json_line(
                  path,
                  [&](const nlohmann::json& line, std::string_view text) {
                    auto step = json_whole(line, "step");
                    if (step && *step < 0) step = std::nullopt;
                    lines.push_back({step, step ? what_of(line) : "", std::string(text)});
                  },
                  [&](std::string_view text) {
                    lines.push_back({{}, {}, std::string(text)});
                  }));
  return lines;
}

std::string joined_lines(const std::vector<StepLine>& lines) {
  std::string text;
  for (const StepLine& line : lines) {
    text += line.text;
    text += '\n';
  }
  return text;
}

// Replaces the file where it has another text; one without any lines goes, if it may.
Status put_lines(const fs::path& path, const std::vector<StepLine>& lines, bool may_go) {
  NARU_ASSIGN(const bool is_there, is_anything(path));
  if (lines.empty() && may_go) {
    if (!is_there || ::unlink(path.c_str()) == 0) return {};
    return Error{Code::kUnavailable, fmt::format("removing {}: {}; check that its folder may be written", path.string(),
                                                 std::strerror(errno))};
  }
  const std::string text = joined_lines(lines);
  if (is_there) {
    NARU_ASSIGN(const MappedFile old, MappedFile::open(path));
    if (as_text(old.bytes()) == text) return {};
  } else if (text.empty()) {
    return {};
  }
  NARU_ASSIGN(AtomicFile file, AtomicFile::create(path));
  NARU_TRY(file.write(as_bytes(text)));
  return file.commit();
}

}  // namespace

fs::path aside_of(const fs::path& lines) {
  return lines.parent_path() / (lines.stem().string() + ".aside" + lines.extension().string());
}

Result<LineRewind> LineRewind::plan(const fs::path& path, int64_t step) {
  LineRewind rewind;
  rewind.path_ = path;
  std::vector<StepLine>&kept = rewind.kept_, &aside = rewind.aside_;
  if (::access(path.c_str(), W_OK) != 0 && errno != ENOENT) {
    return Error{Code::kUnavailable,
                 fmt::format("opening {}: {}; check that it may be written", path.string(), std::strerror(errno))};
  }
  NARU_ASSIGN(std::vector<StepLine> lines, read_lines(path));
  NARU_ASSIGN(const std::vector<StepLine> before, read_lines(aside_of(path)));
  int64_t reach = -1;
  for (StepLine& line : lines) {
    const bool is_kept = line.step && *line.step <= step;
    if (is_kept) reach = std::max(reach, *line.step);
    (is_kept ? kept : aside).push_back(std::move(line));
  }
  // What was aside before stays there, without what the file has again, or has just given.
  std::set<std::pair<int64_t, std::string>> given;
  std::set<std::string> given_texts;
  for (const StepLine& line : aside) {
    if (line.step) given.emplace(*line.step, line.what);
    if (!line.step) given_texts.insert(line.text);
  }
  for (const StepLine& line : before) {
    const bool is_past = line.step && *line.step <= reach;
    const bool is_given = line.step ? given.contains({*line.step, line.what}) : given_texts.contains(line.text);
    if (!is_past && !is_given) aside.push_back(line);
  }
  std::stable_sort(aside.begin(), aside.end(), [](const StepLine& a, const StepLine& b) { return a.step < b.step; });
  for (const StepLine& line : aside) {
    if (line.step && *line.step > reach && *line.step <= step) kept.push_back(line);
  }
  return rewind;
}

Status LineRewind::apply() const {
  NARU_TRY(put_lines(aside_of(path_), aside_, true));
  return put_lines(path_, kept_, false);
}

Status settle_lines(const fs::path& path, int64_t step, bool has_later) {
  NARU_ASSIGN(const bool is_there, is_anything(aside_of(path)));
  if (!is_there) return {};
  NARU_ASSIGN(std::vector<StepLine> aside, read_lines(aside_of(path)));
  std::erase_if(aside, [&](const StepLine& line) { return !has_later || !line.step || *line.step <= step; });
  return put_lines(aside_of(path), aside, true);
}

}  // namespace naru::runs
