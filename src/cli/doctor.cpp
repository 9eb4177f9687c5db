// naru doctor: whether naru can work here, as one block to paste into a report; and where it cannot, what to do.
// Nothing is changed and no network is used.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/builtin_file.h"
#include "base/memory.h"
#include "builtin/builtin.h"
#include "cli/defaults.h"
#include "cli/interrupts.h"
#include "cli/machine_report.h"
#include "cli/options.h"
#include "cli/program.h"
#include "cli/self_test.h"
#include "cli/terminal.h"
#include "cli/version.h"
#include "contract/kinds.h"
#include "hub/models_folder.h"

namespace naru::cli {
namespace {

// With less, even the smallest models do not load (docs/limits.md).
constexpr int64_t kWorkingBytes = 100 << 20;

class Doctor {
 public:
  Status examine() {
    end_at_first_interrupt();
    row("version", version_line());
    row("arithmetic", std::string(contract::kArithmeticVersion));
    row("build", fmt::format("{}, {}; {}", kBuildInfo.compiler, kBuildInfo.build, levels_line()));
    row("system", system_line());
    // Before the file's own values are in the environment.
    const std::string environment = environment_line(all_commands());
    look_at_defaults();
    rows(machine_rows());
    look_at_memory();
    look_at_models();
    row("environment", environment);
    look_at_flags();
    rows(terminal_rows());
    look_at_chip();
    test_bits();
    row("result", problems_.empty() ? "all is well" : fmt::format("{} wrong, see below", problems_.size()));
    std::string text = styled("naru doctor", Style::kBold, Stream::kOut) + "\n" + text_;
    for (const Error& each : problems_) {
      text += fmt::format("  {:<14} {}\n", "problem", without_home(one_line(each.message)));
    }
    NARU_TRY(write_out(text));
    return problems_.empty() ? Status() : Status(problems_.front());
  }

 private:
  void row(std::string_view name, const std::string& value) { text_ += fmt::format("  {:<14} {}\n", name, value); }
  void rows(const ReportRows& rows) {
    for (const auto& [name, value] : rows) row(name, value);
  }
  void problem(Error error) { problems_.push_back(std::move(error)); }

  void look_at_defaults() {
    const auto path = defaults_path();
    const std::string name = path ? one_line(path_from_home(*path)) : "none";
    auto found = read_defaults(all_commands());
    if (!found.ok()) {
      row("defaults", name + ": cannot be used");
      return problem(std::move(found).error());
    }
    defaults_ = std::move(found).value();
    std::string state = path ? ": not there" : "";
    if (!defaults_.file.empty()) state = fmt::format(": {} keys", defaults_.values.size());
    if (!defaults_.note.empty()) state = ": may not be looked for by this user";
    row("defaults", name + state);
    set_variables(defaults_);
  }

  void look_at_memory() {
    const int64_t bytes = available_memory_bytes();
    if (bytes >= kWorkingBytes) return;
    problem(
        {Code::kResourceExhausted,
         fmt::format("looking at the memory: {} are available, {} at least were wanted; end other programs, or raise "
                     "the limit (ulimit -v, the control group)",
                     format_bytes(bytes), format_bytes(kWorkingBytes))});
  }

  void look_at_builtin() {
    const builtin::BuiltinModel* model = builtin::builtin_model();
    if (model == nullptr) return row("built in", "no model");
    const auto bytes = builtin_file_bytes(model->path);
    row("built in", fmt::format("{}, {}, {}", model->name, format_bytes(model->bytes),
                                bytes.ok() ? "its SHA-256 is right" : "DAMAGED"));
    if (!bytes.ok()) problem(bytes.error());
  }

  void look_at_models() {
    const auto folder = hub::models_folder();
    if (!folder.ok()) return problem(folder.error());
    const auto list = hub::list_models(*folder);
    if (!list.ok()) return problem(list.error());
    int64_t n_whole = 0, bytes = 0;
    for (const hub::PulledModel& model : list->models) {
      n_whole += model.is_whole ? 1 : 0;
      bytes += model.bytes_here;
    }
    const int64_t n_begun = static_cast<int64_t>(list->models.size()) - n_whole;
    std::string text = fmt::format("{}: {} pulled, {} not finished, {}", one_line(path_from_home(*folder)), n_whole,
                                   n_begun, format_bytes(bytes));
    if (!list->notes.empty())
      text += fmt::format(", {} that cannot be read (naru list names them)", list->notes.size());
    row("models", text);
    look_at_builtin();
    std::error_code ignored;
    std::filesystem::path place = *folder;  // that will be made below what is there
    while (!std::filesystem::exists(place, ignored) && place.has_relative_path()) place = place.parent_path();
    const auto free = hub::free_bytes(place);
    row("disk", free.ok() ? fmt::format("{} free for models", format_bytes(*free)) : "unknown");
  }

  // A variable is wrong where no command would take it.
  void look_at_flags() {
    std::map<std::string, Status> of_variable;
    for (const Command& command : all_commands()) {
      for (const Flag& flag : command.flags) {
        const Setting setting = setting_of(command, flag, {});
        if (setting.origin != Origin::kEnvironment) continue;
        const Given& given = setting.given.front();
        Status status = flag.value.empty() ? check_switch(given) : flag.set(given);
        const auto [place, is_first] = of_variable.emplace(given.source, status);
        if (!is_first && status.ok()) place->second = status;
      }
    }
    for (const auto& [name, status] : of_variable) {
      if (!status.ok()) problem(status.error());
    }
  }
  static Status check_switch(const Given& given) {
    NARU_TRY(parse_switch(given));
    return {};
  }

  // What the environment or the file says of a flag of all commands; empty: nothing.
  std::string said_of(std::string_view name) const {
    const Command any{.name = "", .summary = "", .description = ""};
    for (const Command& command : all_commands()) {
      for (const Flag& flag : command.flags) {
        if (flag.long_name != name || !may_default_for_all(flag)) continue;
        const Setting setting = setting_of(any, flag, defaults_);
        return setting.given.empty() ? "" : setting.given.front().text;
      }
    }
    return "";
  }

  void look_at_chip() {
    const std::string name = said_of("chip"), threads = said_of("threads");
    chips::ChipOptions options;
    const auto n_threads = parse_integer({"", threads}, 1, 1024);  // another number is a problem of its variable
    if (n_threads.ok()) options.n_threads = static_cast<int>(*n_threads);
    const auto made = chips::make_chip(name.empty() ? chips::all_chips().front().name : name, options);
    if (!made.ok()) return problem(made.error());
    const contract::ChipInfo info = (*made)->info();
    row("in use", fmt::format("chip {}{}, {} thread{}", info.name, info.level.empty() ? "" : ", level " + info.level,
                              info.n_threads, info.n_threads == 1 ? "" : "s"));
  }

  void test_bits() {
    const auto begin = std::chrono::steady_clock::now();
    const auto test = run_self_test();
    if (!test.ok()) {
      row("bits", "not tested");
      return problem(test.error());
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    std::string forms;
    for (const std::string& form : test->forms) forms += (forms.empty() ? "" : ", ") + form;
    for (const std::string& form : test->not_made) forms += fmt::format(", not on {}", form);
    if (test->differences.empty()) {
      return row("bits", fmt::format("right: {} ops on {} as on the reference chip, in {:.2f} s", test->n_ops, forms,
                                     seconds.count()));
    }
    row("bits", fmt::format("WRONG: {} of {} ops", test->differences.size(),
                            test->forms.size() * static_cast<size_t>(test->n_ops)));
    problem(
        {Code::kInternal, fmt::format("testing the bits: {}; this processor or this build does not compute what is "
                                      "defined: please report it with this block, and use --chip reference or another "
                                      "level (NARU_CPU) meanwhile",
                                      test->differences.front())});
  }

  // The text with ~ in the place of the home folder, wherever it names it.
  static std::string without_home(std::string text) {
    const char* variable = std::getenv("HOME");
    const std::string home = variable == nullptr ? "" : variable;
    if (home.size() < 2 || home.ends_with('/')) return text;
    for (size_t at = text.find(home + "/"); at != std::string::npos; at = text.find(home + "/", at + 1)) {
      text.replace(at, home.size(), "~");
    }
    return text;
  }

  std::string text_;
  Defaults defaults_;
  std::vector<Error> problems_;
};

}  // namespace

Command make_doctor() {
  Command c{
      .name = "doctor",
      .summary = "whether naru can work here, as a block for a report",
      .description =
          "Looks at the program, the system, the processor, memory and limits, the models folder, the defaults and "
          "the environment, and runs a few ops on every chip and level to compare their bits. Changes nothing, uses "
          "no network, and prints no secret and no path of the user's home. The status is 0 where all is well, else "
          "that of the first problem, whose message says what to do."};
  c.examples = {{"naru doctor", "Two seconds at most; paste what it prints."}};
  c.reads_defaults = false;
  c.run = [] { return Doctor().examine(); };
  return c;
}

}  // namespace naru::cli
