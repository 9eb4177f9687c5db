// Writes a GGUF version 3 file piece by piece: metadata and tensor descriptions first, then the tensors' bytes in the
// same order, in chunks of any size; padding is its own business. The file appears under its name only when it is
// whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"
#include "base/result.h"
#include "base/sha256.h"
#include "tensor/dtype.h"

namespace naru::formats {

class GgufWriter {
 public:
  static constexpr int64_t kAlignment = 32;

  // Before begin(); keys in the order they shall have in the file, each once.
  void add_u32(std::string_view key, uint32_t value);
  void add_i32(std::string_view key, int32_t value);
  void add_u64(std::string_view key, uint64_t value);
  void add_f32(std::string_view key, float value);
  void add_bool(std::string_view key, bool value);
  void add_string(std::string_view key, std::string_view value);
  void add_strings(std::string_view key, std::span<const std::string> values);
  void add_i32s(std::string_view key, std::span<const int32_t> values);
  void add_f32s(std::string_view key, std::span<const float> values);
  // `shape` outermost first, 1 to 4 dimensions.
  Status add_tensor(std::string name, DType dtype, std::vector<int64_t> shape);

  // Writes everything before the tensors' bytes.
  Status begin(const std::filesystem::path& path);  // replaces what is there
  Status begin(AtomicFile file);
  // Bytes of the tensors in the order they were added, without padding.
  Status write(Bytes bytes);
  // Every byte must have been written; syncs and renames.
  Status finish();
  // The same without the end: the whole file, for the caller to look at and commit.
  AtomicFile take_file();

  // The size the file will have.
  int64_t file_bytes() const;
  // Of the whole file, once finish() or take_file() was called.
  const std::string& sha256() const { return sha256_; }

 private:
  struct Tensor {
    std::string name;
    DType dtype;
    std::vector<int64_t> shape;
    int64_t offset;  // from the start of the data
    int64_t bytes;
  };
  void start_value(std::string_view key, uint32_t type);
  std::string head() const;
  Status put(Bytes bytes);
  Status pad(int64_t n);

  std::string values_;  // the metadata table as it will be written
  int64_t n_values_ = 0;
  std::vector<Tensor> tensors_;
  int64_t data_bytes_ = 0;  // up to the end of the last tensor's padding
  std::optional<AtomicFile> file_;
  std::string path_;
  size_t tensor_ = 0;    // the tensor that is being written
  int64_t written_ = 0;  // bytes of it
  Sha256 hash_;
  std::string sha256_;
};

}  // namespace naru::formats
