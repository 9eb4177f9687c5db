#include "cli/version.h"

#include <fmt/format.h>

#include "chips/cpu/cpu_level.h"
#include "contract/kinds.h"

namespace naru::cli {

std::string version_line() {
  return fmt::format("naru {} (commit {})", kBuildInfo.version, kBuildInfo.commit);
}

std::string levels_line() {
  std::string names;
  for (const cpu::LevelInfo& level : cpu::cpu_levels()) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", level.name);
  }
  const auto chosen = cpu::choose_level(std::nullopt);
  if (!chosen.ok()) return names + " built; none in use, as NARU_CPU names none that this machine has";
  return fmt::format("{} built; {} in use", names, (*chosen)->level);
}

std::string version_text() {
  return fmt::format("{}\narithmetic  {}\ncompiler    {}, {}\nlevels      {}\n", version_line(),
                     contract::kArithmeticVersion, kBuildInfo.compiler, kBuildInfo.build, levels_line());
}

}  // namespace naru::cli
