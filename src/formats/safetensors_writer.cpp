// The header is made by hand in the order of the tensors, so that the same tensors give the same bytes.
#include "formats/safetensors_writer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/checked.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "formats/tensor_file.h"
#include "formats/utf8.h"

namespace naru::formats {
void SafetensorsWriter::add_metadata(std::string key, std::string value) {
  NARU_CHECK(!file_, "metadata after begin()");
  metadata_.emplace_back(std::move(key), std::move(value));
}

Status SafetensorsWriter::add_tensor(std::string name, DType dtype, std::vector<int64_t> shape) {
  NARU_CHECK(!file_, "a tensor after begin()");
  if (safetensors_dtype_name(dtype).empty()) {
    return Error{Code::kUnsupported,
                 fmt::format("writing tensor '{}': safetensors has no {}; write a float kind or a GGUF file",
                             printable(name), dtype_name(dtype))};
  }
  std::optional<int64_t> elements = 1;
  for (const int64_t dim : shape) {
    if (elements) elements = dim >= 0 ? checked_mul(*elements, dim) : std::nullopt;
  }
  const auto bytes = elements ? dtype_bytes(dtype, *elements) : std::nullopt;
  const auto end = bytes ? checked_add(data_bytes_, *bytes) : std::nullopt;
  if (!end || name.empty() || name == "__metadata__" || static_cast<int64_t>(name.size()) > kTensorNameBytesMax ||
      static_cast<int64_t>(shape.size()) > kTensorRankMax || !is_valid_utf8(name) || has_control_characters(name)) {
    return Error{Code::kInvalidArgument,
                 fmt::format("writing tensor '{}' [{}]: its name or shape cannot be written; choose others",
                             printable(name), fmt::join(shape, ", "))};
  }
  tensors_.push_back({std::move(name), dtype, std::move(shape), data_bytes_, *end});
  data_bytes_ = *end;
  return {};
}

std::string SafetensorsWriter::header() const {
  std::string text = "{";
  if (!metadata_.empty()) {
    text += "\"__metadata__\":{";
    for (size_t i = 0; i < metadata_.size(); ++i) {
      text +=
          fmt::format("{}{}:{}", i == 0 ? "" : ",", json_quoted(metadata_[i].first), json_quoted(metadata_[i].second));
    }
    text += '}';
  }
  for (const Tensor& tensor : tensors_) {
    text += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                        text.size() == 1 ? "" : ",", json_quoted(tensor.name), safetensors_dtype_name(tensor.dtype),
                        fmt::join(tensor.shape, ","), tensor.begin, tensor.end);
  }
  text += '}';
  while (text.size() % 8 != 0) text += ' ';
  return text;
}

Status SafetensorsWriter::begin(const std::filesystem::path& path) {
  NARU_ASSIGN(AtomicFile file, AtomicFile::create(path));
  return begin(std::move(file));
}

Status SafetensorsWriter::begin(AtomicFile file) {
  NARU_CHECK(!file_, "begin() twice");
  path_ = file.path().string();
  const std::string text = header();
  if (static_cast<int64_t>(text.size()) > kSafetensorsHeaderMax) {
    return Error{Code::kInvalidArgument,
                 fmt::format("writing {}: its header would have {} bytes, at most {} are legal; write "
                             "several files",
                             path_, text.size(), kSafetensorsHeaderMax)};
  }
  file_.emplace(std::move(file));
  const uint64_t size = text.size();
  header_bytes_ = static_cast<int64_t>(sizeof(size) + text.size());
  NARU_TRY(write_hashed(std::as_bytes(std::span(&size, 1))));
  return write_hashed(as_bytes(text));
}

Status SafetensorsWriter::write(Bytes bytes) {
  NARU_CHECK(file_.has_value(), "write() before begin()");
  NARU_CHECK(static_cast<int64_t>(bytes.size()) <= data_bytes_ - written_, path_, bytes.size(), written_, data_bytes_);
  written_ += static_cast<int64_t>(bytes.size());
  return write_hashed(bytes);
}

Status SafetensorsWriter::write_hashed(Bytes bytes) {
  hash_.update(bytes);
  return file_->write(bytes);
}

Status SafetensorsWriter::finish() {
  NARU_CHECK(file_.has_value(), "finish() before begin()");
  NARU_CHECK(written_ == data_bytes_, path_, written_, data_bytes_);
  sha256_ = hash_.finish_hex();
  return file_->commit();
}

}  // namespace naru::formats
