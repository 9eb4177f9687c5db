#include "cli/show_machine.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/memory.h"
#include "chips/cpu/cpu_level.h"
#include "chips/cpu/machine.h"
#include "cli/chip_list.h"
#include "cli/json_text.h"
#include "cli/open_model.h"
#include "cli/sheet.h"

namespace naru::cli {
namespace {

std::string machine_text(const cpu::Machine& machine, const contract::ChipInfo& chip, const std::string& chosen) {
  Sheet sheet(Stream::kOut);
  sheet.title("Machine", "");
  sheet.row("processor", machine.processor);
  sheet.row("cores", fmt::format("{} that this process may use, {} in use", machine.cores, chip.n_threads));
  sheet.row("caches", fmt::format("{} a core, {} a core, {} shared", format_bytes(machine.l1_bytes),
                                  format_bytes(machine.l2_bytes), format_bytes(machine.l3_bytes)));
  sheet.row("memory", fmt::format("{} available", format_bytes(available_memory_bytes())));
  sheet.row("instructions", cpu::feature_names(cpu::features()));
  sheet.heading("Levels of the CPU chip");
  for (const cpu::LevelInfo& level : cpu::cpu_levels()) {
    const bool is_used = level.name == chip.level;
    const std::string state = level.present ? "present" : "absent: " + level.why_not;
    sheet.row(level.name, is_used ? "" : state, is_used ? "in use" : "", Style::kGreen);
  }
  sheet.heading("Chips");
  for (const chips::ChipEntry& entry : chips::all_chips()) {
    const std::string state = chip_state(entry);
    const bool is_used = entry.name == chosen;
    sheet.row(entry.name, fmt::format("{}; {}{}", entry.what, state, is_used ? "; " : ""), is_used ? "in use" : "",
              Style::kGreen);
  }
  sheet.paragraph(
      "All chips and levels give the same bits. --chip NAME or NARU_CHIP=NAME takes a chip, --chip list lists their "
      "devices, NARU_CPU=LEVEL takes a level of the CPU chip; `naru bench` measures this machine.");
  return sheet.str();
}

Json json_form(const cpu::Machine& machine, const contract::ChipInfo& chip, const std::string& chosen) {
  Json json = {{"processor", machine.processor},
               {"cores", machine.cores},
               {"threads", chip.n_threads},
               {"l1_bytes", machine.l1_bytes},
               {"l2_bytes", machine.l2_bytes},
               {"l3_bytes", machine.l3_bytes},
               {"memory_available_bytes", available_memory_bytes()},
               {"instructions", cpu::feature_names(cpu::features())},
               {"chip", chosen},
               {"level", chip.level}};
  json["levels"] = Json::array();
  for (const cpu::LevelInfo& level : cpu::cpu_levels()) {
    Json one = {{"name", level.name}, {"present", level.present}};
    if (!level.present) one["why_not"] = level.why_not;
    json["levels"].push_back(std::move(one));
  }
  json["chips"] = chips_json();
  return json;
}

}  // namespace

Status show_machine(const ShowOptions& options) {
  NARU_ASSIGN(const auto chip, make_chip(options.model));
  const cpu::Machine machine = cpu::describe_machine();
  if (!options.json) return write_out(machine_text(machine, chip->info(), options.model.chip));
  return write_out(json_text(json_form(machine, chip->info(), options.model.chip)));
}

}  // namespace naru::cli
