// ByteCursor: reads little-endian numbers and byte ranges from a span that may lie about everything.
// Every read is bounded by what remains; a failed read changes nothing.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace naru {

static_assert(std::endian::native == std::endian::little,
              "naru reads and writes little-endian machines' memory as it is");

using Bytes = std::span<const std::byte>;

class ByteCursor {
 public:
  explicit ByteCursor(Bytes bytes) : bytes_(bytes) {}

  int64_t offset() const { return offset_; }
  int64_t remaining() const { return static_cast<int64_t>(bytes_.size()) - offset_; }

  template <typename T>
  requires std::is_arithmetic_v<T> std::optional<T> read() {
    if (remaining() < static_cast<int64_t>(sizeof(T))) return std::nullopt;
    T value;
    std::memcpy(&value, bytes_.data() + offset_, sizeof(T));
    offset_ += static_cast<int64_t>(sizeof(T));
    return value;
  }

  std::optional<Bytes> take(uint64_t n) {
    if (n > static_cast<uint64_t>(remaining())) return std::nullopt;
    const Bytes result = bytes_.subspan(static_cast<size_t>(offset_), static_cast<size_t>(n));
    offset_ += static_cast<int64_t>(n);
    return result;
  }

  std::optional<std::string_view> take_text(uint64_t n) {
    const auto bytes = take(n);
    if (!bytes) return std::nullopt;
    return std::string_view(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  }

 private:
  Bytes bytes_;
  int64_t offset_ = 0;
};

inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline Bytes as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace naru
