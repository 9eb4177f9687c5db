// naru check --list: what cases are made of, so that one can be written by hand.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "check/suite.h"
#include "cli/check.h"
#include "cli/sheet.h"

namespace naru::cli {
namespace {

// "rows=0..1048576", "lengths=1..4096,...", "chunk=0..64 (0)"
std::string dimension_text(const check::DimensionRange& range) {
  std::string text = fmt::format("{}={}..{}", range.name, range.low, range.high);
  if (range.is_list) text += ",...";
  if (range.otherwise) text += fmt::format(" ({})", *range.otherwise);
  return text;
}

bool is_asked(const check::Suite& suite, const CheckOptions& o) {
  return o.ops.empty() || std::find(o.ops.begin(), o.ops.end(), suite.op) != o.ops.end();
}

std::vector<std::string_view> value_names() {
  std::vector<std::string_view> names;
  for (const check::Values values : check::kEveryValues) {
    if (values != check::Values::kGolden) names.push_back(check::values_name(values));
  }
  return names;
}

// The first one without an empty dimension.
const check::Case& example_of(const std::vector<check::Case>& cases) {
  const auto is_empty = [](const check::Dimension& dimension) {
    return std::any_of(dimension.sizes.begin(), dimension.sizes.end(), [](int64_t size) { return size == 0; });
  };
  const auto whole = std::find_if(cases.begin(), cases.end(), [&](const check::Case& c) {
    return std::none_of(c.dimensions.begin(), c.dimensions.end(), is_empty);
  });
  return whole == cases.end() ? cases.front() : *whole;
}

Json list_json(const CheckOptions& o) {
  Json json = {{"values", value_names()}, {"gap_most", check::kGapMax}, {"ops", Json::array()}};
  for (const check::Suite& suite : check::all_suites()) {
    if (!is_asked(suite, o)) continue;
    Json op = {{"op", suite.op}, {"kind", suite.choices}, {"dimensions", Json::array()}};
    for (const check::DimensionRange& range : suite.dimensions) {
      Json dimension = {{"name", range.name}, {"least", range.low}, {"most", range.high}, {"list", range.is_list}};
      if (range.otherwise) dimension["otherwise"] = *range.otherwise;
      op["dimensions"].push_back(std::move(dimension));
    }
    const std::vector<check::Case> cases = suite.cases();
    op["cases"] = cases.size();
    op["example"] = check::case_line(example_of(cases));
    json["ops"].push_back(std::move(op));
  }
  return json;
}

}  // namespace

Status list_cases(const CheckOptions& o) {
  if (o.json) return write_out(json_text(list_json(o)));
  Sheet sheet(Stream::kOut);
  sheet.title("A case", ": OP KIND DIMENSION=SIZE ... [values=VALUES] [seed=N] [gap=COLUMNS] [grade=exact]");
  sheet.row("kind", "one word of each choice, with '/' between them");
  sheet.row("values", fmt::format("{}", fmt::join(value_names(), ", ")));
  sheet.row("gap", fmt::format("columns between the rows of every operand, 0 to {}", check::kGapMax));
  for (const check::Suite& suite : check::all_suites()) {
    if (!is_asked(suite, o)) continue;
    const std::vector<check::Case> cases = suite.cases();
    sheet.heading(suite.op);
    std::vector<std::string> kinds, dimensions;
    for (const auto& choice : suite.choices) kinds.push_back(fmt::format("{}", fmt::join(choice, ", ")));
    for (const check::DimensionRange& range : suite.dimensions) dimensions.push_back(dimension_text(range));
    sheet.row("kind", fmt::format("{}", fmt::join(kinds, " / ")));
    sheet.row("dimensions", fmt::format("{}", fmt::join(dimensions, " ")));
    sheet.row("example", fmt::format("{} ({} in the matrix)", check::case_line(example_of(cases)), cases.size()));
  }
  return write_out(sheet.str());
}

}  // namespace naru::cli
