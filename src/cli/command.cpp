#include "cli/command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <optional>

#include "base/home.h"
#include "cli/defaults.h"

namespace naru::cli {
namespace {

struct Bound {
  const Flag* flag;
  CLI::Option* option;
};

Error usage_error(const Command& command, std::string_view found, std::string_view next) {
  return {Code::kInvalidArgument, fmt::format("reading the command line: naru {}: {}; {}", command.name, found, next)};
}

// What is given for a word that means a path: ~ is the user's home there, also where the shell left it (--out=~/x).
Given given_for(std::string_view word, std::string source, const std::string& text) {
  const ValueKind kind = value_kind(word);
  const bool is_path = kind == ValueKind::kFile || kind == ValueKind::kFolder || kind == ValueKind::kModel;
  return {std::move(source), is_path ? with_home(text) : text};
}

// A flag that the command does not have, or one argument too many.
Error unknown_argument(const Command& command, const std::string& word) {
  const std::string see = fmt::format("`naru {} --help` lists what there is", command.name);
  if (!word.starts_with('-') || word == "-")
    return usage_error(command, fmt::format("'{}' is one argument too many", word), see);
  const std::string name = word.substr(0, word.find('='));
  std::vector<std::string> dashed = {"--help"};
  for (const Flag& flag : command.flags) dashed.push_back(flag.dashed());
  const std::vector<std::string_view> names(dashed.begin(), dashed.end());
  const auto has = [&](std::string_view flag) { return std::find(dashed.begin(), dashed.end(), flag) != dashed.end(); };
  std::optional<std::string_view> near = nearest(name, names);
  if ((name == "--quantize" || name == "--quantization") && has("--dtype")) near = "--dtype";
  const std::string found = fmt::format("it has no flag '{}'", name);
  if (command.has_recipe && (name == "--lr" || name == "--steps")) {
    return usage_error(command, found,
                       fmt::format("write {}, without dashes", name == "--lr" ? "optimizer.lr=1e-3" : "steps=5"));
  }
  return usage_error(command, found, near ? fmt::format("did you mean {}? {}", *near, see) : see);
}

std::vector<Bound> bind_flags(CLI::App& app, const Command& command) {
  std::vector<Bound> bound;
  for (const Flag& flag : command.flags) {
    std::string names = flag.dashed();
    if (flag.short_name != 0) names = fmt::format("-{},{}", flag.short_name, names);
    CLI::Option* option = flag.value.empty() ? app.add_flag(names) : app.add_option(names);
    if (!flag.value.empty()) {
      option->type_size(1)->expected(flag.is_repeatable ? -1 : 1)->allow_extra_args(false);
      option->multi_option_policy(flag.is_repeatable ? CLI::MultiOptionPolicy::TakeAll
                                                     : CLI::MultiOptionPolicy::TakeLast);
    }
    bound.push_back({&flag, option});
  }
  return bound;
}

// What the command line says of a flag.
std::optional<Setting> setting_on_line(const Bound& bound) {
  const Flag& flag = *bound.flag;
  if (bound.option->count() == 0) return std::nullopt;
  if (flag.value.empty()) return Setting{Origin::kCommandLine, {{flag.dashed(), "on"}}};
  Setting setting{Origin::kCommandLine, {}};
  const std::vector<std::string> results = bound.option->results();
  const size_t begin = flag.is_repeatable || results.empty() ? 0 : results.size() - 1;
  for (size_t i = begin; i < results.size(); ++i) setting.given.push_back({flag.dashed(), results[i]});
  return setting;
}

Status set_flag(const Flag& flag, const Setting& setting) {
  for (const Given& given : setting.given) {
    if (flag.value.empty()) {
      NARU_ASSIGN(const bool is_on, parse_switch(given));
      if (!is_on) continue;
    }
    NARU_TRY(flag.set(given_for(flag.value, given.source, given.text)));
  }
  return {};
}

Status set_arguments(const Command& command, const std::vector<CLI::Option*>& options) {
  for (size_t i = 0; i < options.size(); ++i) {
    const Argument& argument = command.arguments[i];
    if (options[i]->count() > 0) {
      for (const std::string& text : options[i]->results())
        NARU_TRY(argument.set(given_for(argument.name, argument.name, text)));
    } else if (argument.is_required) {
      return usage_error(command, fmt::format("{} is missing", argument.name),
                         fmt::format("it is {}; for example: {}", argument.help,
                                     command.examples.empty() ? command.name : command.examples.front().line));
    }
  }
  return {};
}

// The library's exceptions stop here. Nothing where the words were understood.
std::optional<Error> parse_words(CLI::App& app, const Command& command, const std::vector<Bound>& bound,
                                 std::vector<std::string> words) {
  std::reverse(words.begin(), words.end());  // the library takes them from the back
  try {
    app.parse(words);
    return std::nullopt;
  } catch (const CLI::ArgumentMismatch& problem) {
    for (const Bound& b : bound) {
      if (std::string(problem.what()).find(b.flag->dashed()) == std::string::npos) continue;
      return usage_error(command, fmt::format("nothing follows {}", b.flag->dashed()),
                         fmt::format("give {} {}", b.flag->dashed(), b.flag->value));
    }
    return usage_error(command, problem.what(), fmt::format("see `naru {} --help`", command.name));
  } catch (const std::exception& problem) {
    return usage_error(command, problem.what(), fmt::format("see `naru {} --help`", command.name));
  }
}

}  // namespace

std::string Flag::environment() const {
  std::string name = "NARU_";
  for (const char c : long_name) name += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  return name;
}

Setting setting_of(const Command& command, const Flag& flag, const Defaults& defaults) {
  if (!flag.has_environment) return {};
  const std::string name = flag.environment();
  const char* text = std::getenv(name.c_str());
  if (text != nullptr && *text != '\0') return {Origin::kEnvironment, {{name, text}}};
  const Default* found = defaults.find(command, flag);
  if (found == nullptr) return {};
  Setting setting{Origin::kDefaults, {}};
  for (const std::string& value : found->texts) setting.given.push_back({defaults.source(*found), value});
  return setting;
}

Result<ParseOutcome> parse_command(const Command& command, const std::vector<std::string>& arguments,
                                   const Defaults& defaults, std::vector<Setting>* settings) {
  CLI::App app;
  app.allow_extras(true);
  app.set_help_flag();
  CLI::Option* help = app.add_flag("-h,--help");
  const std::vector<Bound> bound = bind_flags(app, command);
  std::vector<CLI::Option*> positionals;
  for (const Argument& argument : command.arguments) {
    CLI::Option* option = app.add_option(argument.name)->type_size(1)->expected(argument.is_repeatable ? -1 : 1);
    option->allow_extra_args(argument.is_repeatable)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    positionals.push_back(option);
  }
  auto problem = parse_words(app, command, bound, arguments);
  // Help is given also where the rest of the line is wrong.
  const auto words_end = std::find(arguments.begin(), arguments.end(), "--");
  if (std::find(arguments.begin(), words_end, "--help") != words_end || (!problem && help->count() > 0)) {
    return ParseOutcome::kHelp;
  }
  if (problem) return *std::move(problem);
  std::vector<std::string> extras = app.remaining();
  if (words_end != arguments.end()) {  // the library leaves the word that ended the flags
    const auto end_mark = std::find(extras.begin(), extras.end(), "--");
    if (end_mark != extras.end()) extras.erase(end_mark);
  }
  // A mistyped flag leaves its value behind as an extra word: the flag is what to speak of.
  const auto flag_like =
      std::find_if(extras.begin(), extras.end(), [](const auto& w) { return w.size() > 1 && w[0] == '-'; });
  if (!extras.empty()) return unknown_argument(command, flag_like != extras.end() ? *flag_like : extras.front());
  for (const Bound& b : bound) {
    const auto on_line = setting_on_line(b);
    if (on_line && b.flag->has_list && on_line->given.back().text == kListWord) return ParseOutcome::kChipList;
  }
  for (const Bound& b : bound) {
    auto on_line = setting_on_line(b);
    const Setting setting = on_line ? *std::move(on_line) : setting_of(command, *b.flag, defaults);
    NARU_TRY(set_flag(*b.flag, setting));
    if (settings != nullptr) settings->push_back(setting);
  }
  NARU_TRY(set_arguments(command, positionals));
  if (command.check) NARU_TRY(command.check());
  return ParseOutcome::kRun;
}

}  // namespace naru::cli
