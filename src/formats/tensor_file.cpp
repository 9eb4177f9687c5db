// Opening: which container a path is, the shards of a folder, and one table of entries over all files.
#include "formats/tensor_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>

#include "base/checked.h"
#include "base/sha256.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "formats/utf8.h"

namespace naru::formats {
namespace {

namespace fs = std::filesystem;

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// A clone without git-lfs leaves a small text in the place of each large file.
Status check_no_pointer(const MappedFile& file) {
  if (as_text(file.bytes()).substr(0, 23) != "version https://git-lfs") return {};
  return Error{
      Code::kCorrupt,
      fmt::format("opening {}: it is a git-lfs pointer of {} bytes, the model itself was wanted; run `git lfs pull` "
                  "in its folder or download the file",
                  file.path().string(), file.size())};
}

Result<MappedFile> open_file(const fs::path& path) {
  NARU_ASSIGN(MappedFile file, MappedFile::open(path));
  NARU_TRY(check_no_pointer(file));
  return file;
}

// A shard is a plain file name, so an index can name no other folder.
bool is_plain_name(std::string_view name) {
  constexpr std::string_view kEnding = ".safetensors";
  return name.size() > kEnding.size() && name.size() <= 255 && name.ends_with(kEnding) && name[0] != '.' &&
         name.find_first_of("/\\") == std::string_view::npos && !has_control_characters(name);
}

struct ShardMap {
  std::vector<std::string> shards;          // ascending
  std::map<std::string, int32_t> shard_of;  // tensor name -> index into shards
};

Result<ShardMap> parse_shard_map(Bytes json, std::string_view name) {
  NARU_ASSIGN(const nlohmann::json document, parse_json(json, name, {.bytes_max = kIndexBytesMax, .depth_max = 8}));
  NARU_ASSIGN(const JsonObject root, JsonObject::of(document, name));
  NARU_ASSIGN(const JsonObject weights, root.get_object("weight_map"));
  constexpr std::string_view kNext = "the index is damaged; get it again";
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : weights.value().items()) {
    if (!shard.is_string() || !is_plain_name(shard.get_ref<const std::string&>())) {
      return weights.wrong(Code::kCorrupt, tensor, json_brief(shard),
                           "the name of a .safetensors file in the same folder", kNext);
    }
    shards.insert(shard.get<std::string>());
  }
  if (shards.empty()) return root.wrong(Code::kCorrupt, "weight_map", "empty", "at least one tensor", kNext);
  if (static_cast<int64_t>(shards.size()) > kShardsMax) {
    return root.wrong(Code::kCorrupt, "weight_map", fmt::format("a map to {} files", shards.size()),
                      fmt::format("at most {}", kShardsMax), kNext);
  }
  ShardMap map;
  map.shards.assign(shards.begin(), shards.end());
  for (const auto& [tensor, shard] : weights.value().items()) {
    const auto place = std::lower_bound(map.shards.begin(), map.shards.end(), shard.get_ref<const std::string&>());
    map.shard_of.emplace(tensor, static_cast<int32_t>(place - map.shards.begin()));
  }
  return map;
}

// The one .gguf file of a folder.
Result<fs::path> find_gguf(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code code;
  for (fs::directory_iterator place(folder, code), end; !code && place != end && found.size() < 2;
       place.increment(code)) {
    if (place->path().extension() == ".gguf") found.push_back(place->path());
  }
  if (code) {
    return Error{Code::kUnavailable,
                 fmt::format("opening {}: {}; check that the folder may be read", folder.string(), code.message())};
  }
  if (found.size() == 1) return found[0];
  if (found.empty()) {
    return Error{Code::kNotFound,
                 fmt::format("opening {}: the folder has none of {}, {} and a .gguf file; give the folder of "
                             "a model in safetensors form, or a .gguf file",
                             folder.string(), kSingleFileName, kShardIndexName)};
  }
  return Error{
      Code::kInvalidArgument,
      fmt::format("opening {}: the folder has several .gguf files, one was wanted; give the path of the one to use",
                  folder.string())};
}

}  // namespace

int64_t TensorEntry::n_elements() const {
  int64_t product = 1;
  for (const int64_t dim : shape) product *= dim;
  return product;
}

std::string TensorEntry::shape_text() const {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

Result<std::vector<std::string>> shard_names(Bytes index, std::string_view name) {
  NARU_ASSIGN(ShardMap map, parse_shard_map(index, name));
  return std::move(map.shards);
}

struct TensorFiles::State {
  fs::path folder;
  std::vector<MappedFile> files;
  std::vector<TensorEntry> entries;
  std::vector<int32_t> by_name;  // indices into entries
  std::unique_ptr<GgufIndex> gguf;
  std::vector<FileDigest> digests;
  int64_t tensor_bytes = 0;

  const std::string& name_of(int32_t i) const { return entries[static_cast<size_t>(i)].name; }

  Status add_safetensors(MappedFile file) {
    NARU_ASSIGN(SafetensorsIndex index, parse_safetensors(file.bytes(), file.path().string()));
    const auto file_index = static_cast<int32_t>(files.size());
    for (SafetensorsEntry& entry : index.entries) {
      entries.push_back({.name = std::move(entry.name),
                         .dtype = entry.dtype,
                         .unread = entry.unread,
                         .shape = std::move(entry.shape),
                         .file_index = file_index,
                         .offset = index.data_begin + entry.begin,
                         .bytes = entry.end - entry.begin});
    }
    if (static_cast<int64_t>(entries.size()) > kTensorsMax) {
      return Error{Code::kCorrupt,
                   fmt::format("opening {}: its files hold more than {} tensors, the most that is read; "
                               "merge some of them",
                               folder.string(), kTensorsMax)};
    }
    files.push_back(std::move(file));
    return {};
  }

  Status add_gguf(MappedFile file) {
    NARU_ASSIGN(GgufIndex index, parse_gguf(file.bytes(), file.path().string()));
    NARU_ASSIGN(const auto splits, index.find_int("split.count", 0, 65535));
    if (splits.value_or(0) > 1) {
      return Error{Code::kUnsupported,
                   fmt::format("opening {}: it is one of {} parts of a split GGUF file, a whole file was "
                               "wanted; merge the parts with `llama-gguf-split --merge`",
                               file.path().string(), *splits)};
    }
    for (const GgufTensor& tensor : index.tensors()) {
      entries.push_back({tensor.name, tensor.dtype, tensor.unread, tensor.shape, 0, tensor.offset, tensor.bytes});
    }
    gguf = std::make_unique<GgufIndex>(std::move(index));
    files.push_back(std::move(file));
    return {};
  }

  Status add_shards(const fs::path& index_path) {
    NARU_ASSIGN(const std::string text, read_file(index_path, kIndexBytesMax));
    NARU_ASSIGN(const ShardMap map, parse_shard_map(as_bytes(text), index_path.string()));
    for (const std::string& shard : map.shards) {
      NARU_ASSIGN(MappedFile file, open_file(folder / shard));
      NARU_TRY(add_safetensors(std::move(file)));
    }
    NARU_TRY(sort_names());
    for (const auto& [tensor, shard] : map.shard_of) {
      const TensorEntry* entry = find(tensor);
      if (entry == nullptr || entry->file_index != shard) {
        return Error{
            Code::kCorrupt,
            fmt::format("reading {}: weight_map says that tensor '{}' is in {}, and it is {}; get the index and "
                        "the files of one download",
                        index_path.string(), printable(tensor), map.shards[static_cast<size_t>(shard)],
                        entry == nullptr ? "not there" : "in " + map.shards[static_cast<size_t>(entry->file_index)])};
      }
    }
    return {};
  }

  Status sort_names() {
    by_name.resize(entries.size());
    for (size_t i = 0; i < by_name.size(); ++i) by_name[i] = static_cast<int32_t>(i);
    std::sort(by_name.begin(), by_name.end(), [&](int32_t a, int32_t b) { return name_of(a) < name_of(b); });
    for (size_t i = 1; i < by_name.size(); ++i) {
      if (name_of(by_name[i - 1]) == name_of(by_name[i])) {
        return Error{Code::kCorrupt,
                     fmt::format("opening {}: the tensor '{}' is in two of its files; get the files again",
                                 folder.string(), printable(name_of(by_name[i])))};
      }
    }
    return {};
  }

  const TensorEntry* find(std::string_view name) const {
    const auto place = std::lower_bound(by_name.begin(), by_name.end(), name,
                                        [&](int32_t i, std::string_view wanted) { return name_of(i) < wanted; });
    return place != by_name.end() && name_of(*place) == name ? &entries[static_cast<size_t>(*place)] : nullptr;
  }

  Status add_one_file(const fs::path& path) {
    NARU_ASSIGN(MappedFile file, open_file(path));
    if (as_text(file.bytes()).substr(0, 4) == "GGUF" || path.extension() == ".gguf") return add_gguf(std::move(file));
    if (path.extension() == ".safetensors") return add_safetensors(std::move(file));
    return Error{Code::kUnsupported,
                 fmt::format("opening {}: it is neither a .gguf nor a .safetensors file; give one of "
                             "these, or the folder of a model in safetensors form",
                             path.string())};
  }

  Status add_folder() {
    if (is_there(folder / kSingleFileName)) return add_one_file(folder / kSingleFileName);
    if (is_there(folder / kShardIndexName)) return add_shards(folder / kShardIndexName);
    NARU_ASSIGN(const fs::path gguf_path, find_gguf(folder));
    return add_one_file(gguf_path);
  }
};

TensorFiles::TensorFiles(std::unique_ptr<State> state) : state_(std::move(state)) {}
TensorFiles::TensorFiles(TensorFiles&&) noexcept = default;
TensorFiles& TensorFiles::operator=(TensorFiles&&) noexcept = default;
TensorFiles::~TensorFiles() = default;

Result<TensorFiles> TensorFiles::open(const std::filesystem::path& path) {
  auto state = std::make_unique<State>();
  if (is_folder(path)) {
    state->folder = path;
    NARU_TRY(state->add_folder());
  } else {
    state->folder = path.parent_path().empty() ? fs::path(".") : path.parent_path();
    NARU_TRY(state->add_one_file(path));
  }
  NARU_TRY(state->sort_names());
  for (const TensorEntry& entry : state->entries) state->tensor_bytes += entry.bytes;
  return TensorFiles(std::move(state));
}

const std::vector<TensorEntry>& TensorFiles::entries() const {
  return state_->entries;
}
const TensorEntry* TensorFiles::find(std::string_view name) const {
  return state_->find(name);
}
const GgufIndex* TensorFiles::gguf() const {
  return state_->gguf.get();
}
const std::filesystem::path& TensorFiles::folder() const {
  return state_->folder;
}
int64_t TensorFiles::n_files() const {
  return static_cast<int64_t>(state_->files.size());
}
int64_t TensorFiles::tensor_bytes_total() const {
  return state_->tensor_bytes;
}

const std::filesystem::path& TensorFiles::file_path(int64_t file_index) const {
  NARU_CHECK(file_index >= 0 && file_index < n_files(), file_index, n_files());
  return state_->files[static_cast<size_t>(file_index)].path();
}

int64_t TensorFiles::file_bytes_total() const {
  int64_t total = 0;
  for (const MappedFile& file : state_->files) total += file.size();
  return total;
}

Bytes TensorFiles::bytes(const TensorEntry& entry) const {
  NARU_CHECK(entry.file_index >= 0 && entry.file_index < n_files(), entry.name, entry.file_index);
  const MappedFile& file = state_->files[static_cast<size_t>(entry.file_index)];
  NARU_CHECK(entry.offset >= 0 && entry.bytes >= 0 && entry.bytes <= file.size() - entry.offset, entry.name,
             entry.offset, entry.bytes, file.size());
  return file.bytes().subspan(static_cast<size_t>(entry.offset), static_cast<size_t>(entry.bytes));
}

void TensorFiles::drop(const TensorEntry& entry, int64_t offset, int64_t n) const {
  NARU_CHECK(offset >= 0 && n >= 0 && n <= entry.bytes - offset, entry.name, offset, n, entry.bytes);
  state_->files[static_cast<size_t>(entry.file_index)].drop_pages(entry.offset + offset, n);
}

Status TensorFiles::check_unchanged() const {
  for (const MappedFile& file : state_->files) NARU_TRY(file.check_unchanged());
  return {};
}

Result<std::vector<FileDigest>> TensorFiles::digests(const ProgressCallback& progress) {
  constexpr int64_t kChunk = 8 << 20;
  if (!state_->digests.empty()) return state_->digests;
  std::vector<FileDigest> digests;
  int64_t done = 0;
  const int64_t total = file_bytes_total();
  for (const MappedFile& file : state_->files) {
    Sha256 hash;
    for (int64_t offset = 0; offset < file.size(); offset += kChunk) {
      NARU_TRY(check_unchanged());
      const int64_t n = std::min(kChunk, file.size() - offset);
      hash.update(file.bytes().subspan(static_cast<size_t>(offset), static_cast<size_t>(n)));
      file.drop_pages(offset, n);
      done += n;
      if (progress && !progress(done, total)) {
        return Error{Code::kCancelled, fmt::format("hashing {}: stopped at byte {}; run it again to have its SHA-256",
                                                   file.path().string(), offset + n)};
      }
    }
    NARU_TRY(file.check_unchanged());
    digests.push_back({file.path().filename().string(), file.size(), hash.finish_hex()});
  }
  state_->digests = digests;
  return digests;
}

}  // namespace naru::formats
