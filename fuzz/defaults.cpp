// A defaults file against a table with a flag of every kind: what is accepted is of the table and in its ranges.
#include "cli/defaults.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "formats/utf8.h"

namespace {

using namespace naru;
using namespace naru::cli;

// Keeps nothing: the reader is what is tried.
Flag flag_of(std::string name, std::string value, std::string_view group, bool is_repeatable, bool has_environment) {
  const ValueKind kind = value_kind(value);
  return {std::move(name),
          std::move(value),
          group,
          "",
          [kind](const Given& given) -> Status {
            if (kind == ValueKind::kWhole) NARU_TRY(parse_integer(given, -5, 5000));
            if (kind == ValueKind::kNumber) NARU_TRY(parse_number(given, 0, 1));
            if (kind == ValueKind::kList) NARU_TRY(parse_integers(given, 0, 5000, 8));
            NARU_CHECK(given.text.find('\0') == std::string::npos);
            return {};
          },
          0,
          is_repeatable,
          has_environment};
}

std::vector<Command> table() {
  Command run{.name = "run", .summary = "", .description = ""};
  for (const char* value : {"", "N", "X", "on|off", "f32|bf16", "LIST", "FILE", "FOLDER", "MODEL", "TEXT"}) {
    const std::string name = fmt::format("of-{}", run.flags.size());
    run.flags.push_back(flag_of(name, value, kGroupAnswer, false, true));
    run.flags.push_back(flag_of(name + "-many", value, kGroupAnswer, true, true));
  }
  run.flags.push_back(flag_of("threads", "N", kGroupMachine, false, true));
  run.flags.push_back(flag_of("json", "", kGroupOutput, false, false));
  Command train{.name = "train", .summary = "", .description = ""};
  train.flags = {run.flags[2], flag_of("threads", "N", kGroupMachine, false, true)};
  train.has_recipe = true;
  return {run, train};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<Command> kTable = table();
  const auto defaults = parse_defaults({reinterpret_cast<const char*>(data), size}, "/fuzz.toml", kTable);
  if (!defaults.ok()) {
    NARU_CHECK(formats::is_valid_utf8(defaults.error().message));
    return 0;
  }
  for (const Default& value : defaults->values) {
    NARU_CHECK(value.line > 0 && !value.key.empty());
    if (value.section != "train") continue;
    NARU_CHECK(value.key == "threads", value.key);
  }
  for (const Command& command : kTable) {
    for (const Flag& flag : command.flags) {
      const Default* value = defaults->find(command, flag);
      if (value == nullptr) continue;
      NARU_CHECK(value->key == flag.long_name && may_default(command, flag));
      NARU_CHECK(flag.is_repeatable || value->texts.size() == 1);
    }
  }
  return 0;
}
