#include "chips/gpu/device_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace naru::gpu {
namespace {

constexpr char kLine = '\n', kField = '\t';

std::string plain(std::string text) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  std::replace_if(text.begin(), text.end(), is_control, ' ');
  return text;
}

// Takes what stands before `end`, and that.
std::string_view take_until(std::string_view& text, char end) {
  const size_t at = std::min(text.find(end), text.size());
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return part;
}

}  // namespace

std::string why_too_small(int64_t group_items, int64_t local_bytes) {
  if (group_items < kGroupItems) {
    return fmt::format("its groups have {} items, {} are wanted", group_items, kGroupItems);
  }
  if (local_bytes < kLocalBytes) {
    return fmt::format("its groups have {} bytes of local memory, {} are wanted", local_bytes, kLocalBytes);
  }
  return {};
}

std::string DeviceList::words() const {
  std::string text;
  for (size_t i = 0; i < devices.size(); ++i) {
    const std::string& why = devices[i].why_not;
    text += fmt::format("{}{} {}{}", i == 0 ? "" : "; ", i, devices[i].name, why.empty() ? "" : ", of no use: " + why);
  }
  return compiler.empty() ? text : text + "; " + compiler;
}

std::string text_of(const DeviceList& list) {
  std::string text = plain(list.compiler) + kLine;
  for (const ListedDevice& device : list.devices) {
    text += fmt::format("{}{}{}{}{}{}", device.memory_bytes, kField, plain(device.name), kField, plain(device.why_not),
                        kLine);
  }
  return text;
}

Result<DeviceList> list_of(std::string_view text) {
  DeviceList list;
  list.compiler = take_until(text, kLine);
  while (!text.empty()) {
    std::string_view line = take_until(text, kLine);
    const std::string_view memory = take_until(line, kField);
    ListedDevice& device = list.devices.emplace_back();
    const auto [end, error] = std::from_chars(memory.data(), memory.data() + memory.size(), device.memory_bytes);
    if (error != std::errc() || end != memory.data() + memory.size()) {
      return Error{Code::kInternal, fmt::format("reading a list of devices: '{}' was found, bytes were wanted; report "
                                                "this with the output of `naru show --machine`",
                                                plain(std::string(memory)))};
    }
    device.name = take_until(line, kField);
    device.why_not = line;
  }
  return list;
}

Status check_number(std::string_view chip, std::string_view form, size_t number, const DeviceList& list) {
  const size_t n = list.devices.size();
  if (number < n) return {};
  const std::string there = n == 1 ? "there is one device" : fmt::format("there are {} devices", n);
  return Error{Code::kNotFound, fmt::format("choosing chip {}:{}: {}: {}; choose {}", chip, form, there, list.words(),
                                            n == 1 ? fmt::format("{}:0", chip) : "one of them by its number")};
}

}  // namespace naru::gpu
