// Writes a safetensors file piece by piece: first every tensor's name, dtype and shape, then the bytes in that order,
// in chunks of any size. The file appears under its name only when it is whole.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"
#include "base/result.h"
#include "base/sha256.h"
#include "tensor/dtype.h"

namespace naru::formats {

class SafetensorsWriter {
 public:
  // Before begin().
  void add_metadata(std::string key, std::string value);
  Status add_tensor(std::string name, DType dtype, std::vector<int64_t> shape);

  // Writes the header. The data begins at a multiple of 8.
  Status begin(const std::filesystem::path& path);  // replaces what is there
  Status begin(AtomicFile file);
  // Bytes of the tensors in the order they were added.
  Status write(Bytes bytes);
  // Every byte must have been written; syncs and renames.
  Status finish();

  // After finish(): what the file has become.
  int64_t file_bytes() const { return header_bytes_ + data_bytes_; }
  const std::string& sha256() const { return sha256_; }

  // Bytes of all tensors added.
  int64_t data_bytes() const { return data_bytes_; }

 private:
  struct Tensor {
    std::string name;
    DType dtype;
    std::vector<int64_t> shape;
    int64_t begin;
    int64_t end;
  };
  std::string header() const;
  Status write_hashed(Bytes bytes);

  std::vector<std::pair<std::string, std::string>> metadata_;
  std::vector<Tensor> tensors_;
  std::optional<AtomicFile> file_;
  std::string path_;
  Sha256 hash_;
  std::string sha256_;
  int64_t header_bytes_ = 0;
  int64_t data_bytes_ = 0;
  int64_t written_ = 0;
};

}  // namespace naru::formats
