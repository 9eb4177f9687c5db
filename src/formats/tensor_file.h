// TensorFiles: the tensors of a model, whatever container holds them: one .safetensors file, a Hugging Face
// folder (model.safetensors, or shards named by model.safetensors.index.json), or a .gguf file.
//
// The files are mapped, never copied: bytes() is a view of the mapping, and drop() gives pages back once they are
// packed. Every entry was checked when the files were opened (ranges inside the file, sizes equal to the shapes); a
// file that is cut later is found by check_unchanged(), which a loader calls before it touches each file's bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"
#include "base/result.h"
#include "tensor/dtype.h"

namespace naru::formats {

class GgufIndex;

inline constexpr int64_t kTensorsMax = 200000;                // tensors of one model
inline constexpr int64_t kShardsMax = 10000;                  // files of one model
inline constexpr int64_t kTensorNameBytesMax = 1024;          // bytes of a tensor's name
inline constexpr int64_t kTensorRankMax = 8;                  // dimensions of a tensor
inline constexpr int64_t kSafetensorsHeaderMax = 64ll << 20;  // bytes of a safetensors header
inline constexpr int64_t kIndexBytesMax = 64ll << 20;         // bytes of model.safetensors.index.json

// The weights of a Hugging Face folder: one file, or what an index names.
inline constexpr std::string_view kSingleFileName = "model.safetensors";
inline constexpr std::string_view kShardIndexName = "model.safetensors.index.json";

struct TensorEntry {
  std::string name;  // as in the file: Hugging Face names, or GGUF names
  DType dtype = DType::kF32;
  // The format's word for a kind of elements that naru does not read ("F8_E5M2", "IQ4_NL"); else empty. Such a tensor
  // refuses no file that can do without it: its range was checked, its dtype is kU8, which is no weight's.
  std::string_view unread;
  std::vector<int64_t> shape;  // outermost first: [outputs, inputs]; the inputs of one output are contiguous
  int32_t file_index = 0;
  int64_t offset = 0;  // first byte in its file
  int64_t bytes = 0;

  // Product of the dimensions; known to fit.
  int64_t n_elements() const;
  // "[2, 3]"
  std::string shape_text() const;
};

// Called with bytes done and bytes in all; returning false cancels.
using ProgressCallback = std::function<bool(int64_t done, int64_t total)>;

struct FileDigest {
  std::string name;  // file name without its folder
  int64_t bytes = 0;
  std::string sha256;  // lower-case hex
};

// The files that an index names, ascending: plain names that end in .safetensors. `name` is for messages.
Result<std::vector<std::string>> shard_names(Bytes index, std::string_view name);

class TensorFiles {
 public:
  // A .safetensors file, a .gguf file, or a folder with one of model.safetensors, model.safetensors.index.json, or
  // exactly one .gguf file.
  static Result<TensorFiles> open(const std::filesystem::path& path);

  TensorFiles(TensorFiles&&) noexcept;
  TensorFiles& operator=(TensorFiles&&) noexcept;
  ~TensorFiles();

  // Entries in order of (file, offset, name).
  const std::vector<TensorEntry>& entries() const;
  // Nothing where the model has no such tensor.
  const TensorEntry* find(std::string_view name) const;

  // The stored bytes of an entry of this object.
  Bytes bytes(const TensorEntry& entry) const;
  // Tells the system that bytes [offset, offset + n) of the entry will not be read again soon.
  void drop(const TensorEntry& entry, int64_t offset, int64_t n) const;
  // kUnavailable where a file changed since it was opened (MappedFile::check_unchanged).
  Status check_unchanged() const;

  // The GGUF metadata, or nullptr where the files are safetensors. Lives as long as this object.
  const GgufIndex* gguf() const;
  // The folder that holds the files (where config.json and tokenizer.json would be).
  const std::filesystem::path& folder() const;

  int64_t n_files() const;
  const std::filesystem::path& file_path(int64_t file_index) const;
  int64_t file_bytes_total() const;    // of the files
  int64_t tensor_bytes_total() const;  // of the tensors

  // SHA-256 of every file, computed at the first call and kept.
  Result<std::vector<FileDigest>> digests(const ProgressCallback& progress = {});

 private:
  struct State;
  explicit TensorFiles(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace naru::formats
