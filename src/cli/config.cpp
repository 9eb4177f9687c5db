// naru config: what each key of the defaults file is here and now, and whether the command line, the environment or the
// file said so.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/defaults.h"
#include "cli/json_text.h"
#include "cli/options.h"
#include "cli/program.h"
#include "cli/terminal.h"
#include "hub/models_folder.h"

namespace naru::cli {
namespace {

struct ConfigOptions {
  std::string key;                 // empty: all
  std::vector<std::string> words;  // flags, as the command of the key would get them
  bool json = false;
};

struct ConfigRow {
  std::string key;  // "threads", "run.temperature"
  Setting setting;
  std::string flag;  // "--threads N"; empty: it has none
  std::string variable;
  std::string help;
  std::string otherwise;  // the value that holds where nobody said one, where that is known here
};

std::string_view origin_word(Origin origin) {
  switch (origin) {
    case Origin::kCommandLine: return "flag";
    case Origin::kEnvironment: return "environment";
    case Origin::kDefaults: return "file";
    case Origin::kNowhere: break;
  }
  return "default";
}

// "--threads", "NARU_THREADS", "~/.config/naru/config.toml:3", "default"
std::string source_of(const Setting& setting) {
  if (setting.origin == Origin::kNowhere) return "default";
  const std::string& source = setting.given.empty() ? std::string("the file") : setting.given.front().source;
  return setting.origin == Origin::kDefaults ? source.substr(0, source.rfind(": ")) : source;
}

std::string config_value(const ConfigRow& row) {
  std::string text;
  for (const Given& given : row.setting.given) text += (text.empty() ? "" : ", ") + one_line(given.text);
  if (row.setting.origin == Origin::kNowhere) return row.otherwise.empty() ? "-" : row.otherwise;
  return text.empty() ? "(empty)" : text;
}

ConfigRow row_of_plain(const PlainSetting& plain, const Defaults& defaults) {
  ConfigRow row{std::string(plain.key), {}, "", std::string(plain.variable), std::string(plain.help), ""};
  const char* text = std::getenv(row.variable.c_str());
  const Default* value = defaults.find("", plain.key);
  if (text != nullptr && *text != '\0') {
    row.setting = {Origin::kEnvironment, {{row.variable, text}}};
  } else if (value != nullptr) {
    row.setting = {Origin::kDefaults, {{defaults.source(*value), value->texts.front()}}};
  } else if (plain.key == "models") {
    const auto folder = hub::models_folder();
    if (folder.ok()) row.otherwise = one_line(path_from_home(*folder));
  }
  return row;
}

ConfigRow row_of_flag(std::string key, const Flag& flag, Setting setting) {
  const std::string word = flag.value.empty() ? flag.dashed() : flag.dashed() + " " + flag.value;
  return {std::move(key), std::move(setting), word, flag.environment(), flag.help, ""};
}

// What the command of a key gets: from `words` too, as far as they are its flags.
Result<std::vector<Setting>> settings_of(const Command& command, const std::vector<std::string>& words,
                                         const Defaults& defaults) {
  Command flags_alone = command;
  flags_alone.arguments.clear();
  flags_alone.check = nullptr;
  std::vector<Setting> settings;
  NARU_TRY(parse_command(flags_alone, words, defaults, &settings));
  if (settings.size() == command.flags.size()) return settings;
  return Error{Code::kInvalidArgument,
               "reading the command line: naru config: --help was given behind --; give flags "
               "with values there"};
}

Setting setting_of_top(const Flag& flag, const Defaults& defaults) {
  Command none{.name = "", .summary = "", .description = ""};
  return setting_of(none, flag, defaults);
}

Result<std::vector<ConfigRow>> config_rows(const ConfigOptions& options, const std::vector<Command>& commands,
                                           const Defaults& defaults) {
  std::vector<ConfigRow> top, own;
  for (const PlainSetting& plain : plain_settings()) top.push_back(row_of_plain(plain, defaults));
  const size_t dot = options.key.find('.');
  for (const Command& command : commands) {
    std::vector<Setting> settings;
    const bool is_meant = dot != std::string::npos && options.key.substr(0, dot) == command.name;
    if (is_meant && !options.words.empty()) {
      NARU_ASSIGN(settings, settings_of(command, options.words, defaults));
    }
    for (size_t i = 0; i < command.flags.size(); ++i) {
      const Flag& flag = command.flags[i];
      if (!may_default(command, flag)) continue;
      own.push_back(row_of_flag(command.name + "." + flag.long_name, flag,
                                settings.empty() ? setting_of(command, flag, defaults) : settings[i]));
      const bool is_there =
          std::any_of(top.begin(), top.end(), [&](const auto& row) { return row.key == flag.long_name; });
      if (!is_there && may_default_for_all(flag)) {
        top.push_back(row_of_flag(flag.long_name, flag, setting_of_top(flag, defaults)));
      }
    }
  }
  top.insert(top.end(), std::make_move_iterator(own.begin()), std::make_move_iterator(own.end()));
  return top;
}

Json config_row_json(const ConfigRow& row) {
  Json value = nullptr;
  if (row.setting.origin != Origin::kNowhere) {
    value = Json::array();
    for (const Given& given : row.setting.given) value.push_back(given.text);
    if (value.size() == 1) value = Json(row.setting.given.front().text);
  } else if (!row.otherwise.empty()) {
    value = row.otherwise;
  }
  return {{"key", row.key},
          {"value", std::move(value)},
          {"origin", origin_word(row.setting.origin)},
          {"source", source_of(row.setting)},
          {"flag", row.flag.empty() ? Json(nullptr) : Json(row.flag)},
          {"variable", row.variable},
          {"help", row.help}};
}

Status show_one(const ConfigRow& row, bool json) {
  if (json) return write_out(json_text(config_row_json(row)));
  std::string text = fmt::format("{} = {}\nfrom      {}\nmeaning   {}\n", row.key, config_value(row),
                                 one_line(source_of(row.setting)), row.help);
  if (!row.flag.empty()) text += fmt::format("flag      {}\n", row.flag);
  return write_out(text + fmt::format("variable  {}\n", row.variable));
}

Status show_all(const std::vector<ConfigRow>& rows, const Defaults& defaults, bool json) {
  const auto path = defaults_path();
  const std::string file = path ? one_line(path_from_home(*path)) : "";
  if (json) {
    Json list = Json::array();
    for (const ConfigRow& row : rows) list.push_back(config_row_json(row));
    return write_out(json_text({{"file", file.empty() ? Json(nullptr) : Json(file)},
                                {"is_there", !defaults.file.empty()},
                                {"keys", std::move(list)}}));
  }
  const std::string state = !defaults.file.empty() ? "" : file.empty() ? "no defaults file" : " (it is not there)";
  std::string text = fmt::format("{}{}\n\n", file, state);
  constexpr int kKeyColumns = 24, kValueColumns = 28;
  text += styled(fmt::format("{:<{}}  {:<{}}  from", "key", kKeyColumns, "value", kValueColumns), Style::kDim,
                 Stream::kOut) +
          "\n";
  for (const ConfigRow& row : rows) {
    std::string value = config_value(row);
    const int64_t columns = display_columns(value);
    if (columns < kValueColumns) value.append(static_cast<size_t>(kValueColumns - columns), ' ');
    text += fmt::format("{:<{}}  {}  {}\n", row.key, kKeyColumns, value, one_line(source_of(row.setting)));
  }
  return write_out(text);
}

Status config_command(const ConfigOptions& options) {
  NARU_ASSIGN(const Defaults defaults, read_defaults(all_commands()));
  if (!defaults.note.empty()) print_note(defaults.note);
  const std::vector<Command> commands = all_commands();
  NARU_ASSIGN(const std::vector<ConfigRow> rows, config_rows(options, commands, defaults));
  if (options.key.empty()) return show_all(rows, defaults, options.json);
  std::vector<std::string_view> names;
  for (const ConfigRow& row : rows) {
    if (row.key == options.key) return show_one(row, options.json);
    names.push_back(row.key);
  }
  const auto near = nearest(options.key, names);
  return Error{Code::kInvalidArgument,
               fmt::format("reading the command line: naru config: there is no key '{}'; {}`naru config` lists them",
                           one_line(options.key), near ? fmt::format("did you mean {}? ", *near) : "")};
}

}  // namespace

Command make_config() {
  auto o = std::make_shared<ConfigOptions>();
  Command c{
      .name = "config",
      .summary = "the defaults in force, and where each came from",
      .description =
          "Lists the keys of the defaults file (~/.config/naru/config.toml; NARU_CONFIG names another), each "
          "with its value and where that came from: a flag, the environment, a line of the file, or nowhere, which "
          "leaves the default of its command. With KEY: that one, and what it means."};
  c.arguments = {{"KEY", "as the list has it: threads, or run.temperature", false,
                  [o](const Given& given) -> Status {
                    o->key = given.text;
                    return {};
                  }},
                 {"FLAGS", "behind --: flags of the key's command, to see what they change", false,
                  [o](const Given& given) -> Status {
                    o->words.push_back(given.text);
                    return {};
                  },
                  true}};
  c.flags = {{"json", "", kGroupOutput, "one JSON object: file, keys, or that of KEY",
              [o](const Given&) -> Status {
                o->json = true;
                return {};
              },
              0, false, false}};
  c.examples = {{"naru config", "All keys."},
                {"naru config run.temperature", "One, and which line of which file set it."},
                {"naru config run.top-k -- --top-k 5", "What naru run --top-k 5 would take."}};
  c.check = [o]() -> Status {
    if (o->words.empty() || o->key.find('.') != std::string::npos) return {};
    return Error{
        Code::kInvalidArgument,
        fmt::format("reading the command line: naru config: flags were given, and '{}' is a key of no one command; "
                    "name the command's, as run.{}",
                    one_line(o->key), one_line(o->key))};
  };
  c.reads_defaults = false;
  c.run = [o] { return config_command(*o); };
  return c;
}

}  // namespace naru::cli
