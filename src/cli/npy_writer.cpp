#include "cli/npy_writer.h"

#include <fmt/format.h>

#include "base/checked.h"

namespace naru::cli {
namespace fs = std::filesystem;

std::string npy_header(int64_t rows, int64_t cols) {
  // Magic, version, length of the rest; the data begins at a multiple of 64.
  constexpr int64_t kBeforeText = 10;
  std::string text = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, cols);
  const auto size = static_cast<int64_t>(text.size());
  text.append(static_cast<size_t>(round_up(kBeforeText + size + 1, 64) - kBeforeText - size - 1), ' ');
  text += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(text.size() & 0xff);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

Result<NpyWriter> NpyWriter::create(const fs::path& path, Existing existing, int64_t rows, int64_t cols) {
  NARU_ASSIGN(AtomicFile file, AtomicFile::create(path, existing));
  NARU_TRY(file.write(as_bytes(npy_header(rows, cols))));
  return NpyWriter(std::move(file), rows * cols);
}

Status NpyWriter::write(std::span<const float> rows) {
  NARU_CHECK(static_cast<int64_t>(rows.size()) <= values_left_, rows.size(), values_left_);
  values_left_ -= static_cast<int64_t>(rows.size());
  return file_.write(std::as_bytes(rows));
}

Status NpyWriter::finish() {
  NARU_CHECK(values_left_ == 0, values_left_);
  return file_.commit();
}

}  // namespace naru::cli
