// The devices that a library of a vendor has, as its chip shows them and as users choose them: what the chips of all
// libraries say alike.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace naru::gpu {

// What a group of the kernels takes at most: items, and bytes of local memory, which is what OpenCL 1.2 promises of
// every device.
constexpr int64_t kGroupItems = 128, kLocalBytes = 32768;

// Why groups with so much do not hold those of the kernels, in words; empty where they do.
std::string why_too_small(int64_t group_items, int64_t local_bytes);

struct ListedDevice {
  std::string name;          // for people: device, library and version
  int64_t memory_bytes = 0;  // in all, whoever has it
  std::string why_not;       // why the chip cannot run there; empty: it can
};

struct DeviceList {
  std::vector<ListedDevice> devices;  // in the order of their numbers
  std::string compiler;               // that builds the kernels, where it is no part of the driver; else empty

  // "0 NAME; 1 NAME, of no use: WHY; COMPILER"
  std::string words() const;
};

// The list as a text, for a pipe, and back. Names are a driver's: control characters of theirs become spaces.
std::string text_of(const DeviceList& list);
Result<DeviceList> list_of(std::string_view text);

// kNotFound, with how many there are, where the list has no device of that number. `form`: as the user wrote it.
Status check_number(std::string_view chip, std::string_view form, size_t number, const DeviceList& list);

}  // namespace naru::gpu
