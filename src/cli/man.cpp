// naru man: pages of the manual in the macros of man(7), made from the table of commands.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/defaults.h"
#include "cli/options.h"
#include "cli/program.h"
#include "cli/terminal.h"
#include "cli/version.h"
#include "text/utf8.h"

namespace naru::cli {
namespace {

// Text as roff has it: nothing of it is a request or an escape, and every character is ASCII.
std::string roff(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const text::CodePoint c = text::code_point_at(text.data() + i);
    const char byte = text[i];
    if (i == 0 && (byte == '.' || byte == '\'')) out += "\\&";
    if (c.value >= 0x80) {
      out += fmt::format("\\[u{:04X}]", c.value);
    } else if (byte == '\\') {
      out += "\\e";
    } else if (byte == '-') {
      out += "\\-";
    } else if (byte == '\'' || byte == '`' || byte == '^' || byte == '~' || byte == '"') {
      out += byte == '\'' ? "\\(aq" : byte == '`' ? "\\(ga" : byte == '^' ? "\\(ha" : byte == '~' ? "\\(ti" : "\\(dq";
    } else {
      out += byte;
    }
    i += static_cast<size_t>(c.bytes);
  }
  return out;
}

std::string man_heading(const std::string& name) {
  std::string upper = name;
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return fmt::format(".TH \"{}\" 1 \"\" \"naru {}\" \"naru manual\"\n.nh\n.ad l\n", upper, kBuildInfo.version);
}

std::string man_tagged(const std::string& tag, std::string_view text) {
  return fmt::format(".TP\n{}\n{}\n", tag, roff(text));
}

std::string man_flag(const Flag& flag) {
  std::string tag = flag.short_name != 0 ? fmt::format("\\fB\\-{}\\fR, ", flag.short_name) : "";
  tag += fmt::format("\\fB{}\\fR", roff(flag.dashed()));
  if (!flag.value.empty()) tag += fmt::format(" \\fI{}\\fR", roff(flag.value));
  const std::string variable = flag.has_environment ? fmt::format(" ({})", flag.environment()) : "";
  return man_tagged(tag, flag.help + variable);
}

std::string man_examples(const Command& command) {
  std::string text = ".SH EXAMPLES\n";
  for (const Example& example : command.examples) {
    text += fmt::format("{}\n.PP\n.RS 4\n.nf\n{}\n.fi\n.RE\n.PP\n", roff(example.meaning), roff(example.line));
  }
  return text.substr(0, text.size() - 4);  // nothing follows the last one's .PP
}

std::string files_text() {
  std::string text = ".SH FILES\n";
  text +=
      man_tagged("\\fI" + roff("~/.config/naru/config.toml") + "\\fR",
                 "values for flags that are not given (naru config lists its keys); $XDG_CONFIG_HOME and NARU_CONFIG "
                 "say another place");
  return text + man_tagged("\\fI" + roff("~/.local/share/naru/models") + "\\fR",
                           "models that naru pull got; $XDG_DATA_HOME and NARU_MODELS say another place");
}

std::string exit_text() {
  std::string text =
      ".SH \"EXIT STATUS\"\n0 when all was done. Otherwise standard error has one message and the status is\n";
  constexpr std::pair<Code, std::string_view> kMeanings[] = {
      {Code::kInvalidArgument, "asked for something that cannot be asked"},
      {Code::kNotFound, "a file, tensor, key or name is not there"},
      {Code::kOutOfRange, "past a limit of the model or of f32"},
      {Code::kCorrupt, "bytes that break the rules of their format"},
      {Code::kUnsupported, "legal, and not done here"},
      {Code::kResourceExhausted, "memory, disk, threads or a budget is used up"},
      {Code::kUnavailable, "a chip, file or service that does not answer"},
      {Code::kDeadline, "time ran out"},
      {Code::kInternal, "a chip or library broke its promise"},
      {Code::kCancelled, "it was stopped (143 by SIGTERM, 129 by SIGHUP)"}};
  for (const auto& [code, meaning] : kMeanings) text += man_tagged(fmt::format("{}", exit_status(code)), meaning);
  return text;
}

Status man_command(const std::string& name) {
  const std::vector<Command> commands = all_commands();
  if (name.empty()) return write_out(man_page_of_all(commands));
  std::vector<std::string_view> names;
  for (const Command& command : commands) {
    if (command.name == name) return write_out(man_page(command));
    names.push_back(command.name);
  }
  const auto near = nearest(name, names);
  return Error{Code::kInvalidArgument,
               fmt::format("reading the command line: naru man: there is no command '{}'; {}`naru --help` lists them",
                           one_line(name), near ? fmt::format("did you mean {}? ", *near) : "")};
}

}  // namespace

std::string man_page(const Command& command) {
  std::string text = man_heading("naru-" + command.name);
  text += fmt::format(".SH NAME\nnaru\\-{} \\- {}\n", roff(command.name), roff(command.summary));
  text += fmt::format(".SH SYNOPSIS\n\\fBnaru {}\\fR", roff(command.name));
  for (const Argument& argument : command.arguments) {
    const std::string name = fmt::format("\\fI{}\\fR{}", roff(argument.name), argument.is_repeatable ? " ..." : "");
    text += argument.is_required ? " " + name : " [" + name + "]";
  }
  text += fmt::format(" [\\fIflags\\fR]\n.SH DESCRIPTION\n{}\n", roff(command.description));
  for (const Argument& argument : command.arguments) {
    text += man_tagged(fmt::format("\\fI{}\\fR", roff(argument.name)), argument.help);
  }
  std::vector<std::string_view> groups;
  for (const Flag& flag : command.flags) {
    if (std::find(groups.begin(), groups.end(), flag.group) == groups.end()) groups.push_back(flag.group);
  }
  text += ".SH OPTIONS\n";
  for (const std::string_view group : groups) {
    text += fmt::format(".SS \"{}\"\n", roff(group));
    for (const Flag& flag : command.flags) {
      if (flag.group == group) text += man_flag(flag);
    }
  }
  text += ".SS \"Help\"\n" + man_tagged("\\fB\\-h\\fR, \\fB\\-\\-help\\fR", "this text in short");
  text +=
      ".PP\nNames in brackets are variables of the environment; a flag wins over its variable, and that over the "
      "defaults file.\n";
  text += man_examples(command) + files_text() + exit_text();
  return text + ".SH \"SEE ALSO\"\n.BR naru (1)\n";
}

std::string man_page_of_all(const std::vector<Command>& commands) {
  std::string text = man_heading("naru");
  text += ".SH NAME\nnaru \\- runs and trains reasoning models with the same bits everywhere\n";
  text += ".SH SYNOPSIS\n\\fBnaru\\fR \\fICOMMAND\\fR [\\fIarguments\\fR] [\\fIflags\\fR]\n.SH DESCRIPTION\n";
  text += roff(
      "naru runs and trains DeepSeek-style reasoning models and gives the same bits on every machine, for every "
      "number of threads and in every batch.");
  text += "\n.SH COMMANDS\n";
  for (const Command& command : commands) {
    text += man_tagged(fmt::format("\\fBnaru {}\\fR", roff(command.name)), command.summary);
  }
  text += man_tagged("\\fBnaru \\-\\-version\\fR", "the version, its commit, and the arithmetic it computes");
  text += ".SH ENVIRONMENT\n";
  for (const PlainSetting& plain : plain_settings()) {
    text += man_tagged(fmt::format("\\fB{}\\fR", roff(plain.variable)), plain.help);
  }
  text += man_tagged("\\fBNARU_CONFIG\\fR", "another defaults file; /dev/null: none");
  text += man_tagged("\\fBNO_COLOR\\fR", "set to anything: no styles on the terminal");
  text += roff("Flags have variables too, which the page of each command names.") + "\n";
  text += files_text() + exit_text() + ".SH \"SEE ALSO\"\n";
  for (size_t i = 0; i < commands.size(); ++i) {
    text += fmt::format(".BR naru\\-{} (1){}\n", roff(commands[i].name), i + 1 < commands.size() ? "," : "");
  }
  return text;
}

Command make_man() {
  auto name = std::make_shared<std::string>();
  Command c{.name = "man",
            .summary = "the pages of the manual",
            .description =
                "Prints a page of the manual for man to show: of COMMAND, or of naru itself. A package installs them "
                "all by itself."};
  c.arguments = {{"COMMAND", "a command of naru", false, [name](const Given& given) -> Status {
                    *name = given.text;
                    return {};
                  }}};
  c.examples = {{"naru man train | man -l -", "The page of naru train."},
                {"naru man > ~/.local/share/man/man1/naru.1", "The page of naru, where man finds it."}};
  c.reads_defaults = false;
  c.run = [name] { return man_command(*name); };
  return c;
}

}  // namespace naru::cli
