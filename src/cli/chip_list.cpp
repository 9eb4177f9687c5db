#include "cli/chip_list.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/memory.h"
#include "cli/table.h"

namespace naru::cli {
namespace {

std::string chips_table() {
  Table table({{"chip"}, {"memory", true}, {"device"}});
  for (const chips::ChipEntry& chip : chips::all_chips()) {
    const auto found = chip.found();
    if (!found.ok()) {
      table.row({std::string(chip.name), std::string("-"),
                 Table::Cell("absent: " + one_line(found.error().message), Style::kDim)});
      continue;
    }
    for (const chips::ChipDevice& device : found->devices) {
      const std::string why = device.why_not.empty() ? "" : fmt::format("; of no use: {}", device.why_not);
      table.row({device.name, format_bytes(device.memory_bytes), one_line(device.device + why)});
    }
  }
  return table.text(Stream::kOut);
}

}  // namespace

std::string chip_state(const chips::ChipEntry& chip) {
  const auto found = chip.found();
  return found.ok() ? found->words : "absent: " + found.error().message;
}

Json chips_json() {
  Json list = Json::array();
  for (const chips::ChipEntry& chip : chips::all_chips()) {
    const auto found = chip.found();
    Json one = {{"name", chip.name}, {"what", chip.what}, {"present", found.ok()}};
    if (!found.ok()) {
      one["why_not"] = found.error().message;
      list.push_back(std::move(one));
      continue;
    }
    one["found"] = found->words;
    one["devices"] = Json::array();
    for (const chips::ChipDevice& device : found->devices) {
      Json row = {{"name", device.name}, {"device", device.device}, {"memory_bytes", device.memory_bytes}};
      if (!device.why_not.empty()) row["why_not"] = device.why_not;
      one["devices"].push_back(std::move(row));
    }
    list.push_back(std::move(one));
  }
  return list;
}

Status list_chips(bool is_json) {
  return write_out(is_json ? json_text({{"chips", chips_json()}}) : chips_table());
}

}  // namespace naru::cli
