#include "cli/machine_report.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <thread>

#include "base/memory.h"
#include "chips/cpu/cpu_level.h"
#include "chips/cpu/machine.h"
#include "chips/registry/registry.h"
#include "cli/chip_list.h"
#include "cli/defaults.h"
#include "cli/terminal.h"

namespace naru::cli {
namespace {

// The value of KEY=VALUE or KEY="VALUE" in a small file of the system; empty where there is none.
std::string system_field(const char* path, std::string_view key, char separator) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != separator) continue;
    std::string value = line.substr(key.size() + 1);
    std::erase(value, '"');
    const size_t begin = value.find_first_not_of(" \t");
    return begin == std::string::npos ? "" : one_line(value.substr(begin));
  }
  return "";
}

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return one_line(line);
}

template <typename Resource>  // a type of each C library's own
std::string limit_text(Resource resource, bool is_bytes) {
  rlimit limit{};
  if (::getrlimit(resource, &limit) != 0) return "unknown";
  if (limit.rlim_cur == RLIM_INFINITY) return "unlimited";
  return is_bytes ? format_bytes(static_cast<int64_t>(limit.rlim_cur)) : fmt::format("{}", limit.rlim_cur);
}

std::string memory_line() {
  std::string text = fmt::format("{} available", format_bytes(available_memory_bytes()));
  const long pages = ::sysconf(_SC_PHYS_PAGES), page_bytes = ::sysconf(_SC_PAGESIZE);
  if (pages > 0 && page_bytes > 0) text += fmt::format(" of {}", format_bytes(int64_t{pages} * page_bytes));
  const std::string swap = system_field("/proc/meminfo", "SwapTotal", ':');
  if (!swap.empty()) text += fmt::format("; swap {}", swap);
  return text;
}

// Of the control group at the root of what this process sees.
std::string control_group_line() {
  std::string text;
  for (const auto& [name, path] :
       {std::pair{"memory", "/sys/fs/cgroup/memory.max"}, std::pair{"processor", "/sys/fs/cgroup/cpu.max"},
        std::pair{"processes", "/sys/fs/cgroup/pids.max"}}) {
    const std::string value = first_line(path);
    if (!value.empty()) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, value);
  }
  return text.empty() ? "no limits to be seen" : text;
}

// Whether the variable's value may be shown: one of a flag that takes no free text.
bool is_plain_variable(std::string_view name, const std::vector<Command>& commands) {
  for (const Command& command : commands) {
    for (const Flag& flag : command.flags) {
      if (!flag.has_environment || flag.environment() != name) continue;
      const ValueKind kind = value_kind(flag.value);
      return kind != ValueKind::kText && kind != ValueKind::kModel && kind != ValueKind::kPulled;
    }
  }
  const auto plain = plain_settings();
  return name == "NARU_CONFIG" ||
         std::any_of(plain.begin(), plain.end(), [name](const PlainSetting& each) { return each.variable == name; });
}

}  // namespace

std::string system_line() {
  utsname system{};
  std::string text = "unknown";
  if (::uname(&system) == 0) text = fmt::format("{} {} on {}", system.sysname, system.release, system.machine);
  const std::string name = system_field("/etc/os-release", "PRETTY_NAME", '=');
  if (!name.empty()) text += ", " + name;
#ifdef _CS_GNU_LIBC_VERSION
  char libc[64] = "";
  if (::confstr(_CS_GNU_LIBC_VERSION, libc, sizeof libc) > 0) text += fmt::format(", {}", libc);
#endif
  return one_line(text);
}

ReportRows machine_rows() {
  const cpu::Machine machine = cpu::describe_machine();
  ReportRows rows;
  rows.emplace_back("processor", fmt::format("{}; {} cores of {} for this process", one_line(machine.processor),
                                             machine.cores, std::thread::hardware_concurrency()));
  rows.emplace_back("caches", fmt::format("{}, {}, {}", format_bytes(machine.l1_bytes), format_bytes(machine.l2_bytes),
                                          format_bytes(machine.l3_bytes)));
  rows.emplace_back("instructions", cpu::feature_names(cpu::features()));
  std::string levels;
  for (const cpu::LevelInfo& level : cpu::cpu_levels()) {
    levels += fmt::format("{}{}{}", levels.empty() ? "" : "; ", level.name,
                          level.present ? "" : fmt::format(" absent ({})", level.why_not));
  }
  rows.emplace_back("levels", levels);
  std::string chips;
  for (const chips::ChipEntry& entry : chips::all_chips()) {
    chips += fmt::format("{}{}: {}", chips.empty() ? "" : "; ", entry.name, one_line(chip_state(entry)));
  }
  rows.emplace_back("chips", chips);
  rows.emplace_back("memory", memory_line());
  rows.emplace_back(
      "limits", fmt::format("addresses {}, stack {}, files {}, processes {}, locked {}", limit_text(RLIMIT_AS, true),
                            limit_text(RLIMIT_STACK, true), limit_text(RLIMIT_NOFILE, false),
                            limit_text(RLIMIT_NPROC, false), limit_text(RLIMIT_MEMLOCK, true)));
  rows.emplace_back("control group", control_group_line());
  return rows;
}

ReportRows terminal_rows() {
  const auto word = [](const char* name) {
    const char* text = std::getenv(name);
    return text == nullptr || *text == '\0' ? std::string("not set") : one_line(text);
  };
  const auto is = [](bool is_terminal) { return is_terminal ? "terminal" : "none"; };
  const char* all = std::getenv("LC_ALL");
  const char* own = std::getenv("LC_CTYPE");
  const std::string locale = all != nullptr && *all != '\0'   ? word("LC_ALL")
                             : own != nullptr && *own != '\0' ? word("LC_CTYPE")
                                                              : word("LANG");
  return {{"terminal", fmt::format("input {}, output {}, errors {}; TERM {}; {} columns; NO_COLOR {}; locale {}",
                                   is(stdin_is_terminal()), is(stdout_is_terminal()), is(stderr_is_terminal()),
                                   word("TERM"), terminal_columns(), word("NO_COLOR"), locale)}};
}

std::string environment_line(const std::vector<Command>& commands) {
  std::vector<std::string> found;
  for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = text.substr(0, equals), value = text.substr(equals + 1);
    const bool is_of_network = name == "PIP_INDEX_URL" || name == "CURL_CA_BUNDLE" || name.ends_with("_PROXY") ||
                               name.ends_with("_proxy") || name.starts_with("SSL_CERT_");
    if (!name.starts_with("NARU_") && !name.starts_with("HF_") && !is_of_network) continue;
    constexpr size_t kShownMax = 120;
    const bool is_shown = is_plain_variable(name, commands) && value.size() <= kShownMax;
    found.push_back(one_line(name) + (is_shown ? "=" + one_line(path_from_home(std::string(value))) : " set"));
  }
  std::sort(found.begin(), found.end());
  std::string text;
  for (const std::string& each : found) text += (text.empty() ? "" : ", ") + each;
  return text.empty() ? "nothing of naru's or the hub's" : text;
}

}  // namespace naru::cli
