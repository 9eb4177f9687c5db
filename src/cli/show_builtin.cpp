#include "cli/show_builtin.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "builtin/builtin.h"
#include "formats/json.h"

namespace naru::cli {

Result<Json> builtin_record() {
  const builtin::BuiltinModel& model = *builtin::builtin_model();
  NARU_ASSIGN(const nlohmann::json record,
              formats::parse_json(as_bytes(model.record), "the record of the built-in model",
                                  {.bytes_max = std::ssize(model.record), .depth_max = 8}));
  Json json = record;
  json.erase("golden");  // for the tests
  return json;
}

void put_builtin(const Json& record, Sheet& sheet) {
  const builtin::BuiltinModel& model = *builtin::builtin_model();
  sheet.heading("Inside of the program");
  sheet.row("made by", fmt::format("naru train {}, from nothing", model.recipe));
  sheet.row("sha256", std::string(model.sha256));
  int64_t count = 0;
  std::string solves;
  for (const Json& one : record.value("solves", Json::array())) {
    solves += fmt::format("{}{} {:.0f} %", solves.empty() ? "" : ", ", one.value("problems", ""),
                          100 * one.value("greedy", 0.0));
    count = one.value("count", int64_t{0});
  }
  if (!solves.empty()) {
    sheet.row("solves",
              fmt::format("{} (the likeliest answers to {} problems of each that training never asks)", solves, count));
  }
  sheet.row("made again", "tools/make_builtin_model.py, in the repository: the same SHA-256 comes out");
  sheet.row("licence", "Apache-2.0, as naru: all that it saw is made by naru's generators, and a file of greetings");
}

}  // namespace naru::cli
