#include "train/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>

#include "base/file.h"
#include "base/folder.h"
#include "formats/safetensors_writer.h"
#include "train/checkpoint_manifest.h"

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
  const size_t mark = name.find(kPartialMark);
  return mark != std::string::npos && step_of(name.substr(0, mark)).has_value();
}

// Calls `each` with the name of every folder under `parent`, in no order; nothing where there is no such folder.
Status for_each_folder(const fs::path& parent, const std::function<void(const std::string& name)>& each) {
  std::error_code code;
  if (!fs::exists(parent, code) && (!code || code == std::errc::no_such_file_or_directory)) return {};
  std::error_code ignored;
  for (fs::directory_iterator place(parent, code), end; !code && place != end; place.increment(code)) {
    if (place->is_directory(ignored)) each(place->path().filename().string());
  }
  if (!code) return {};
  return Error{Code::kUnavailable, fmt::format("looking for checkpoints in {}: {}; check that the folder may be read",
                                               parent.string(), code.message())};
}

Result<CheckpointFile> write_file(const fs::path& folder, const FileToWrite& file) {
  CheckpointFile written{file.name + ".safetensors", 0, {}};
  NARU_CHECK(is_checkpoint_file_name(written.name), file.name);
  formats::SafetensorsWriter writer;
  int64_t n_max = 0;
  std::vector<int64_t> sizes;
  for (const TensorToWrite& tensor : file.tensors) {
    const int64_t before = writer.data_bytes();
    NARU_TRY(writer.add_tensor(tensor.name, DType::kF32, tensor.shape));
    sizes.push_back((writer.data_bytes() - before) / 4);
    n_max = std::max(n_max, sizes.back());
  }
  NARU_TRY(writer.begin(folder / written.name));
  std::vector<float> values(static_cast<size_t>(n_max));
  for (size_t i = 0; i < sizes.size(); ++i) {
    NARU_TRY(file.tensors[i].read(values.data()));
    NARU_TRY(writer.write(std::as_bytes(std::span(values.data(), static_cast<size_t>(sizes[i])))));
  }
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

Result<CheckpointManifest> read_manifest(const fs::path& folder) {
  const fs::path path = folder / kManifestName;
  NARU_ASSIGN(const std::string text, read_file(path, kManifestBytesMax));
  NARU_ASSIGN(CheckpointManifest manifest, parse_manifest(as_bytes(text), path.string()));
  const auto step = step_of(folder.filename().string());
  if (step && *step != manifest.step) {
    return Error{Code::kCorrupt,
                 fmt::format("reading {}: its step is {}, its folder is called {}; the folder was "
                             "renamed, call it {} again",
                             path.string(), manifest.step, folder.filename().string(), folder_name(manifest.step))};
  }
  return manifest;
}

Error damaged(const fs::path& path, std::string_view found, std::string_view wanted) {
  return {Code::kCorrupt,
          fmt::format("checking {}: it has {}, its manifest says {}; the checkpoint is damaged, an older one may be "
                      "whole",
                      path.string(), found, wanted)};
}

Status check_size(const fs::path& path, const CheckpointFile& file) {
  NARU_ASSIGN(const MappedFile mapped, MappedFile::open(path));
  if (mapped.size() == file.bytes) return {};
  return damaged(path, fmt::format("{} bytes", mapped.size()), fmt::format("{}", file.bytes));
}

// True where the manifest is sound and every file has its size: as far as one can see without reading it all.
bool looks_whole(const fs::path& folder) {
  const auto manifest = read_manifest(folder);
  return manifest.ok() && std::all_of(manifest->files.begin(), manifest->files.end(),
                                      [&](const auto& file) { return check_size(folder / file.name, file).ok(); });
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
  NARU_TRY(for_each_folder(parent, [&](const std::string& name) {
    if (const auto step = step_of(name)) found.push_back({.folder = parent / name, .step = *step, .state_json = {}});
  }));
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.step > b.step; });
  return found;
}

Result<CheckpointInfo> verify_checkpoint(const fs::path& folder) {
  NARU_ASSIGN(CheckpointManifest manifest, read_manifest(folder));
  for (const CheckpointFile& file : manifest.files) {
    const fs::path path = folder / file.name;
    NARU_TRY(check_size(path, file));
    NARU_ASSIGN(formats::TensorFiles tensors, formats::TensorFiles::open(path));
    NARU_ASSIGN(const auto digests, tensors.digests());
    if (digests.front().sha256 != file.sha256) return damaged(path, "another SHA-256", file.sha256);
  }
  return CheckpointInfo{folder, manifest.step, std::move(manifest.state_json)};
}

Result<std::optional<CheckpointInfo>> newest_good_checkpoint(const fs::path& parent, std::vector<std::string>* notes) {
  NARU_ASSIGN(const auto found, list_checkpoints(parent));
  for (const CheckpointInfo& checkpoint : found) {
    auto verified = verify_checkpoint(checkpoint.folder);
    if (verified.ok()) return std::optional<CheckpointInfo>(std::move(*verified));
    if (notes != nullptr) notes->push_back(verified.error().message);
  }
  return std::optional<CheckpointInfo>();
}

Result<formats::TensorFiles> open_checkpoint_file(const CheckpointInfo& checkpoint, const std::string& name) {
  return formats::TensorFiles::open(checkpoint.folder / (name + ".safetensors"));
}

Status prune_checkpoints(const fs::path& parent, int64_t keep, int64_t best_step) {
  std::vector<fs::path> left_over;
  NARU_TRY(for_each_folder(parent, [&](const std::string& name) {
    if (is_left_over(name)) left_over.push_back(parent / name);
  }));
  for (const fs::path& folder : left_over) NARU_TRY(remove_folder(folder));
  NARU_ASSIGN(const auto found, list_checkpoints(parent));
  int64_t kept = 0;
  for (const CheckpointInfo& checkpoint : found) {
    if (!looks_whole(checkpoint.folder)) continue;
    if (kept++ < std::max<int64_t>(keep, 1) || checkpoint.step == best_step) continue;
    NARU_TRY(remove_folder(checkpoint.folder));
  }
  return {};
}

}  // namespace naru::train
