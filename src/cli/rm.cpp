// naru rm: removes models that were pulled.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/memory.h"
#include "builtin/builtin.h"
#include "cli/interrupts.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "hub/models_folder.h"

namespace naru::cli {
namespace {

// All names are looked at before the first is removed.
Status rm_command(const std::vector<std::string>& given) {
  end_at_first_interrupt();
  std::vector<hub::ModelName> names;
  for (const std::string& text : given) {
    if (text == builtin::kModelName) {
      return Error{Code::kInvalidArgument,
                   "removing builtin: it is the model inside of this program, and takes no other room; leave it out"};
    }
    auto parsed = hub::parse_name(text);
    if (!parsed.ok() && text.find_first_of("/:@") == std::string::npos) {
      return Error{Code::kNotFound, fmt::format("removing {}: there is no model of that name; `naru list` shows what "
                                                "there is",
                                                one_line(text))};
    }
    NARU_ASSIGN(hub::ModelName name, std::move(parsed));
    const bool is_twice = std::any_of(names.begin(), names.end(),
                                      [&name](const hub::ModelName& other) { return other.text() == name.text(); });
    if (!is_twice) names.push_back(std::move(name));
  }
  NARU_ASSIGN(const std::filesystem::path models, hub::models_folder());
  for (const hub::ModelName& name : names) NARU_TRY(hub::check_removable(models, name));
  for (const hub::ModelName& name : names) {
    NARU_ASSIGN(const int64_t bytes, hub::remove_model(models, name));
    NARU_TRY(write_out(fmt::format("removed {} ({})\n", name.text(), format_bytes(bytes))));
  }
  return {};
}

}  // namespace

Command make_rm() {
  auto names = std::make_shared<std::vector<std::string>>();
  Command c{
      .name = "rm",
      .summary = "remove models that were pulled",
      .description =
          "Removes models from the models folder, and what was begun of them. Only what naru pull put there is "
          "removed: a folder with anything else in it is kept, and named. It does not ask; naru pull gets a model "
          "again."};
  c.arguments = {{"NAME", "as naru list shows it; may be repeated", true,
                  [names](const Given& given) -> Status {
                    names->push_back(given.text);
                    return {};
                  },
                  true}};
  c.examples = {{"naru rm HuggingFaceTB/SmolLM2-135M-Instruct", "Its space is free again."}};
  c.run = [names] { return rm_command(*names); };
  return c;
}

}  // namespace naru::cli
