// The metadata table grows as text in memory; tensors' bytes only pass through.
#include "formats/gguf_writer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/checked.h"
#include "formats/gguf.h"
#include "formats/utf8.h"

namespace naru::formats {
namespace {

template <typename T>
void append(std::string* out, T value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  out->append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void append_text(std::string* out, std::string_view text) {
  append<uint64_t>(out, text.size());
  out->append(text);
}

template <typename T>
void append_array(std::string* out, GgufType type, std::span<const T> values) {
  append<uint32_t>(out, static_cast<uint32_t>(type));
  append<uint64_t>(out, values.size());
  for (const T value : values) append(out, value);
}

}  // namespace

void GgufWriter::start_value(std::string_view key, uint32_t type) {
  NARU_CHECK(!file_, key, "after begin()");
  append_text(&values_, key);
  append(&values_, type);
  ++n_values_;
}

void GgufWriter::add_u32(std::string_view key, uint32_t value) {
  start_value(key, static_cast<uint32_t>(GgufType::kU32));
  append(&values_, value);
}
void GgufWriter::add_i32(std::string_view key, int32_t value) {
  start_value(key, static_cast<uint32_t>(GgufType::kI32));
  append(&values_, value);
}
void GgufWriter::add_u64(std::string_view key, uint64_t value) {
  start_value(key, static_cast<uint32_t>(GgufType::kU64));
  append(&values_, value);
}
void GgufWriter::add_f32(std::string_view key, float value) {
  start_value(key, static_cast<uint32_t>(GgufType::kF32));
  append(&values_, value);
}
void GgufWriter::add_bool(std::string_view key, bool value) {
  start_value(key, static_cast<uint32_t>(GgufType::kBool));
  append<uint8_t>(&values_, value ? 1 : 0);
}
void GgufWriter::add_string(std::string_view key, std::string_view value) {
  start_value(key, static_cast<uint32_t>(GgufType::kString));
  append_text(&values_, value);
}
void GgufWriter::add_strings(std::string_view key, std::span<const std::string> values) {
  start_value(key, static_cast<uint32_t>(GgufType::kArray));
  append<uint32_t>(&values_, static_cast<uint32_t>(GgufType::kString));
  append<uint64_t>(&values_, values.size());
  for (const std::string& value : values) append_text(&values_, value);
}
void GgufWriter::add_i32s(std::string_view key, std::span<const int32_t> values) {
  start_value(key, static_cast<uint32_t>(GgufType::kArray));
  append_array(&values_, GgufType::kI32, values);
}
void GgufWriter::add_f32s(std::string_view key, std::span<const float> values) {
  start_value(key, static_cast<uint32_t>(GgufType::kArray));
  append_array(&values_, GgufType::kF32, values);
}

Status GgufWriter::add_tensor(std::string name, DType dtype, std::vector<int64_t> shape) {
  NARU_CHECK(!file_, "a tensor after begin()");
  if (!gguf_type_of(dtype)) {
    return Error{Code::kUnsupported, fmt::format("writing tensor '{}': GGUF has no {}; choose another kind",
                                                 printable(name), dtype_name(dtype))};
  }
  std::optional<int64_t> elements = 1;
  for (const int64_t dim : shape) {
    if (elements) elements = dim >= 1 ? checked_mul(*elements, dim) : std::nullopt;
  }
  const bool fits = !shape.empty() && static_cast<int64_t>(shape.size()) <= kGgufRankMax &&
                    shape.back() % dtype_info(dtype).block_elements == 0;
  const auto bytes = elements && fits ? dtype_bytes(dtype, *elements) : std::nullopt;
  const auto end = bytes ? checked_add(data_bytes_, *bytes) : std::nullopt;
  const auto padded = end ? checked_align_up(*end, kAlignment) : std::nullopt;
  if (!padded || name.empty() || static_cast<int64_t>(name.size()) > kGgufNameBytesMax ||
      has_control_characters(name)) {
    return Error{
        Code::kInvalidArgument,
        fmt::format("writing tensor '{}' {} [{}]: its name or shape cannot be written; a name of 1 to {} bytes and "
                    "rows of whole blocks are wanted",
                    printable(name), dtype_name(dtype), fmt::join(shape, ", "), kGgufNameBytesMax)};
  }
  tensors_.push_back({std::move(name), dtype, std::move(shape), data_bytes_, *bytes});
  data_bytes_ = *padded;
  return {};
}

std::string GgufWriter::head() const {
  std::string out = "GGUF";
  append<uint32_t>(&out, 3);
  append<uint64_t>(&out, tensors_.size());
  append<uint64_t>(&out, static_cast<uint64_t>(n_values_));
  out += values_;
  for (const Tensor& tensor : tensors_) {
    append_text(&out, tensor.name);
    append<uint32_t>(&out, static_cast<uint32_t>(tensor.shape.size()));
    for (auto dim = tensor.shape.rbegin(); dim != tensor.shape.rend(); ++dim)
      append<uint64_t>(&out, static_cast<uint64_t>(*dim));
    append<uint32_t>(&out, *gguf_type_of(tensor.dtype));
    append<uint64_t>(&out, static_cast<uint64_t>(tensor.offset));
  }
  out.resize(static_cast<size_t>(round_up(static_cast<int64_t>(out.size()), kAlignment)), '\0');
  return out;
}

int64_t GgufWriter::file_bytes() const {
  return static_cast<int64_t>(head().size()) + data_bytes_;
}

Status GgufWriter::begin(const std::filesystem::path& path) {
  NARU_ASSIGN(AtomicFile file, AtomicFile::create(path));
  return begin(std::move(file));
}

Status GgufWriter::begin(AtomicFile file) {
  NARU_CHECK(!file_, "begin() twice");
  path_ = file.path().string();
  file_.emplace(std::move(file));
  return put(as_bytes(head()));
}

Status GgufWriter::put(Bytes bytes) {
  hash_.update(bytes);
  return file_->write(bytes);
}

Status GgufWriter::pad(int64_t n) {
  const std::string zeros(static_cast<size_t>(n), '\0');
  return put(as_bytes(zeros));
}

Status GgufWriter::write(Bytes bytes) {
  NARU_CHECK(file_.has_value(), "write() before begin()");
  while (!bytes.empty()) {
    NARU_CHECK(tensor_ < tensors_.size(), path_, "bytes after the last tensor");
    const Tensor& tensor = tensors_[tensor_];
    const auto n = std::min(static_cast<int64_t>(bytes.size()), tensor.bytes - written_);
    NARU_TRY(put(bytes.first(static_cast<size_t>(n))));
    bytes = bytes.subspan(static_cast<size_t>(n));
    written_ += n;
    if (written_ == tensor.bytes) {
      NARU_TRY(pad(round_up(tensor.bytes, kAlignment) - tensor.bytes));
      ++tensor_;
      written_ = 0;
    }
  }
  return {};
}

Status GgufWriter::finish() {
  return take_file().commit();
}

AtomicFile GgufWriter::take_file() {
  NARU_CHECK(file_.has_value(), "finish() before begin()");
  NARU_CHECK(tensor_ == tensors_.size() && written_ == 0, path_, tensor_, tensors_.size(), written_);
  sha256_ = hash_.finish_hex();
  return *std::move(file_);
}

}  // namespace naru::formats
