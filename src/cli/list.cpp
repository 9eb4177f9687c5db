// naru list: the models that were pulled, as a table or as JSON.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/memory.h"
#include "builtin/builtin.h"
#include "cli/interrupts.h"
#include "cli/json_text.h"
#include "cli/models.h"
#include "cli/table.h"
#include "hub/models_folder.h"
#include "hub/name.h"

namespace naru::cli {
namespace {

std::string list_table(const std::vector<hub::PulledModel>& models) {
  Table table({{"name"}, {"size", true}, {"kind"}, {"pulled"}});
  for (const hub::PulledModel& model : models) {
    const int64_t bytes = model.manifest.bytes();
    const std::string size = model.is_whole
                                 ? format_bytes(bytes)
                                 : fmt::format("{} of {}", format_bytes(model.bytes_here), format_bytes(bytes));
    table.row({one_line(model.manifest.model), size, std::string(hub::kind_name(model.manifest.kind)),
               model.is_whole ? one_line(model.manifest.pulled) : "not finished"});
  }
  if (const builtin::BuiltinModel* model = builtin::builtin_model()) {
    table.row({std::string(builtin::kModelName), format_bytes(model->bytes),
               std::string(hub::kind_name(hub::PulledKind::kGguf)), fmt::format("built in: {}", model->name)});
  }
  return table.text(Stream::kOut);
}

Json builtin_json() {
  const builtin::BuiltinModel* model = builtin::builtin_model();
  if (model == nullptr) return nullptr;
  return {{"name", builtin::kModelName}, {"model", model->name}, {"bytes", model->bytes}, {"sha256", model->sha256}};
}

Json list_json(const std::vector<hub::PulledModel>& models) {
  Json list = Json::array();
  for (const hub::PulledModel& model : models) {
    const hub::PullManifest& manifest = model.manifest;
    list.push_back({{"name", manifest.model},
                    {"folder", model.folder.string()},
                    {"is_whole", model.is_whole},
                    {"kind", hub::kind_name(manifest.kind)},
                    {"bytes", manifest.bytes()},
                    {"bytes_here", model.bytes_here},
                    {"endpoint", manifest.endpoint},
                    {"commit", manifest.commit},
                    {"pulled", manifest.pulled.empty() ? Json(nullptr) : Json(manifest.pulled)}});
  }
  return {{"models", std::move(list)}, {"builtin", builtin_json()}};
}

Status list_command(bool json, bool is_names) {
  end_at_first_interrupt();
  NARU_ASSIGN(const std::filesystem::path folder, hub::models_folder());
  NARU_ASSIGN(const hub::ModelList list, hub::list_models(folder));
  for (const std::string& note : list.notes) print_note(note);
  if (is_names) {
    std::string names;
    for (const hub::PulledModel& model : list.models) {
      const bool is_name = hub::parse_name(model.manifest.model).ok();  // a shell reads these
      if (model.is_whole && is_name) names += one_line(model.manifest.model) + "\n";
    }
    return write_out(names);
  }
  if (json) return write_out(json_text(list_json(list.models)));
  if (!list.models.empty()) return write_out(list_table(list.models));
  const bool has_builtin = builtin::builtin_model() != nullptr;
  return write_out(
      fmt::format("There are no models in {}. naru pull OWNER/NAME gets one from the Hugging Face hub.\n{}",
                  one_line(folder.string()), has_builtin ? "The built-in model is there without: naru run\n" : ""));
}

}  // namespace

Command make_list() {
  auto json = std::make_shared<bool>(false);
  auto is_names = std::make_shared<bool>(false);
  Command c{.name = "list",
            .summary = "the models that were pulled",
            .description =
                "Lists the models of the models folder (NARU_MODELS, else ~/.local/share/naru/models): what naru pull "
                "got, and what it has begun and not finished. Below them stands the built-in model."};
  c.flags = {{"json", "", kGroupOutput, "one JSON object: models, with everything that is known of each",
              [json](const Given&) -> Status {
                *json = true;
                return {};
              },
              0, false, false},
             {"names", "", kGroupOutput, "the names alone of those that are whole, one a line",
              [is_names](const Given&) -> Status {
                *is_names = true;
                return {};
              },
              0, false, false}};
  c.examples = {{"naru list", "All of them, by name."},
                {"naru list --json", "For a program: folders, commits, bytes."}};
  c.check = [json, is_names]() -> Status {
    if (!*json || !*is_names) return {};
    return Error{Code::kInvalidArgument,
                 "reading the command line: naru list: --json and --names were both given; give one of them"};
  };
  c.run = [json, is_names] { return list_command(*json, *is_names); };
  return c;
}

}  // namespace naru::cli
