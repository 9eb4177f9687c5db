// Parsing of the container: header, metadata table, tensor table, and their checks. Typed access is in
// gguf_values.cpp.
#include "formats/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/checked.h"
#include "formats/tensor_file.h"
#include "formats/utf8.h"

namespace naru::formats {
namespace {

constexpr std::string_view kGetAgain = "the file is damaged or was cut; get it again";

enum class TypeStatus { kRead, kNotDone, kRemoved };

struct TensorType {
  uint32_t id;
  std::string_view name;
  TypeStatus status;
  DType dtype = DType::kU8;
  int64_t block_elements = 0;  // of a kind that is not done: what ggml says of it, so that its range can be checked
  int64_t block_bytes = 0;
};

constexpr TensorType kTensorTypes[] = {
    {0, "F32", TypeStatus::kRead, DType::kF32},
    {1, "F16", TypeStatus::kRead, DType::kF16},
    {2, "Q4_0", TypeStatus::kRead, DType::kQ4_0},
    {3, "Q4_1", TypeStatus::kRead, DType::kQ4_1},
    {4, "Q4_2", TypeStatus::kRemoved},
    {5, "Q4_3", TypeStatus::kRemoved},
    {6, "Q5_0", TypeStatus::kRead, DType::kQ5_0},
    {7, "Q5_1", TypeStatus::kRead, DType::kQ5_1},
    {8, "Q8_0", TypeStatus::kRead, DType::kQ8_0},
    {9, "Q8_1", TypeStatus::kNotDone, DType::kU8, 32, 36},
    {10, "Q2_K", TypeStatus::kNotDone, DType::kU8, 256, 84},
    {11, "Q3_K", TypeStatus::kNotDone, DType::kU8, 256, 110},
    {12, "Q4_K", TypeStatus::kRead, DType::kQ4_K},
    {13, "Q5_K", TypeStatus::kRead, DType::kQ5_K},
    {14, "Q6_K", TypeStatus::kRead, DType::kQ6_K},
    {15, "Q8_K", TypeStatus::kNotDone, DType::kU8, 256, 292},
    {16, "IQ2_XXS", TypeStatus::kNotDone, DType::kU8, 256, 66},
    {17, "IQ2_XS", TypeStatus::kNotDone, DType::kU8, 256, 74},
    {18, "IQ3_XXS", TypeStatus::kNotDone, DType::kU8, 256, 98},
    {19, "IQ1_S", TypeStatus::kNotDone, DType::kU8, 256, 50},
    {20, "IQ4_NL", TypeStatus::kNotDone, DType::kU8, 32, 18},
    {21, "IQ3_S", TypeStatus::kNotDone, DType::kU8, 256, 110},
    {22, "IQ2_S", TypeStatus::kNotDone, DType::kU8, 256, 82},
    {23, "IQ4_XS", TypeStatus::kNotDone, DType::kU8, 256, 136},
    {24, "I8", TypeStatus::kRead, DType::kI8},
    {25, "I16", TypeStatus::kNotDone, DType::kU8, 1, 2},
    {26, "I32", TypeStatus::kRead, DType::kI32},
    {27, "I64", TypeStatus::kRead, DType::kI64},
    {28, "F64", TypeStatus::kRead, DType::kF64},
    {29, "IQ1_M", TypeStatus::kNotDone, DType::kU8, 256, 56},
    {30, "BF16", TypeStatus::kRead, DType::kBF16},
    {31, "Q4_0_4_4", TypeStatus::kRemoved},
    {32, "Q4_0_4_8", TypeStatus::kRemoved},
    {33, "Q4_0_8_8", TypeStatus::kRemoved},
    {34, "TQ1_0", TypeStatus::kNotDone, DType::kU8, 256, 54},
    {35, "TQ2_0", TypeStatus::kNotDone, DType::kU8, 256, 66},
    {36, "IQ4_NL_4_4", TypeStatus::kRemoved},
    {37, "IQ4_NL_4_8", TypeStatus::kRemoved},
    {38, "IQ4_NL_8_8", TypeStatus::kRemoved},
    {39, "MXFP4", TypeStatus::kNotDone, DType::kU8, 32, 17},
    {40, "NVFP4", TypeStatus::kNotDone, DType::kU8, 64, 36},
    {41, "Q1_0", TypeStatus::kNotDone, DType::kU8, 128, 18},
};
constexpr std::string_view kReadable =
    "F32, F16, BF16, F64, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K, I8, I32 or I64";

// Bytes of a scalar; 0 for strings, arrays and unknown types.
int64_t scalar_bytes(uint32_t type) {
  constexpr int64_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type < std::size(kBytes) ? kBytes[type] : 0;
}

}  // namespace

// One pass over the file. Each function either moves the cursor past what it read or reports where it stood.
class GgufReader {
 public:
  GgufReader(Bytes file, GgufIndex* index) : cursor_(file), index_(index) {}

  Status read() {
    NARU_TRY(read_header());
    NARU_TRY(read_values());
    NARU_TRY(read_alignment());
    NARU_TRY(read_tensors());
    return place_tensors();
  }

 private:
  Error error(std::string_view what, std::string_view next = kGetAgain) const {
    return {Code::kCorrupt, fmt::format("reading {}: at byte {}: {}; {}", index_->name_, cursor_.offset(), what, next)};
  }
  Error cut(std::string_view what) const { return error(fmt::format("the file ends inside {}", what)); }

  Status read_header() {
    const auto magic = cursor_.take_text(4);
    if (!magic || *magic != "GGUF") {
      return error(fmt::format("it starts with '{}', 'GGUF' was wanted", printable(magic.value_or(""))),
                   "it is damaged or no GGUF file");
    }
    const auto version = cursor_.read<uint32_t>();
    const auto n_tensors = cursor_.read<uint64_t>();
    const auto n_values = cursor_.read<uint64_t>();
    if (!version || !n_tensors || !n_values) return cut("its header");
    if (*version != 2 && *version != 3) {
      const bool is_swapped = (*version & 0xffffu) == 0;
      return Error{
          Code::kUnsupported,
          fmt::format("reading {}: it is {}, version 2 or 3 in little-endian byte order was wanted; convert the "
                      "model again with a current converter",
                      index_->name_, is_swapped ? "a big-endian GGUF file" : fmt::format("GGUF version {}", *version))};
    }
    index_->version_ = *version;
    // The least tensor entry: a one-byte name, one dimension. The least value: a one-byte key and a one-byte value.
    constexpr int64_t kTensorBytesMin = 8 + 1 + 4 + 8 + 4 + 8;
    constexpr int64_t kValueBytesMin = 8 + 1 + 4 + 1;
    const auto values = checked_count(*n_values, std::min(kGgufKeysMax, cursor_.remaining() / kValueBytesMin));
    if (!values) {
      return error(fmt::format("it says that it has {} metadata keys and {} bytes follow (at most {} keys are read)",
                               *n_values, cursor_.remaining(), kGgufKeysMax));
    }
    const auto tensors = checked_count(*n_tensors, std::min(kTensorsMax, cursor_.remaining() / kTensorBytesMin));
    if (!tensors) {
      return error(fmt::format("it says that it has {} tensors and {} bytes follow (at most {} tensors are read)",
                               *n_tensors, cursor_.remaining(), kTensorsMax));
    }
    n_values_ = *values;
    n_tensors_ = *tensors;
    return {};
  }

  // A length-prefixed text.
  Result<std::string_view> read_text(std::string_view what, int64_t bytes_max) {
    const auto length = cursor_.read<uint64_t>();
    if (!length) return cut(what);
    const auto count = checked_count(*length, std::min(bytes_max, cursor_.remaining()));
    if (!count) {
      return error(fmt::format("{} has {} bytes, at most {} were wanted and {} follow", what, *length, bytes_max,
                               cursor_.remaining()));
    }
    return *cursor_.take_text(static_cast<uint64_t>(*count));
  }

  Result<std::string> read_name(std::string_view what, int64_t bytes_max) {
    NARU_ASSIGN(const std::string_view text, read_text(what, bytes_max));
    if (text.empty() || !is_valid_utf8(text) || has_control_characters(text)) {
      return error(fmt::format("{} is '{}', a text of 1 to {} bytes without control characters was wanted", what,
                               printable(text), bytes_max));
    }
    return std::string(text);
  }

  Status read_values() {
    index_->values_.reserve(static_cast<size_t>(n_values_));
    for (int64_t i = 0; i < n_values_; ++i) {
      GgufValue value;
      NARU_ASSIGN(value.key, read_name("a metadata key", kGgufKeyBytesMax));
      const auto type = cursor_.read<uint32_t>();
      if (!type) return cut("the type of a metadata value");
      if (*type > static_cast<uint32_t>(GgufType::kF64)) {
        return error(
            fmt::format("key '{}' has the value type {}, one of 0 to 12 was wanted", printable(value.key), *type));
      }
      value.type = static_cast<GgufType>(*type);
      if (value.type == GgufType::kArray) NARU_TRY(read_array_head(&value));
      value.offset = cursor_.offset();
      NARU_TRY(skip_payload(value));
      value.bytes = cursor_.offset() - value.offset;
      index_->values_.push_back(std::move(value));
    }
    auto& values = index_->values_;
    std::sort(values.begin(), values.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
    for (size_t i = 1; i < values.size(); ++i) {
      if (values[i - 1].key == values[i].key) {
        return error(fmt::format("the key '{}' is there twice", printable(values[i].key)));
      }
    }
    return {};
  }

  Status read_array_head(GgufValue* value) {
    const auto type = cursor_.read<uint32_t>();
    const auto count = cursor_.read<uint64_t>();
    if (!type || !count) return cut(fmt::format("the array of key '{}'", printable(value->key)));
    if (*type > static_cast<uint32_t>(GgufType::kF64) || *type == static_cast<uint32_t>(GgufType::kArray)) {
      return error(fmt::format("key '{}' is an array of type {}, an array of numbers, booleans or strings was wanted",
                               printable(value->key), *type));
    }
    value->element_type = static_cast<GgufType>(*type);
    const int64_t least = value->element_type == GgufType::kString ? 8 : scalar_bytes(*type);
    const auto checked = checked_count(*count, cursor_.remaining() / least);
    if (!checked) {
      return error(fmt::format("key '{}' is an array of {} elements and {} bytes follow", printable(value->key), *count,
                               cursor_.remaining()));
    }
    value->count = *checked;
    return {};
  }

  Status skip_payload(const GgufValue& value) {
    const GgufType element = value.type == GgufType::kArray ? value.element_type : value.type;
    const std::string what = fmt::format("the value of key '{}'", printable(value.key));
    if (element != GgufType::kString) {
      const int64_t size = value.count * scalar_bytes(static_cast<uint32_t>(element));  // at most what remains, or 8
      const auto bytes = cursor_.take(static_cast<uint64_t>(size));
      if (!bytes) return cut(what);
      if (element == GgufType::kBool) {
        for (const std::byte b : *bytes) {
          if (b > std::byte{1}) return error(fmt::format("{} has a boolean that is neither 0 nor 1", what));
        }
      }
      return {};
    }
    for (int64_t i = 0; i < value.count; ++i) {
      NARU_ASSIGN(const std::string_view text, read_text(what, INT64_MAX));
      static_cast<void>(text);
    }
    return {};
  }

  Status read_alignment() {
    const GgufValue* value = index_->find("general.alignment");
    if (value == nullptr) return {};
    if (value->type != GgufType::kU32) {
      return index_->wrong(Code::kCorrupt, "general.alignment", gguf_type_name(value->type), "u32", kGetAgain);
    }
    NARU_ASSIGN(const int64_t alignment, index_->get_int("general.alignment", 0, UINT32_MAX));
    if (alignment < 8 || alignment > kGgufAlignmentMax || !std::has_single_bit(static_cast<uint64_t>(alignment))) {
      return index_->wrong(Code::kCorrupt, "general.alignment", std::to_string(alignment),
                           fmt::format("a power of two from 8 to {}", kGgufAlignmentMax), kGetAgain);
    }
    index_->alignment_ = alignment;
    return {};
  }

  Result<const TensorType*> read_type(std::string_view tensor, uint32_t id) const {
    const auto* type =
        std::find_if(std::begin(kTensorTypes), std::end(kTensorTypes), [&](const auto& t) { return t.id == id; });
    if (type == std::end(kTensorTypes)) {
      return error(fmt::format("tensor '{}' has the unknown type {}, {} was wanted", printable(tensor), id, kReadable),
                   "the file is damaged or newer than this program; get another quantisation of the model");
    }
    if (type->status != TypeStatus::kRemoved) return type;
    return Error{
        Code::kUnsupported,
        fmt::format("reading {}: tensor '{}' has the type {}, which was removed from the format and cannot be read; {}",
                    index_->name_, printable(tensor), type->name, kOtherQuantisation)};
  }

  Status read_tensors() {
    index_->tensors_.reserve(static_cast<size_t>(n_tensors_));
    for (int64_t i = 0; i < n_tensors_; ++i) {
      GgufTensor tensor;
      NARU_ASSIGN(tensor.name, read_name("a tensor's name", kGgufNameBytesMax));
      const auto rank = cursor_.read<uint32_t>();
      if (!rank) return cut("a tensor's entry");
      if (*rank > kGgufRankMax) {
        return error(fmt::format("tensor '{}' has {} dimensions, 0 to {} were wanted", printable(tensor.name), *rank,
                                 kGgufRankMax));
      }
      for (uint32_t d = 0; d < *rank; ++d) {
        const auto dim = cursor_.read<uint64_t>();
        if (!dim) return cut("a tensor's entry");
        const auto checked = checked_count(*dim, INT64_MAX);
        if (!checked) {
          return error(
              fmt::format("tensor '{}' has the dimension {}, 0 to 2^63-1 was wanted", printable(tensor.name), *dim));
        }
        tensor.shape.insert(tensor.shape.begin(), *checked);
      }
      const auto type = cursor_.read<uint32_t>();
      const auto offset = cursor_.read<uint64_t>();
      if (!type || !offset) return cut("a tensor's entry");
      NARU_ASSIGN(const TensorType* const known, read_type(tensor.name, *type));
      tensor.dtype = known->dtype;
      if (known->status == TypeStatus::kNotDone) tensor.unread = known->name;
      NARU_TRY(size_tensor(*known, &tensor, *offset));
      index_->tensors_.push_back(std::move(tensor));
    }
    return check_names();
  }

  // Fills bytes and the offset as the file says it (from the start of the data).
  Status size_tensor(const TensorType& type, GgufTensor* tensor, uint64_t offset) const {
    const bool is_read = type.status == TypeStatus::kRead;
    const int64_t block_elements = is_read ? dtype_info(type.dtype).block_elements : type.block_elements;
    const int64_t block_bytes = is_read ? dtype_info(type.dtype).block_bytes : type.block_bytes;
    const int64_t row = tensor->shape.empty() ? 1 : tensor->shape.back();
    if (row % block_elements != 0) {
      return error(fmt::format("tensor '{}' has rows of {} elements, a multiple of the {} of a {} block was wanted",
                               printable(tensor->name), row, block_elements,
                               is_read ? dtype_name(type.dtype) : type.name));
    }
    std::optional<int64_t> elements = 1;
    for (const int64_t dim : tensor->shape) {
      if (elements) elements = checked_mul(*elements, dim);
    }
    const auto bytes = elements ? checked_mul(*elements / block_elements, block_bytes) : std::nullopt;
    const auto begin = checked_count(offset, INT64_MAX);
    if (!bytes || !begin) {
      return error(fmt::format("tensor '{}' has a shape or offset that fits no 64 bits", printable(tensor->name)));
    }
    tensor->bytes = *bytes;
    tensor->offset = *begin;
    return {};
  }

  Status check_names() {
    auto& order = index_->tensors_by_name_;
    const auto& tensors = index_->tensors_;
    order.resize(tensors.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
    const auto name_of = [&](int32_t i) -> const std::string& { return tensors[static_cast<size_t>(i)].name; };
    std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return name_of(a) < name_of(b); });
    for (size_t i = 1; i < order.size(); ++i) {
      if (name_of(order[i - 1]) == name_of(order[i])) {
        return error(fmt::format("the tensor '{}' is there twice", printable(name_of(order[i]))));
      }
    }
    return {};
  }

  // Offsets must be exactly what packing the tensors in order gives; then they are made absolute.
  Status place_tensors() {
    if (index_->tensors_.empty()) return {};
    const int64_t file_bytes = cursor_.offset() + cursor_.remaining();
    const auto data_begin = checked_align_up(cursor_.offset(), index_->alignment_);
    int64_t expected = 0;
    for (GgufTensor& tensor : index_->tensors_) {
      if (tensor.offset != expected) {
        return error(
            fmt::format("tensor '{}' is at offset {} of the data, {} was wanted (tensors lie in order, each at "
                        "the next multiple of {})",
                        printable(tensor.name), tensor.offset, expected, index_->alignment_));
      }
      const auto begin = data_begin ? checked_add(*data_begin, tensor.offset) : std::nullopt;
      const auto end = begin ? checked_add(*begin, tensor.bytes) : std::nullopt;
      if (!end || *end > file_bytes) {
        return error(fmt::format("tensor '{}' needs {} bytes at offset {} of the data and the file ends at {}",
                                 printable(tensor.name), tensor.bytes, tensor.offset, file_bytes));
      }
      const auto next = checked_align_up(expected + tensor.bytes, index_->alignment_);
      if (!next) return error(fmt::format("tensor '{}' ends past 2^63", printable(tensor.name)));
      expected = *next;
      tensor.offset = *begin;
    }
    return {};
  }

  ByteCursor cursor_;
  GgufIndex* index_;
  int64_t n_values_ = 0;
  int64_t n_tensors_ = 0;
};

Result<GgufIndex> parse_gguf(Bytes file, std::string_view name) {
  GgufIndex index;
  index.file_ = file;
  index.name_ = name;
  NARU_TRY(GgufReader(file, &index).read());
  return index;
}

std::optional<uint32_t> gguf_type_of(DType dtype) {
  for (const TensorType& type : kTensorTypes) {
    if (type.status == TypeStatus::kRead && type.dtype == dtype) return type.id;
  }
  return std::nullopt;
}

}  // namespace naru::formats
