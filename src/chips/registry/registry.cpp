#include "chips/registry/registry.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/memory.h"
#include "chips/cpu/cpu_chip.h"
#include "chips/cpu/cpu_level.h"
#include "chips/cpu/machine.h"
#include "chips/cuda/cuda_chip.h"
#include "chips/distant/distant_chip.h"
#include "chips/opencl/opencl_chip.h"
#include "chips/reference/reference_chip.h"

namespace naru::chips {
namespace {

// Kernels that a level has twice: products in bf16 by the dot instruction or by fma, and those of tiles, which any
// level can run on a model of them.
constexpr std::string_view kFma = "+fma", kTiles = "+tiles";

Error no_form(std::string_view form, const std::vector<ChipForm>& forms) {
  std::string names;
  for (const ChipForm& each : forms) names += fmt::format("{}{}", names.empty() ? "" : ", ", each.name);
  return {Code::kInvalidArgument, fmt::format("choosing a chip: there is no form '{}' of it; choose from {}", form,
                                              names.empty() ? "its plain name" : names)};
}

std::vector<ChipForm> cpu_forms() {
  std::vector<ChipForm> forms;
  std::string tile_level = "baseline";
  for (const cpu::LevelInfo& level : cpu::cpu_levels()) {
    forms.push_back({fmt::format("cpu:{}", level.name), level.why_not});
    if (level.name == "avx512vnni") forms.push_back({fmt::format("cpu:{}{}", level.name, kFma), level.why_not});
    if (level.name == "avx512" && level.present) tile_level = level.name;
  }
  forms.push_back({fmt::format("cpu:{}{}", tile_level, kTiles), ""});
  return forms;
}

Result<std::unique_ptr<contract::Chip>> make_cpu(std::string_view form, const ChipOptions& options) {
  cpu::CpuOptions result;
  result.n_threads = options.n_threads;
  if (form.empty()) return cpu::make_cpu_chip(result);
  const std::vector<ChipForm> forms = cpu_forms();
  const std::string name = fmt::format("cpu:{}", form);
  if (std::none_of(forms.begin(), forms.end(), [&](const ChipForm& each) { return each.name == name; })) {
    return no_form(form, forms);
  }
  const bool is_fma = form.ends_with(kFma), has_tiles = form.ends_with(kTiles);
  result.level = std::string(form.substr(0, form.find('+')));
  result.bf16_dot = !is_fma && !has_tiles;
  result.emulate_tiles = has_tiles;
  return cpu::make_cpu_chip(result);
}

Result<FoundChip> found_cpu() {
  NARU_ASSIGN(const cpu::KernelTable* table, cpu::choose_level(std::nullopt));
  const std::string level = fmt::format("level {}", table->level);
  const std::string device = fmt::format("{}, {}", cpu::describe_machine().processor, level);
  return FoundChip{level, {{"cpu", device, available_memory_bytes(), ""}}};
}

Result<FoundChip> found_reference() {
  return FoundChip{"one thread", {{"reference", "one thread of the processor", available_memory_bytes(), ""}}};
}

Result<FoundChip> found_distant() {
  const int64_t bytes = distant::Options{}.memory_bytes;
  return FoundChip{fmt::format("{} of memory", format_bytes(bytes)),
                   {{"distant", "the processor, behind a memory of its own", bytes, ""}}};
}

// Of a library of GPUs.
Result<FoundChip> found_devices(std::string_view chip, Result<gpu::DeviceList> (*found)()) {
  NARU_ASSIGN(const gpu::DeviceList list, found());
  FoundChip result{list.words(), {}};
  for (size_t i = 0; i < list.devices.size(); ++i) {
    const gpu::ListedDevice& device = list.devices[i];
    const std::string compiler = list.compiler.empty() ? "" : ", " + list.compiler;
    result.devices.push_back(
        {fmt::format("{}:{}", chip, i), device.name + compiler, device.memory_bytes, device.why_not});
  }
  return result;
}

Result<FoundChip> found_opencl() {
  return found_devices("opencl", opencl::found);
}

Result<FoundChip> found_cuda() {
  return found_devices("cuda", cuda::found);
}

std::vector<ChipForm> distant_forms() {
  return {{"distant:cpu", ""}, {"distant:reference", ""}};
}

Result<std::unique_ptr<contract::Chip>> make_distant(std::string_view form, const ChipOptions& options) {
  if (form == "reference") return distant::make_distant_chip(reference::make_reference_chip());
  if (!form.empty() && form != "cpu") return no_form(form, distant_forms());
  NARU_ASSIGN(auto chip, make_cpu({}, options));
  return distant::make_distant_chip(std::move(chip));
}

std::vector<ChipForm> no_forms() {
  return {};
}

Result<std::unique_ptr<contract::Chip>> make_reference(std::string_view form, const ChipOptions&) {
  if (!form.empty()) return no_form(form, {});
  return reference::make_reference_chip();
}

Result<std::unique_ptr<contract::Chip>> make_opencl(std::string_view form, const ChipOptions&) {
  return opencl::make_opencl_chip(form);
}

Result<std::unique_ptr<contract::Chip>> make_cuda(std::string_view form, const ChipOptions&) {
  return cuda::make_cuda_chip(form);
}

constexpr ChipEntry kChips[] = {
    {"cpu", "kernels for this processor's instructions", found_cpu, make_cpu, cpu_forms},
    {"reference", "the plain loops that define every bit", found_reference, make_reference, no_forms},
    {"distant", "the CPU chip behind a memory and a queue of its own, for tests", found_distant, make_distant,
     distant_forms},
    {"opencl", "kernels for GPUs and others that have an OpenCL driver", found_opencl, make_opencl, no_forms},
    {"cuda", "kernels for NVIDIA's GPUs, by their own driver", found_cuda, make_cuda, no_forms},
};

}  // namespace

std::span<const ChipEntry> all_chips() {
  return kChips;
}

std::vector<ChipForm> all_forms() {
  std::vector<ChipForm> forms;
  for (const ChipEntry& chip : kChips) {
    for (ChipForm& form : chip.forms()) forms.push_back(std::move(form));
  }
  return forms;
}

std::string chip_names() {
  std::string names;
  for (const ChipEntry& chip : kChips) names += fmt::format("{}{}", names.empty() ? "" : ", ", chip.name);
  return names;
}

namespace {

std::string_view plain_name(std::string_view name) {
  return name.substr(0, name.find(':'));
}

}  // namespace

bool is_chip_name(std::string_view name) {
  return std::any_of(std::begin(kChips), std::end(kChips),
                     [&](const ChipEntry& chip) { return chip.name == plain_name(name); });
}

Result<std::unique_ptr<contract::Chip>> make_chip(std::string_view name, const ChipOptions& options) {
  const std::string_view plain = plain_name(name);
  const std::string_view form = plain.size() == name.size() ? std::string_view() : name.substr(plain.size() + 1);
  const auto* chip =
      std::find_if(std::begin(kChips), std::end(kChips), [&](const ChipEntry& c) { return c.name == plain; });
  if (chip != std::end(kChips) && name.ends_with(':')) return no_form(form, chip->forms());
  if (chip != std::end(kChips)) return chip->make(form, options);
  return Error{Code::kInvalidArgument,
               fmt::format("choosing a chip: there is none of the name '{}'; choose from {}", name, chip_names())};
}

}  // namespace naru::chips
