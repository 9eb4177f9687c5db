#include "runs/tensorboard.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>

namespace naru::runs {
namespace {

// CRC-32C (Castagnoli), reflected: polynomial 0x82f63b78.
constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
    table[i] = crc;
  }
  return table;
}();

template <typename T>
void put_fixed(T value, std::string* out) {
  for (size_t i = 0; i < sizeof(T); ++i) *out += static_cast<char>(value >> (8 * i) & 0xff);
}

void put_varint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    *out += static_cast<char>(0x80 | (value & 0x7f));
    value >>= 7;
  }
  *out += static_cast<char>(value);
}

// Wire types of protocol buffers.
void put_double(int field, double value, std::string* out) {
  put_varint(static_cast<uint64_t>(field) << 3 | 1, out);
  put_fixed(std::bit_cast<uint64_t>(value), out);
}
void put_float(int field, float value, std::string* out) {
  put_varint(static_cast<uint64_t>(field) << 3 | 5, out);
  put_fixed(std::bit_cast<uint32_t>(value), out);
}
void put_integer(int field, int64_t value, std::string* out) {
  put_varint(static_cast<uint64_t>(field) << 3, out);
  put_varint(static_cast<uint64_t>(value), out);
}
void put_text(int field, std::string_view value, std::string* out) {
  put_varint(static_cast<uint64_t>(field) << 3 | 2, out);
  put_varint(value.size(), out);
  *out += value;
}

// Fields of tensorflow.Event.
constexpr int kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;

std::string event(double wall_seconds, int64_t step) {
  std::string out;
  put_double(kWallTime, wall_seconds, &out);
  if (step != 0) put_integer(kStep, step, &out);
  return out;
}

uint32_t masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = 0xffffffffu;
  for (const char c : bytes) crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

std::string event_record(std::string_view event) {
  std::string out;
  put_fixed(static_cast<uint64_t>(event.size()), &out);
  put_fixed(masked_crc(out), &out);
  out += event;
  put_fixed(masked_crc(event), &out);
  return out;
}

std::string version_event(double wall_seconds) {
  std::string out = event(wall_seconds, 0);
  put_text(kFileVersion, "brain.Event:2", &out);
  return out;
}

std::string scalars_event(double wall_seconds, int64_t step,
                          const std::vector<std::pair<std::string, double>>& values) {
  std::string summary;
  for (const auto& [name, number] : values) {
    std::string value;
    put_text(1, name, &value);
    put_float(2, static_cast<float>(number), &value);
    put_text(1, value, &summary);
  }
  std::string out = event(wall_seconds, step);
  put_text(kSummary, summary, &out);
  return out;
}

std::string restart_event(double wall_seconds, int64_t step) {
  std::string log;
  put_integer(1, 1, &log);  // status: START
  std::string out = event(wall_seconds, step);
  put_text(kSessionLog, log, &out);
  return out;
}

Result<EventFile> EventFile::create(const std::filesystem::path& folder, double wall_seconds) {
  constexpr std::string_view kPrefix = "events.out.tfevents.";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  int64_t second = static_cast<int64_t>(std::clamp(wall_seconds, 0.0, 9e9));
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    int64_t other = 0;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), other);
    if (other >= second && other < INT64_C(9999999999)) second = other + 1;
  }
  EventFile file;
  NARU_ASSIGN(file.file_, AppendFile::open(folder / fmt::format("{}{:010}.naru", kPrefix, second)));
  NARU_TRY(file.file_.append(event_record(version_event(wall_seconds))));
  return file;
}

}  // namespace naru::runs
