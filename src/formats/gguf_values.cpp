// Typed access to GGUF metadata. Every read goes through a cursor bounded by the value's own bytes.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "formats/gguf.h"
#include "formats/utf8.h"

namespace naru::formats {
namespace {

constexpr std::string_view kDamagedOrOther = "the file is damaged or of another kind; convert or get it again";

std::string describe(const GgufValue& value) {
  if (value.type != GgufType::kArray) return fmt::format("a value of type {}", gguf_type_name(value.type));
  return fmt::format("an array of {} {}", value.count, gguf_type_name(value.element_type));
}

bool is_integer(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kU16:
    case GgufType::kI16:
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kU64:
    case GgufType::kI64: return true;
    case GgufType::kF32:
    case GgufType::kBool:
    case GgufType::kString:
    case GgufType::kArray:
    case GgufType::kF64: break;
  }
  return false;
}

template <typename T>
std::optional<int64_t> read_as(ByteCursor* cursor) {
  const auto value = cursor->read<T>();
  if (!value) return std::nullopt;
  return static_cast<int64_t>(*value);
}

// The next integer of an integer type; nothing where it is cut or above 2^63 - 1.
std::optional<int64_t> read_integer(GgufType type, ByteCursor* cursor) {
  switch (type) {
    case GgufType::kU8: return read_as<uint8_t>(cursor);
    case GgufType::kI8: return read_as<int8_t>(cursor);
    case GgufType::kU16: return read_as<uint16_t>(cursor);
    case GgufType::kI16: return read_as<int16_t>(cursor);
    case GgufType::kU32: return read_as<uint32_t>(cursor);
    case GgufType::kI32: return read_as<int32_t>(cursor);
    case GgufType::kI64: return read_as<int64_t>(cursor);
    case GgufType::kU64: {
      const auto value = cursor->read<uint64_t>();
      if (!value || *value > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
      return static_cast<int64_t>(*value);
    }
    default: return std::nullopt;
  }
}

double shortest_decimal(float value) {
  if (!std::isfinite(value)) return value;
  char text[32];
  const auto written = std::to_chars(text, text + sizeof(text), value);
  double result = value;
  std::from_chars(text, written.ptr, result);
  return result;
}

// The next length-prefixed text; nothing where it leaves the cursor's bytes.
std::optional<std::string_view> read_text(ByteCursor* cursor) {
  const auto length = cursor->read<uint64_t>();
  return length ? cursor->take_text(*length) : std::nullopt;
}

}  // namespace

std::string_view gguf_type_name(GgufType type) {
  constexpr std::string_view kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                         "bool", "string", "array", "u64", "i64", "f64"};
  return kNames[static_cast<size_t>(type)];
}

const GgufValue* GgufIndex::find(std::string_view key) const {
  const auto place = std::lower_bound(values_.begin(), values_.end(), key,
                                      [](const GgufValue& value, std::string_view k) { return value.key < k; });
  return place != values_.end() && place->key == key ? &*place : nullptr;
}

const GgufTensor* GgufIndex::find_tensor(std::string_view tensor_name) const {
  const auto name_of = [&](int32_t i) -> const std::string& { return tensors_[static_cast<size_t>(i)].name; };
  const auto place = std::lower_bound(tensors_by_name_.begin(), tensors_by_name_.end(), tensor_name,
                                      [&](int32_t i, std::string_view wanted) { return name_of(i) < wanted; });
  return place != tensors_by_name_.end() && name_of(*place) == tensor_name ? &tensors_[static_cast<size_t>(*place)]
                                                                           : nullptr;
}

Bytes GgufIndex::payload(const GgufValue& value) const {
  return file_.subspan(static_cast<size_t>(value.offset), static_cast<size_t>(value.bytes));
}

Error GgufIndex::wrong(Code code, std::string_view key, std::string_view found, std::string_view wanted,
                       std::string_view next) const {
  return {code,
          fmt::format("reading {}: key '{}' is {}, {} was wanted; {}", name_, printable(key), found, wanted, next)};
}

Error GgufIndex::missing(std::string_view key) const {
  return {Code::kCorrupt,
          fmt::format("reading {}: key '{}' is missing; the file is incomplete, convert or get it again", name_,
                      printable(key))};
}

Result<std::optional<int64_t>> GgufIndex::find_int(std::string_view key, int64_t min, int64_t max) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<int64_t>();
  const std::string wanted = fmt::format("an integer from {} to {}", min, max);
  if (!is_integer(value->type)) return wrong(Code::kCorrupt, key, describe(*value), wanted, kDamagedOrOther);
  ByteCursor cursor(payload(*value));
  const auto number = read_integer(value->type, &cursor);
  if (!number || *number < min || *number > max) {
    return wrong(Code::kCorrupt, key, number ? std::to_string(*number) : "above 2^63", wanted, kDamagedOrOther);
  }
  return std::optional(*number);
}

Result<std::optional<double>> GgufIndex::find_double(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<double>();
  ByteCursor cursor(payload(*value));
  std::optional<double> number;
  if (value->type == GgufType::kF32) {
    if (const auto read = cursor.read<float>()) number = shortest_decimal(*read);
  } else if (value->type == GgufType::kF64) {
    number = cursor.read<double>();
  } else {
    return wrong(Code::kCorrupt, key, describe(*value), "an f32 or f64 number", kDamagedOrOther);
  }
  if (!number || !std::isfinite(*number)) {
    return wrong(Code::kCorrupt, key, "not finite", "a finite number", kDamagedOrOther);
  }
  return number;
}

Result<std::optional<bool>> GgufIndex::find_bool(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<bool>();
  if (value->type != GgufType::kBool) return wrong(Code::kCorrupt, key, describe(*value), "a boolean", kDamagedOrOther);
  ByteCursor cursor(payload(*value));
  const auto byte = cursor.read<uint8_t>();
  return std::optional(byte.value_or(0) != 0);
}

Result<std::optional<std::string_view>> GgufIndex::find_string(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<std::string_view>();
  if (value->type != GgufType::kString)
    return wrong(Code::kCorrupt, key, describe(*value), "a string", kDamagedOrOther);
  ByteCursor cursor(payload(*value));
  const auto text = read_text(&cursor);
  if (!text || !is_valid_utf8(*text)) {
    return wrong(Code::kCorrupt, key, "no valid UTF-8", "UTF-8 text", kDamagedOrOther);
  }
  return text;
}

Result<std::optional<std::vector<std::string_view>>> GgufIndex::find_strings(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<std::vector<std::string_view>>();
  if (value->type != GgufType::kArray || value->element_type != GgufType::kString) {
    return wrong(Code::kCorrupt, key, describe(*value), "an array of strings", kDamagedOrOther);
  }
  ByteCursor cursor(payload(*value));
  std::vector<std::string_view> texts;
  texts.reserve(static_cast<size_t>(value->count));
  for (int64_t i = 0; i < value->count; ++i) {
    const auto text = read_text(&cursor);
    if (!text || !is_valid_utf8(*text)) {
      return wrong(Code::kCorrupt, fmt::format("{}[{}]", key, i), "no valid UTF-8", "UTF-8 text", kDamagedOrOther);
    }
    texts.push_back(*text);
  }
  return std::optional(std::move(texts));
}

Result<std::optional<std::vector<int64_t>>> GgufIndex::find_ints(std::string_view key, int64_t min, int64_t max) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<std::vector<int64_t>>();
  if (value->type != GgufType::kArray || !is_integer(value->element_type)) {
    return wrong(Code::kCorrupt, key, describe(*value), "an array of integers", kDamagedOrOther);
  }
  ByteCursor cursor(payload(*value));
  std::vector<int64_t> numbers;
  numbers.reserve(static_cast<size_t>(value->count));
  for (int64_t i = 0; i < value->count; ++i) {
    const auto number = read_integer(value->element_type, &cursor);
    if (!number || *number < min || *number > max) {
      return wrong(Code::kCorrupt, fmt::format("{}[{}]", key, i), number ? std::to_string(*number) : "above 2^63",
                   fmt::format("an integer from {} to {}", min, max), kDamagedOrOther);
    }
    numbers.push_back(*number);
  }
  return std::optional(std::move(numbers));
}

Result<int64_t> GgufIndex::get_int(std::string_view key, int64_t min, int64_t max) const {
  NARU_ASSIGN(const auto value, find_int(key, min, max));
  if (!value) return missing(key);
  return *value;
}

Result<double> GgufIndex::get_double(std::string_view key) const {
  NARU_ASSIGN(const auto value, find_double(key));
  if (!value) return missing(key);
  return *value;
}

Result<std::string_view> GgufIndex::get_string(std::string_view key) const {
  NARU_ASSIGN(const auto value, find_string(key));
  if (!value) return missing(key);
  return *value;
}

}  // namespace naru::formats
