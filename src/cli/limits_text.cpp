#include "cli/limits_text.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "chips/cpu/machine.h"

namespace naru::cli {
namespace {

Json peak_json(const cpu::Peak& peak) {
  return {{"per_s", peak.per_s}, {"instruction", peak.instruction}};
}

}  // namespace

std::string rate(double per_s, std::string_view unit) {
  if (per_s >= 1e12) return fmt::format("{:.2f} T{}", per_s / 1e12, unit);
  return fmt::format("{:.1f} G{}", per_s / 1e9, unit);
}

std::string share(double part) {
  return fmt::format("{:.0f} %", 100 * part);
}

std::string memory_share_text(double part) {
  return part > 1 ? "in cache" : share(part);
}

void add_limits(Sheet& sheet, const cpu::MachineLimits& limits) {
  sheet.heading("This machine, measured with as many threads");
  sheet.row("processor", cpu::describe_machine().processor);
  sheet.row("memory", rate(limits.memory_bytes_per_s, "B/s"));
  const auto peak = [&sheet](std::string_view name, const cpu::Peak& p, std::string_view unit) {
    sheet.row(name, fmt::format("{}{}{}", rate(p.per_s, unit), p.instruction.empty() ? "" : ", by ", p.instruction));
  };
  peak("f32", limits.f32, "FLOP/s");
  peak("bf16", limits.bf16, "FLOP/s");
  peak("int8", limits.int8, "OP/s");
}

Json limits_json(const cpu::MachineLimits& limits, std::string_view chip) {
  const cpu::Machine machine = cpu::describe_machine();
  return {{"processor", machine.processor}, {"cores", machine.cores},
          {"threads", limits.n_threads},    {"chip", chip},
          {"level", limits.level},          {"memory_bytes_per_s", limits.memory_bytes_per_s},
          {"f32", peak_json(limits.f32)},   {"bf16", peak_json(limits.bf16)},
          {"int8", peak_json(limits.int8)}};
}

}  // namespace naru::cli
