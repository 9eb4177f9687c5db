#include "cli/defaults.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/file.h"
#include "base/home.h"
#include "base/nearest.h"
#include "base/shown_text.h"
#include "formats/utf8.h"
#include "recipes/toml_text.h"

namespace naru::cli {
namespace {

namespace fs = std::filesystem;
using recipes::TomlValue;
using TomlKind = recipes::TomlValue::Kind;

constexpr PlainSetting kPlainSettings[] = {
    {"models", "NARU_MODELS", "FOLDER",
     "folder of the models that naru pull gets; default: ~/.local/share/naru/models"},
    {"cpu", "NARU_CPU", "baseline|avx2|avx512|avx512vnni|amx",
     "level of instructions of the CPU chip; default: the best that this machine has"},
};

std::string variable_text(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}

std::string wanted_of(ValueKind kind, std::string_view word) {
  switch (kind) {
    case ValueKind::kSwitch: return "true or false";
    case ValueKind::kWhole: return "a whole number";
    case ValueKind::kNumber: return "a number";
    case ValueKind::kList: return "a list of whole numbers, as [0, 512]";
    case ValueKind::kFile:
    case ValueKind::kFolder:
    case ValueKind::kModel: return "a path in quotation marks that begins with / or ~/";
    case ValueKind::kPulled:
    case ValueKind::kCommand:
    case ValueKind::kText: return "a text in quotation marks";
    case ValueKind::kWords: break;
  }
  std::string list;
  for (const std::string& each : value_words(word)) list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", each);
  return "one of " + list;
}

std::optional<std::string> path_text(const std::string& path) {
  std::string whole = with_home(path);
  return whole.starts_with('/') ? std::optional(std::move(whole)) : std::nullopt;
}

// The value as the command line would have it; nothing where it is of another kind.
std::optional<std::string> text_of_value(const TomlValue& value, std::string_view word) {
  const ValueKind kind = value_kind(word);
  const std::vector<std::string> words = value_words(word);
  const auto has = [&words](std::string_view each) {
    return std::find(words.begin(), words.end(), each) != words.end();
  };
  if (value.kind == TomlKind::kText && value.text.find('\0') != std::string::npos) return std::nullopt;
  switch (kind) {
    case ValueKind::kSwitch:
      if (value.kind != TomlKind::kTruth) return std::nullopt;
      return value.truth ? "on" : "off";
    case ValueKind::kNumber:
      if (value.kind == TomlKind::kNumber) return fmt::format("{}", value.number);
      [[fallthrough]];
    case ValueKind::kWhole:
      if (value.kind != TomlKind::kInteger) return std::nullopt;
      return fmt::format("{}", value.integer);
    case ValueKind::kWords:
      if (value.kind == TomlKind::kTruth && has("on") && has("off")) return value.truth ? "on" : "off";
      if (value.kind != TomlKind::kText || !has(value.text)) return std::nullopt;
      return value.text;
    case ValueKind::kList: {
      if (value.kind != TomlKind::kList || value.list.empty()) return std::nullopt;
      std::string list;
      for (const TomlValue& each : value.list) {
        if (each.kind != TomlKind::kInteger) return std::nullopt;
        list += fmt::format("{}{}", list.empty() ? "" : ",", each.integer);
      }
      return list;
    }
    case ValueKind::kFile:
    case ValueKind::kFolder:
    case ValueKind::kModel: return value.kind == TomlKind::kText ? path_text(value.text) : std::nullopt;
    case ValueKind::kPulled:
    case ValueKind::kCommand:
    case ValueKind::kText: break;
  }
  return value.kind == TomlKind::kText ? std::optional<std::string>(value.text) : std::nullopt;
}

class DefaultsReader {
 public:
  DefaultsReader(const std::string& file, std::span<const Command> commands) : commands_(commands) {
    defaults_.file = file;
  }

  Result<Defaults> read(const TomlValue& root) {
    for (const TomlValue& entry : root.table) {
      NARU_TRY(entry.kind == TomlKind::kTable ? read_section(entry) : read_top(entry));
    }
    return std::move(defaults_);
  }

 private:
  Error bad(const TomlValue& at, std::string_view key, std::string_view found, std::string_view next) const {
    return {Code::kInvalidArgument, fmt::format("reading the defaults: {}:{}: {}: {}; {}", defaults_.file, at.line,
                                                without_controls_on_one_line(key), found, next)};
  }

  // "did you mean X? `naru config` lists the keys"
  static std::string suggestion(std::string_view word, const std::vector<std::string_view>& names) {
    const auto near = nearest(word, names);
    return fmt::format("{}`naru config` lists the keys", near ? fmt::format("did you mean {}? ", *near) : "");
  }

  Status read_top(const TomlValue& entry) {
    std::vector<std::string_view> names;
    for (const PlainSetting& plain : kPlainSettings) {
      if (plain.key == entry.key) return keep("", entry, plain.value, false);
      names.push_back(plain.key);
    }
    const Flag* elsewhere = nullptr;
    std::string_view section;
    for (const Command& command : commands_) {
      for (const Flag& flag : command.flags) {
        if (may_default_for_all(flag)) {
          if (flag.long_name == entry.key) return keep("", entry, flag.value, flag.is_repeatable);
          names.push_back(flag.long_name);
        } else if (flag.long_name == entry.key && may_default(command, flag) && elsewhere == nullptr) {
          elsewhere = &flag, section = command.name;
        }
      }
    }
    if (elsewhere != nullptr) {
      return bad(entry, entry.key, "it is of single commands, and stands at the top of the file",
                 fmt::format("write it below a line [{}]", section));
    }
    return bad(entry, entry.key, "there is no such key at the top of the file", suggestion(entry.key, names));
  }

  Status read_section(const TomlValue& section) {
    std::vector<std::string_view> names;
    for (const Command& command : commands_) {
      if (command.name == section.key) {
        for (const TomlValue& entry : section.table) NARU_TRY(read_entry(command, entry));
        return {};
      }
      names.push_back(command.name);
    }
    return bad(section, fmt::format("[{}]", section.key), "there is no command of this name",
               suggestion(section.key, names));
  }

  Status read_entry(const Command& command, const TomlValue& entry) {
    const std::string path = command.name + "." + entry.key;
    std::vector<std::string_view> names;
    for (const Flag& flag : command.flags) {
      const bool may = may_default(command, flag);
      if (may) names.push_back(flag.long_name);
      if (flag.long_name != entry.key) continue;
      if (may) return keep(command.name, entry, flag.value, flag.is_repeatable);
      if (command.has_recipe && flag.has_environment) {
        return bad(entry, path, "it decides what a run becomes, which is its recipe's to say", "write it there");
      }
      return bad(entry, path, "it is no default: every command line says it for itself",
                 "take it out, and give it as " + flag.dashed());
    }
    return bad(entry, path, "there is no such key", suggestion(entry.key, names));
  }

  // Keeps the entry, and sets it in all commands that take it, which know its range.
  Status keep(const std::string& section, const TomlValue& entry, std::string_view word, bool is_repeatable) {
    Default value{section, entry.key, {}, entry.line};
    const bool is_list = is_repeatable && value_kind(word) != ValueKind::kList && entry.kind == TomlKind::kList;
    const std::span<const TomlValue> elements = is_list ? std::span(entry.list) : std::span(&entry, 1);
    for (const TomlValue& element : elements) {
      auto text = text_of_value(element, word);
      if (!text) {
        const std::string wanted = wanted_of(value_kind(word), word) + (is_repeatable ? ", or a list of such" : "");
        return bad(entry, value.path(),
                   fmt::format("{} was given, {} was wanted", recipes::toml_brief(element), wanted),
                   fmt::format("`naru config {}` says what it means", value.path()));
      }
      value.texts.push_back(*std::move(text));
    }
    for (const Command& command : commands_) {
      if (!section.empty() && command.name != section) continue;
      for (const Flag& flag : command.flags) {
        if (flag.long_name != entry.key || !may_default(command, flag)) continue;
        for (const std::string& text : value.texts) {
          if (!flag.value.empty()) NARU_TRY(flag.set({defaults_.source(value), text}));
        }
      }
    }
    defaults_.values.push_back(std::move(value));
    return {};
  }

  std::span<const Command> commands_;
  Defaults defaults_;
};

}  // namespace

std::span<const PlainSetting> plain_settings() {
  return kPlainSettings;
}

bool may_default_for_all(const Flag& flag) {
  return flag.has_environment && flag.group == kGroupMachine;
}

bool may_default(const Command& command, const Flag& flag) {
  return command.has_recipe ? may_default_for_all(flag) : flag.has_environment;
}

const Default* Defaults::find(std::string_view section, std::string_view key) const {
  const auto found = std::find_if(values.begin(), values.end(),
                                  [&](const Default& value) { return value.section == section && value.key == key; });
  return found == values.end() ? nullptr : &*found;
}

const Default* Defaults::find(const Command& command, const Flag& flag) const {
  if (!may_default(command, flag)) return nullptr;
  const Default* own = find(command.name, flag.long_name);
  return own != nullptr || !may_default_for_all(flag) ? own : find("", flag.long_name);
}

std::string Defaults::source(const Default& value) const {
  return fmt::format("{}:{}: {}", file, value.line, value.path());
}

std::optional<fs::path> defaults_path() {
  if (const std::string given = variable_text("NARU_CONFIG"); !given.empty()) {
    if (given == "/dev/null") return std::nullopt;
    std::error_code ignored;
    fs::path whole = fs::absolute(given, ignored);
    return whole.empty() ? fs::path(given) : whole;
  }
  if (const std::string folder = variable_text("XDG_CONFIG_HOME"); folder.starts_with('/')) {
    return fs::path(folder) / "naru" / "config.toml";
  }
  const std::string home = variable_text("HOME");
  if (!home.starts_with('/')) return std::nullopt;
  return fs::path(home) / ".config" / "naru" / "config.toml";
}

Result<Defaults> parse_defaults(std::string_view toml, const std::string& file, std::span<const Command> commands) {
  NARU_ASSIGN(const TomlValue root,
              recipes::parse_toml(formats::without_byte_order_mark(toml), "reading the defaults: " + file));
  return DefaultsReader(file, commands).read(root);
}

Result<Defaults> read_defaults(std::span<const Command> commands) {
  const auto path = defaults_path();
  if (!path) return Defaults{};
  std::error_code code;
  const bool is_there = fs::exists(*path, code);
  const std::string file = without_controls_on_one_line(formats::printable(path_from_home(*path), 1000));
  if (!is_there && variable_text("NARU_CONFIG").empty()) {
    Defaults none;
    if (code) none.note = fmt::format("looking for defaults: {}: {}; going on without", file, code.message());
    return none;
  }
  auto text = read_file(*path, kDefaultsBytesMax);
  if (!text.ok()) {
    return Error{text.error().code, fmt::format("reading the defaults: {}; mend the file, or set NARU_CONFIG=/dev/null "
                                                "to go without it",
                                                text.error().message)};
  }
  return parse_defaults(*text, file, commands);
}

void set_variables(const Defaults& defaults) {
  for (const PlainSetting& plain : kPlainSettings) {
    const Default* value = defaults.find("", plain.key);
    const std::string variable(plain.variable);
    if (value != nullptr && variable_text(variable.c_str()).empty()) {
      ::setenv(variable.c_str(), value->texts.front().c_str(), 1);
    }
  }
}

std::string path_from_home(const fs::path& path) {
  const std::string home = variable_text("HOME"), text = path.string();
  if (home.size() < 2 || !home.starts_with('/') || !text.starts_with(home)) return text;
  const size_t end = home.ends_with('/') ? home.size() - 1 : home.size();
  return text.size() == end || text[end] == '/' ? "~" + text.substr(end) : text;
}

}  // namespace naru::cli
