#include "cli/show_machine.h"

#include <fmt/format.h>

#include "base/memory.h"
#include "chips/cpu/cpu_level.h"
#include "chips/cpu/machine.h"
#include "cli/json_text.h"
#include "cli/open_model.h"
#include "cli/terminal.h"

namespace naru::cli {
namespace {

std::string text_form(const cpu::Machine& machine, const contract::ChipInfo& chip) {
  std::string text = styled("Machine", Style::kBold, Stream::kOut) + "\n";
  const auto row = [&text](std::string_view name, std::string_view value) {
    text += fmt::format("  {:<18} {}\n", name, value);
  };
  row("processor", machine.processor);
  row("cores", fmt::format("{} that this process may use, {} in use", machine.cores, chip.n_threads));
  row("caches", fmt::format("{} a core, {} a core, {} shared", format_bytes(machine.l1_bytes),
                            format_bytes(machine.l2_bytes), format_bytes(machine.l3_bytes)));
  row("memory", fmt::format("{} available", format_bytes(available_memory_bytes())));
  row("instructions", cpu::feature_names(cpu::features()));
  text += "\n" + styled("Levels of the CPU chip", Style::kBold, Stream::kOut) + "\n";
  for (const cpu::LevelInfo& level : cpu::cpu_levels()) {
    const bool is_used = level.name == chip.level;
    std::string state = level.present ? "present" : "absent: " + level.why_not;
    if (is_used) state = styled("in use", Style::kGreen, Stream::kOut);
    row(level.name, state);
  }
  text += "\nAll levels give the same bits. NARU_CPU=LEVEL forces one; `naru bench` measures this machine.\n";
  return text;
}

Json json_form(const cpu::Machine& machine, const contract::ChipInfo& chip) {
  Json json = {{"processor", machine.processor},
               {"cores", machine.cores},
               {"threads", chip.n_threads},
               {"l1_bytes", machine.l1_bytes},
               {"l2_bytes", machine.l2_bytes},
               {"l3_bytes", machine.l3_bytes},
               {"memory_available_bytes", available_memory_bytes()},
               {"instructions", cpu::feature_names(cpu::features())},
               {"level", chip.level}};
  json["levels"] = Json::array();
  for (const cpu::LevelInfo& level : cpu::cpu_levels()) {
    Json one = {{"name", level.name}, {"present", level.present}};
    if (!level.present) one["why_not"] = level.why_not;
    json["levels"].push_back(std::move(one));
  }
  json["chips"] = {"cpu", "reference"};
  return json;
}

}  // namespace

Status show_machine(const ShowOptions& options) {
  ModelOptions cpu_options = options.model;
  cpu_options.chip = ChipKind::kCpu;
  NARU_ASSIGN(const auto chip, make_chip(cpu_options));
  const cpu::Machine machine = cpu::describe_machine();
  if (!options.json) return write_out(text_form(machine, chip->info()));
  return write_out(json_text(json_form(machine, chip->info())));
}

}  // namespace naru::cli
