#include "chips/registry/registry.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/memory.h"
#include "chips/cpu/cpu_chip.h"
#include "chips/cpu/cpu_level.h"
#include "chips/distant/distant_chip.h"
#include "chips/reference/reference_chip.h"

namespace naru::chips {
namespace {

cpu::CpuOptions cpu_options(const ChipOptions& options) {
  cpu::CpuOptions result;
  result.n_threads = options.n_threads;
  return result;
}

Result<std::string> found_cpu() {
  NARU_ASSIGN(const cpu::KernelTable* table, cpu::choose_level(std::nullopt));
  return fmt::format("level {}", table->level);
}

Result<std::string> found_distant() {
  return fmt::format("{} of memory", format_bytes(distant::Options{}.memory_bytes));
}

Result<std::unique_ptr<contract::Chip>> make_distant(const ChipOptions& options) {
  NARU_ASSIGN(auto chip, cpu::make_cpu_chip(cpu_options(options)));
  return distant::make_distant_chip(std::move(chip));
}

constexpr ChipEntry kChips[] = {
    {"cpu", "kernels for this processor's instructions", found_cpu,
     [](const ChipOptions& options) { return cpu::make_cpu_chip(cpu_options(options)); }},
    {"reference", "the plain loops that define every bit", [] { return Result<std::string>("one thread"); },
     [](const ChipOptions&) { return Result<std::unique_ptr<contract::Chip>>(reference::make_reference_chip()); }},
    {"distant", "the CPU chip behind a memory and a queue of its own, for tests", found_distant, make_distant},
};

}  // namespace

std::span<const ChipEntry> all_chips() {
  return kChips;
}

std::string chip_names() {
  std::string names;
  for (const ChipEntry& chip : kChips) names += fmt::format("{}{}", names.empty() ? "" : ", ", chip.name);
  return names;
}

Result<std::unique_ptr<contract::Chip>> make_chip(std::string_view name, const ChipOptions& options) {
  const auto* chip =
      std::find_if(std::begin(kChips), std::end(kChips), [&](const ChipEntry& c) { return c.name == name; });
  if (chip != std::end(kChips)) return chip->make(options);
  return Error{Code::kInvalidArgument,
               fmt::format("choosing a chip: there is none of the name '{}'; choose from {}", name, chip_names())};
}

}  // namespace naru::chips
