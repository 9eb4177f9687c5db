// The folder of a run as `naru runs` and the report read it: run.json, metrics.jsonl, samples.jsonl, recipe.toml,
// problems.jsonl and groups.jsonl, in this order, parted by the byte 0x1e. Whatever they hold, the page is UTF-8 and runs
// no script but its own.
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "formats/utf8.h"
#include "runs/report.h"
#include "runs/run_files.h"

namespace {

namespace fs = std::filesystem;
using namespace naru;
using namespace naru::runs;

// One folder for the whole process, gone when it ends.
struct Folder {
  fs::path path = fs::temp_directory_path() / ("naru-fuzz-" + std::to_string(::getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

const fs::path& folder() {
  static const Folder made;
  return made.path;
}

int64_t count(std::string_view text, std::string_view what) {
  int64_t n = 0;
  for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr std::array kFiles = {kRunFile, kMetricsFile, kSamplesFile, kRecipeFile, kProblemsFile, kGroupsFile};
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  for (const char* name : kFiles) {
    const size_t end = std::min(rest.find('\x1e'), rest.size());
    std::ofstream(folder() / name, std::ios::binary) << rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  const auto runs = list_runs(folder());
  NARU_CHECK(runs.ok() && runs->size() == 1);
  const auto& run = runs->front();
  NARU_CHECK(run.step >= 0 && run.steps >= 0 && !run.status.empty(), run.step, run.steps);
  const auto report = read_report_data(folder());
  if (!report.ok()) {
    NARU_CHECK(formats::is_valid_utf8(report.error().message));
    return 0;
  }
  static const int64_t kScripts = count(report_html({}), "<script");
  const std::string html = report_html(*report);
  NARU_CHECK(formats::is_valid_utf8(html));
  NARU_CHECK(count(html, "<script") == kScripts && count(html, "</script") == kScripts);
  return 0;
}
