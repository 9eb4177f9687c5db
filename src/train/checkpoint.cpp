#include "train/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>

#include "base/file.h"
#include "base/file_digest.h"
#include "base/folder.h"
#include "formats/safetensors_writer.h"
#include "train/checkpoint_manifest.h"
#include "train/chip_values.h"

namespace naru::train {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kPrefix = "step-";

std::string folder_name(int64_t step) {
  return fmt::format("{}{:08}", kPrefix, step);
}

// The step of a checkpoint's folder name; nothing for any other name.
std::optional<int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int64_t step = -1;
  const char* const end = name.data() + name.size();
  const auto read = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (read.ec != std::errc() || read.ptr != end || step < 0 || folder_name(step) != name) return std::nullopt;
  return step;
}

bool is_left_over(const std::string& name) {
  const std::string target = name.substr(0, name.rfind(kPartialMark));
  return is_partial_of(name, target) && step_of(target).has_value();
}

// Calls `each` with the name of every entry of `parent`, in no order; nothing where there is no such folder.
Status for_each_entry(const fs::path& parent, const std::function<void(const fs::directory_entry&)>& each) {
  NARU_ASSIGN(const bool is_there, is_anything(parent));
  if (!is_there) return {};
  std::error_code code;
  for (fs::directory_iterator place(parent, code), end; !code && place != end; place.increment(code)) each(*place);
  if (!code) return {};
  return Error{Code::kUnavailable, fmt::format("looking for checkpoints in {}: {}; check that the folder may be read",
                                               parent.string(), code.message())};
}

Result<CheckpointFile> write_file(const fs::path& folder, const FileToWrite& file) {
  CheckpointFile written{file.name + ".safetensors", 0, {}};
  NARU_CHECK(is_checkpoint_file_name(written.name), file.name);
  formats::SafetensorsWriter writer;
  std::vector<int64_t> sizes;
  for (const TensorToWrite& tensor : file.tensors) {
    const int64_t before = writer.data_bytes();
    NARU_TRY(writer.add_tensor(tensor.name, DType::kF32, tensor.shape));
    sizes.push_back((writer.data_bytes() - before) / 4);
  }
  if (!file.bytes.empty()) NARU_TRY(writer.add_tensor(kBytesTensor, DType::kU8, {std::ssize(file.bytes)}));
  NARU_TRY(writer.begin(folder / written.name));
  std::vector<float> values(kPieceFloats);
  for (size_t i = 0; i < sizes.size(); ++i) {
    for (int64_t begin = 0; begin < sizes[i]; begin += kPieceFloats) {
      const std::span piece(values.data(), static_cast<size_t>(std::min(kPieceFloats, sizes[i] - begin)));
      NARU_TRY(file.tensors[i].read(begin, piece));
      NARU_TRY(writer.write(std::as_bytes(piece)));
    }
  }
  NARU_TRY(writer.write(as_bytes(file.bytes)));
  NARU_TRY(writer.finish());
  written.bytes = writer.file_bytes();
  written.sha256 = writer.sha256();
  return written;
}

Status write_whole(const fs::path& target, int64_t step, const std::vector<FileToWrite>& files,
                   const std::string& state_json) {
  NARU_ASSIGN(AtomicFolder folder, AtomicFolder::create(target));
  CheckpointManifest manifest{.step = step, .files = {}, .state_json = state_json};
  for (const FileToWrite& file : files) {
    NARU_ASSIGN(CheckpointFile written, write_file(folder.path(), file));
    manifest.files.push_back(std::move(written));
  }
  NARU_ASSIGN(const std::string text, manifest_text(manifest));
  NARU_ASSIGN(AtomicFile file, AtomicFile::create(folder.path() / kManifestName));
  NARU_TRY(file.write(as_bytes(text)));
  NARU_TRY(file.commit());
  return folder.commit();
}

Error damaged(const fs::path& path, std::string_view found, std::string_view wanted) {
  return {Code::kCorrupt, fmt::format("checking {}: it has {}, its manifest says {}; the checkpoint is damaged, an "
                                      "older one may be whole",
                                      path.string(), found, wanted)};
}

Error missing(const fs::path& path) {
  return {Code::kCorrupt, fmt::format("checking {}: there is no such file, and a checkpoint has one; the checkpoint is "
                                      "damaged, an older one may be whole",
                                      path.string())};
}

Result<CheckpointManifest> read_manifest(const fs::path& folder) {
  const fs::path path = folder / kManifestName;
  NARU_ASSIGN(const bool is_there, is_anything(path));
  if (!is_there) return missing(path);
  auto text = read_file(path, kManifestBytesMax);
  // It has the name, so what is not there is what it leads to.
  if (!text.ok() && text.error().code == Code::kNotFound) return Error{Code::kUnavailable, text.error().message};
  if (!text.ok()) return std::move(text).error();
  NARU_ASSIGN(CheckpointManifest manifest, parse_manifest(as_bytes(*text), path.string()));
  const auto step = step_of(folder.filename().string());
  if (step && *step != manifest.step) {
    return Error{Code::kCorrupt,
                 fmt::format("reading {}: its step is {}, its folder is called {}; the folder was "
                             "renamed, call it {} again",
                             path.string(), manifest.step, folder.filename().string(), folder_name(manifest.step))};
  }
  return manifest;
}

Status verify_file(const fs::path& path, const CheckpointFile& file, const std::function<bool()>& should_stop) {
  auto content = digest_file(path, should_stop);
  if (!content.ok() && content.error().code == Code::kNotFound) return missing(path);
  if (!content.ok()) return std::move(content).error();
  if (content->bytes != file.bytes) {
    return damaged(path, fmt::format("{} bytes", content->bytes), fmt::format("{}", file.bytes));
  }
  return content->sha256 == file.sha256 ? Status() : damaged(path, "another SHA-256", file.sha256);
}

}  // namespace

Status write_checkpoint(const fs::path& parent, int64_t step, const std::vector<FileToWrite>& files,
                        const std::string& state_json) {
  NARU_CHECK(step >= 0 && !files.empty(), step, files.size());
  Status status = write_whole(parent / folder_name(step), step, files, state_json);
  if (status.ok()) return status;
  Error error = std::move(status).error();
  error.message = fmt::format("saving the checkpoint of step {}: {}", step, error.message);
  return error;
}

Result<std::vector<CheckpointInfo>> list_checkpoints(const fs::path& parent) {
  std::vector<CheckpointInfo> found;
  NARU_TRY(for_each_entry(parent, [&](const fs::directory_entry& entry) {
    const auto step = step_of(entry.path().filename().string());
    std::error_code code;
    const bool is_other = entry.is_regular_file(code) && !entry.is_symlink(code);
    if (step && !is_other) found.push_back({.folder = entry.path(), .step = *step, .state_json = {}});
  }));
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.step > b.step; });
  return found;
}

Result<CheckpointInfo> verify_checkpoint(const fs::path& folder, const std::function<bool()>& should_stop) {
  std::error_code code;
  if (!fs::is_directory(folder, code)) {
    return Error{Code::kUnavailable,
                 fmt::format("checking {}: {}, a folder was wanted; put it back, or move away what "
                             "has its name",
                             folder.string(), code ? code.message() : std::string("it leads to none"))};
  }
  NARU_ASSIGN(CheckpointManifest manifest, read_manifest(folder));
  for (const CheckpointFile& file : manifest.files) NARU_TRY(verify_file(folder / file.name, file, should_stop));
  return CheckpointInfo{folder, manifest.step, std::move(manifest.state_json)};
}

Result<formats::TensorFiles> open_checkpoint_file(const CheckpointInfo& checkpoint, const std::string& name) {
  return formats::TensorFiles::open(checkpoint.folder / (name + ".safetensors"));
}

Status remove_unfinished_checkpoints(const fs::path& parent) {
  std::vector<fs::path> left_over;
  NARU_TRY(for_each_entry(parent, [&](const fs::directory_entry& entry) {
    if (is_left_over(entry.path().filename().string()) && !is_being_written(entry.path())) {
      left_over.push_back(entry.path());
    }
  }));
  for (const fs::path& folder : left_over) NARU_TRY(remove_folder(folder));
  return {};
}

}  // namespace naru::train
