// Header reader: a small state machine over JSON events, then the checks on ranges as a whole.
#include "formats/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/checked.h"
#include "formats/json.h"
#include "formats/tensor_file.h"
#include "formats/utf8.h"

namespace naru::formats {
namespace {

constexpr int64_t kMetadataKeysMax = 100000;
constexpr std::string_view kDamagedOrCut = "the file is damaged or was cut; get it again";

struct NamedDType {
  std::string_view name;
  DType dtype;
};
constexpr NamedDType kDTypes[] = {
    {"F32", DType::kF32},   {"F16", DType::kF16}, {"BF16", DType::kBF16}, {"F8_E4M3", DType::kF8E4M3},
    {"I8", DType::kI8},     {"I32", DType::kI32}, {"I64", DType::kI64},   {"U8", DType::kU8},
    {"BOOL", DType::kBool}, {"F64", DType::kF64},
};
// Words that the format knows and naru does not do, with their bits an element.
struct OtherDType {
  std::string_view name;
  int64_t bits;
};
constexpr OtherDType kOtherDTypes[] = {
    {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"F4", 4},   {"F6_E2M3", 6},
    {"F6_E3M2", 6}, {"I16", 16},    {"U16", 16},        {"U32", 32},        {"U64", 64}, {"C64", 64},
};

// The header's grammar is one object of objects, so a state machine reads it without a tree.
class HeaderReader final : public JsonEvents {
 public:
  explicit HeaderReader(SafetensorsIndex* index) : index_(index) {}

  bool on_null() override {
    if (depth_ == 1 && in_metadata_) return true;  // the official reader takes it for none
    return unexpected("null");
  }
  bool on_bool(bool) override { return unexpected("true or false"); }
  bool on_double(double value) override { return unexpected(fmt::format("{}", value)); }
  bool on_integer(int64_t value) override {
    if (field_ == Field::kShapeItems) return add_dim(value);
    if (field_ == Field::kOffsetItems) return add_offset(value);
    return unexpected(std::to_string(value));
  }
  bool on_string(std::string&& value) override {
    if (field_ == Field::kMetadata) {
      index_->metadata.back().second = std::move(value);
      return true;
    }
    if (field_ == Field::kDType) return set_dtype(value);
    return unexpected(fmt::format("\"{}\"", printable(value, 40)));
  }
  bool on_start_object() override {
    if (++depth_ == 1) return true;
    if (depth_ == 2) {
      seen_ = 0;
      field_ = in_metadata_ ? Field::kMetadata : Field::kNone;
      return true;
    }
    return unexpected("an object");
  }
  bool on_end_object() override {
    if (--depth_ == 0) return true;
    field_ = Field::kNone;
    if (in_metadata_ || seen_ == 7) return true;
    return say("has no {}", (seen_ & 1) == 0 ? "dtype" : (seen_ & 2) == 0 ? "shape" : "data_offsets");
  }
  bool on_start_array() override {
    if (field_ == Field::kShape)
      field_ = Field::kShapeItems;
    else if (field_ == Field::kOffsets)
      field_ = Field::kOffsetItems;
    else
      return unexpected("an array");
    return true;
  }
  bool on_end_array() override {
    if (field_ == Field::kOffsetItems && n_offsets_ != 2) {
      return say("has {} data_offsets, two were wanted", n_offsets_);
    }
    field_ = Field::kNone;
    return true;
  }
  bool on_key(std::string&& key) override {
    if (depth_ == 1) return start_entry(std::move(key));
    if (in_metadata_) {
      if (static_cast<int64_t>(index_->metadata.size()) >= kMetadataKeysMax) {
        return fail(Code::kCorrupt,
                    fmt::format("__metadata__ has more than {} keys; {}", kMetadataKeysMax, kDamagedOrCut));
      }
      index_->metadata.emplace_back(std::move(key), std::string());
      field_ = Field::kMetadata;
      return true;
    }
    if (key == "dtype") return start_field(Field::kDType, 1, key);
    if (key == "shape") return start_field(Field::kShape, 2, key);
    if (key == "data_offsets") return start_field(Field::kOffsets, 4, key);
    return say("has an unknown field '{}'", printable(key));
  }

 private:
  enum class Field { kNone, kMetadata, kDType, kShape, kShapeItems, kOffsets, kOffsetItems };

  template <typename... Args>
  bool say(fmt::format_string<Args...> format, Args&&... args) {
    const std::string what = fmt::format(format, std::forward<Args>(args)...);
    if (index_->entries.empty() || in_metadata_)
      return fail(Code::kCorrupt, fmt::format("the header {}; {}", what, kDamagedOrCut));
    return fail(Code::kCorrupt,
                fmt::format("tensor '{}' {}; {}", printable(index_->entries.back().name), what, kDamagedOrCut));
  }

  bool unexpected(std::string_view found) {
    if (depth_ == 0)
      return fail(Code::kCorrupt, fmt::format("the header is {}, an object was wanted; {}", found, kDamagedOrCut));
    if (in_metadata_) {
      return fail(Code::kCorrupt,
                  fmt::format("__metadata__ has {} where only strings are legal; {}", found, kDamagedOrCut));
    }
    if (depth_ == 1) return say("is {}, an object was wanted", found);
    switch (field_) {
      case Field::kDType: return say("has the dtype {}, a string was wanted", found);
      case Field::kShape: return say("has the shape {}, an array was wanted", found);
      case Field::kShapeItems: return say("has the dimension {}, an integer >= 0 was wanted", found);
      case Field::kOffsets: return say("has the data_offsets {}, an array was wanted", found);
      case Field::kOffsetItems: return say("has the offset {}, an integer >= 0 was wanted", found);
      case Field::kNone:
      case Field::kMetadata: break;
    }
    return say("has {} where nothing was wanted", found);
  }

  bool start_entry(std::string&& name) {
    in_metadata_ = name == "__metadata__";
    if (in_metadata_) {
      if (seen_metadata_) return fail(Code::kCorrupt, fmt::format("__metadata__ is there twice; {}", kDamagedOrCut));
      seen_metadata_ = true;
      return true;
    }
    if (static_cast<int64_t>(index_->entries.size()) >= kTensorsMax) {
      return fail(Code::kCorrupt,
                  fmt::format("it has more than {} tensors, the most that is read; split it", kTensorsMax));
    }
    if (name.empty() || static_cast<int64_t>(name.size()) > kTensorNameBytesMax || has_control_characters(name)) {
      return fail(Code::kCorrupt, fmt::format("a tensor is called '{}', a name of 1 to {} bytes without control "
                                              "characters was wanted; {}",
                                              printable(name), kTensorNameBytesMax, kDamagedOrCut));
    }
    index_->entries.emplace_back().name = std::move(name);
    n_offsets_ = 0;
    return true;
  }

  bool start_field(Field field, int bit, std::string_view key) {
    if ((seen_ & bit) != 0) return say("has its {} twice", key);
    seen_ |= bit;
    field_ = field;
    return true;
  }

  bool set_dtype(std::string_view word) {
    field_ = Field::kNone;
    for (const NamedDType& known : kDTypes) {
      if (known.name == word) {
        index_->entries.back().dtype = known.dtype;
        return true;
      }
    }
    for (const OtherDType& other : kOtherDTypes) {
      if (other.name == word) {
        index_->entries.back().dtype = DType::kU8;
        index_->entries.back().unread = other.name;
        return true;
      }
    }
    return say("has the dtype '{}', which the format does not know", printable(word, 40));
  }

  bool add_dim(int64_t value) {
    auto& shape = index_->entries.back().shape;
    if (value < 0) return say("has the dimension {}, an integer >= 0 was wanted", value);
    if (static_cast<int64_t>(shape.size()) >= kTensorRankMax) {
      return say("has more than {} dimensions, the most that is read", kTensorRankMax);
    }
    shape.push_back(value);
    return true;
  }

  bool add_offset(int64_t value) {
    if (value < 0) return say("has the offset {}, an integer >= 0 was wanted", value);
    if (n_offsets_ >= 2) return say("has more than two data_offsets");
    (n_offsets_ == 0 ? index_->entries.back().begin : index_->entries.back().end) = value;
    ++n_offsets_;
    return true;
  }

  SafetensorsIndex* index_;
  int depth_ = 0;
  Field field_ = Field::kNone;
  int seen_ = 0;  // fields of the open entry: 1 dtype, 2 shape, 4 data_offsets
  int n_offsets_ = 0;
  bool in_metadata_ = false;
  bool seen_metadata_ = false;
};

Error tensor_error(std::string_view file, const SafetensorsEntry& entry, std::string_view what) {
  return {Code::kCorrupt,
          fmt::format("reading {}: tensor '{}' {}; {}", file, printable(entry.name), what, kDamagedOrCut)};
}

// The bytes that shape and dtype ask for; nothing on overflow, or where they are no whole bytes.
std::optional<int64_t> wanted_bytes(const SafetensorsEntry& entry) {
  int64_t elements = 1;
  for (const int64_t dim : entry.shape) {
    const auto product = checked_mul(elements, dim);
    if (!product) return std::nullopt;
    elements = *product;
  }
  if (entry.unread.empty()) return dtype_bytes(entry.dtype, elements);
  const auto* other = std::find_if(std::begin(kOtherDTypes), std::end(kOtherDTypes),
                                   [&](const OtherDType& dtype) { return dtype.name == entry.unread; });
  const auto bits = checked_mul(elements, other->bits);
  return bits && *bits % 8 == 0 ? std::optional(*bits / 8) : std::nullopt;
}

Status check_names(std::string_view file, const SafetensorsIndex& index) {
  std::vector<const std::string*> names;
  names.reserve(index.entries.size());
  for (const auto& entry : index.entries) names.push_back(&entry.name);
  std::sort(names.begin(), names.end(), [](const auto* a, const auto* b) { return *a < *b; });
  for (size_t i = 1; i < names.size(); ++i) {
    if (*names[i - 1] == *names[i]) {
      return Error{Code::kCorrupt, fmt::format("reading {}: tensor '{}' is there twice, every name once was wanted; {}",
                                               file, printable(*names[i]), kDamagedOrCut)};
    }
  }
  for (size_t i = 1; i < index.metadata.size(); ++i) {
    if (index.metadata[i - 1].first == index.metadata[i].first) {
      return Error{Code::kCorrupt, fmt::format("reading {}: __metadata__ has the key '{}' twice; {}", file,
                                               printable(index.metadata[i].first), kDamagedOrCut)};
    }
  }
  return {};
}

// Sorted entries must cover [0, data_bytes) without holes and without overlap.
Status check_ranges(std::string_view file, const SafetensorsIndex& index, int64_t data_bytes) {
  int64_t expected = 0;
  for (const auto& entry : index.entries) {
    if (entry.begin > entry.end) {
      return tensor_error(file, entry, fmt::format("ends at {} before it begins at {}", entry.end, entry.begin));
    }
    const auto wanted = wanted_bytes(entry);
    if (!wanted) return tensor_error(file, entry, "has a shape whose size is no number of bytes below 2^63");
    if (*wanted != entry.end - entry.begin) {
      return tensor_error(file, entry,
                          fmt::format("has {} bytes and its shape asks for {}", entry.end - entry.begin, *wanted));
    }
    if (entry.begin != expected) {
      return tensor_error(file, entry,
                          fmt::format("begins at {}, right after the tensor before it at {} was wanted (no "
                                      "holes, no overlap)",
                                      entry.begin, expected));
    }
    if (entry.end > data_bytes) {
      return tensor_error(file, entry,
                          fmt::format("ends at {} and the file holds {} bytes of tensors", entry.end, data_bytes));
    }
    expected = entry.end;
  }
  if (expected != data_bytes) {
    return Error{Code::kCorrupt,
                 fmt::format("reading {}: its tensors end at {} and the file holds {} bytes of tensors; {}", file,
                             expected, data_bytes, kDamagedOrCut)};
  }
  return {};
}

}  // namespace

Result<SafetensorsIndex> parse_safetensors(Bytes file, std::string_view name) {
  ByteCursor cursor(file);
  const auto header_size = cursor.read<uint64_t>();
  if (!header_size) {
    return Error{Code::kCorrupt, fmt::format("reading {}: it has {} bytes, a safetensors file has 8 or more; {}", name,
                                             file.size(), kDamagedOrCut)};
  }
  const auto size = checked_count(*header_size, kSafetensorsHeaderMax);
  if (!size || *size < 2) {
    return Error{Code::kCorrupt,
                 fmt::format("reading {}: at byte 0: its header has {} bytes, 2 to {} were wanted; it is "
                             "damaged or no safetensors file",
                             name, *header_size, kSafetensorsHeaderMax)};
  }
  if (*size > cursor.remaining()) {
    return Error{Code::kCorrupt,
                 fmt::format("reading {}: at byte 0: its header has {} bytes and the file ends after {}; {}", name,
                             *size, cursor.remaining(), kDamagedOrCut)};
  }
  const Bytes header = *cursor.take(static_cast<uint64_t>(*size));
  if (header[0] != std::byte{'{'}) {
    return Error{Code::kCorrupt,
                 fmt::format("reading {}: at byte 8: its header does not start with '{{'; it is damaged or "
                             "no safetensors file",
                             name)};
  }
  if (const int64_t good = utf8_valid_prefix(as_text(header)); good != *size) {
    return Error{Code::kCorrupt, fmt::format("reading {}: at byte {}: its header is no valid UTF-8; {}", name, 8 + good,
                                             kDamagedOrCut)};
  }
  SafetensorsIndex index;
  HeaderReader reader(&index);
  const JsonLimits limits{.bytes_max = kSafetensorsHeaderMax, .depth_max = 4, .values_max = kTensorsMax * 16};
  NARU_TRY(walk_json(header, name, limits, &reader));
  index.data_begin = cursor.offset();
  std::sort(index.entries.begin(), index.entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  std::sort(index.metadata.begin(), index.metadata.end());
  NARU_TRY(check_names(name, index));
  NARU_TRY(check_ranges(name, index, cursor.remaining()));
  return index;
}

std::string_view safetensors_dtype_name(DType dtype) {
  for (const NamedDType& known : kDTypes) {
    if (known.dtype == dtype) return known.name;
  }
  return {};
}

}  // namespace naru::formats
