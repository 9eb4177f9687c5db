// A NumPy file (.npy, format version 1.0, little-endian float32, C order), written row by row; it appears under its
// name only when it is whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

#include "base/file.h"

namespace naru::cli {

class NpyWriter {
 public:
  static Result<NpyWriter> create(const std::filesystem::path& path, Existing existing, int64_t rows, int64_t cols);

  // Whole rows, in order.
  Status write(std::span<const float> rows);
  // All rows must have been written.
  Status finish();

 private:
  explicit NpyWriter(AtomicFile file, int64_t values) : file_(std::move(file)), values_left_(values) {}
  AtomicFile file_;
  int64_t values_left_;
};

// The header of a float32 array [rows, cols].
std::string npy_header(int64_t rows, int64_t cols);

}  // namespace naru::cli
