// What the tests of src/formats share: fixtures, a folder that goes away, files built byte by byte, and checks of
// errors as users see them.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/file.h"
#include "base/result.h"

namespace naru::formats {

inline std::string fixture_path(std::string_view name) {
  return std::string(NARU_TEST_DATA) + "/formats/" + std::string(name);
}

inline std::string fixture(std::string_view name) {
  auto text = read_file(fixture_path(name), 1 << 28);
  return text.ok() ? std::move(text).value() : std::string();
}

// A fresh folder, removed at the end.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "naru-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(std::string_view name, std::string_view bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

template <typename T>
void append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// A safetensors file of this header and `data_bytes` bytes after it.
inline std::string safetensors_file(std::string_view header, size_t data_bytes) {
  std::string file;
  append<uint64_t>(&file, header.size());
  file += header;
  file.append(data_bytes, 'd');
  return file;
}

// A GGUF file built piece by piece, as right or wrong as the test wants it.
struct GgufBytes {
  std::string text;

  explicit GgufBytes(uint64_t n_tensors, uint64_t n_values, uint32_t version = 3) {
    text = "GGUF";
    append(&text, version);
    append(&text, n_tensors);
    append(&text, n_values);
  }
  GgufBytes& string(std::string_view value) {
    append<uint64_t>(&text, value.size());
    text += value;
    return *this;
  }
  template <typename T>
  GgufBytes& number(T value) {
    append(&text, value);
    return *this;
  }
  GgufBytes& key(std::string_view name, uint32_t type) { return string(name).number(type); }
  GgufBytes& u32(std::string_view name, uint32_t value) { return key(name, 4).number(value); }
  GgufBytes& f32(std::string_view name, float value) { return key(name, 6).number(value); }
  GgufBytes& boolean(std::string_view name, bool value) { return key(name, 7).number<uint8_t>(value); }
  GgufBytes& str(std::string_view name, std::string_view value) { return key(name, 8).string(value); }
  GgufBytes& tensor(std::string_view name, std::initializer_list<uint64_t> dims, uint32_t type, uint64_t offset) {
    string(name).number(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) number(dim);
    return number(type).number(offset);
  }
  // Padding to `alignment`, then n bytes.
  GgufBytes& data(size_t n, size_t alignment = 32) {
    text.resize((text.size() + alignment - 1) / alignment * alignment, '\0');
    text.append(n, 'd');
    return *this;
  }
};

template <typename T>
std::string message_of(const Result<T>& result) {
  return result.ok() ? std::string("no error") : result.error().message;
}

// An error of this code whose message has all these words; every message ends in what to do.
template <typename T>
void expect_error(const Result<T>& result, Code code, std::initializer_list<std::string_view> words) {
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(code_name(result.error().code), code_name(code)) << result.error().message;
  for (const std::string_view word : words) {
    EXPECT_NE(result.error().message.find(word), std::string::npos)
        << "no '" << word << "' in: " << result.error().message;
  }
  EXPECT_NE(result.error().message.find("; "), std::string::npos) << "what next? " << result.error().message;
  EXPECT_LT(result.error().message.size(), 1000u);
}

// Bytes by which the peak of resident memory grows while `work` runs, seen in a forked process of its own (peaks
// before it do not count). Sanitizers keep freed memory, so a bound on this means nothing under them.
int64_t peak_growth_of(const std::function<void()>& work);
#ifdef NARU_DCHECKS
inline constexpr bool kMemoryIsMeasured = false;
#else
inline constexpr bool kMemoryIsMeasured = true;
#endif

}  // namespace naru::formats
