// What run.json says of a run of kind rejection. None of it is trusted.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/open_file.h"
#include "formats/json.h"
#include "runs/json_lines.h"
#include "runs/run_files.h"
#include "samples/sampler.h"

namespace naru::samples {
namespace {

namespace fs = std::filesystem;

FileMark mark_of(const nlohmann::json& info, const char* bytes, const char* sha256) {
  return {std::max<int64_t>(0, runs::json_whole(info, bytes).value_or(0)), runs::json_text_of(info, sha256)};
}

}  // namespace

Result<std::optional<SampleRecord>> read_record(const fs::path& run_folder) {
  const fs::path path = run_folder / runs::kRunFile;
  NARU_ASSIGN(const bool is_there, is_anything(path));
  if (!is_there) return std::optional<SampleRecord>();
  NARU_ASSIGN(const std::string text, read_file(path, runs::kRunFileBytesMax));
  NARU_ASSIGN(const nlohmann::json info, formats::parse_json(as_bytes(text), path.string()));
  if (!info.is_object()) {
    return Error{Code::kCorrupt,
                 fmt::format("reading {}: it is no object, the record of a run was wanted; begin the run "
                             "anew with --start-over",
                             path.string())};
  }
  SampleRecord record;
  record.status = runs::json_text_of(info, "status");
  record.problems = std::max<int64_t>(0, runs::json_whole(info, "steps").value_or(0));
  record.problems_done = std::max<int64_t>(0, runs::json_whole(info, "step").value_or(0));
  record.kept = std::max<int64_t>(0, runs::json_whole(info, "kept").value_or(0));
  record.model_sha256 = runs::json_text_of(info, "model_sha256");
  record.samples = mark_of(info, "samples_bytes", "samples_sha256");
  record.dropped = mark_of(info, "dropped_bytes", "dropped_sha256");
  return std::optional<SampleRecord>(std::move(record));
}

Status check_files(const fs::path& run_folder, const SampleRecord& record) {
  for (const auto& [name, mark] : {std::pair<const char*, const FileMark*>{runs::kSamplesFile, &record.samples},
                                   {runs::kDroppedFile, &record.dropped}}) {
    NARU_ASSIGN(const GrowingFile file,
                GrowingFile::open(run_folder / name, *mark, [](std::string_view, int64_t) { return Status(); }));
    NARU_TRY(file.check_end());
  }
  return {};
}

}  // namespace naru::samples
