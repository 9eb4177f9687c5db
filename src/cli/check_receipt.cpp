// The receipt of a chip: its matrix with all that decides whether another one can be held against it, as receipt.json
// and as a page to read, receipt.md; and two receipts compared.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file_digest.h"
#include "base/folder.h"
#include "base/shown_text.h"
#include "check/receipt.h"
#include "check/recorded_run.h"
#include "cli/check.h"
#include "cli/machine_report.h"
#include "cli/sheet.h"
#include "cli/table.h"
#include "cli/version.h"
#include "contract/kinds.h"
#include "formats/json.h"
#include "formats/json_digest.h"

namespace naru::cli {
namespace {

constexpr std::string_view kReceiptJson = "receipt.json", kReceiptPage = "receipt.md";

bool is_receipt_file(const std::filesystem::directory_entry& entry) {
  const std::string name = entry.path().filename().string();
  return name == kReceiptJson || name == kReceiptPage;
}

// A row of a Markdown table; texts of a chip are its own.
std::string page_cell(std::string text) {
  text = one_line(text);
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

std::string page_of(const Json& receipt, const check::ChipMatrix& matrix, const CheckOptions& o) {
  const auto text = [&](const char* key) { return page_cell(receipt[key].get<std::string>()); };
  std::string page = fmt::format("# Receipt of chip {}\n\n| | |\n| --- | --- |\n", text("chip"));
  for (const char* key : {"detail", "program", "compiler", "build", "system", "arithmetic", "arithmetic_sha256",
                          "binary_sha256", "cases_sha256", "sha256"}) {
    page += fmt::format("| {} | {} |\n", key, text(key));
  }
  page += fmt::format("| processor | {} |\n| cases | {}{} |\n| time | {} |\n\n",
                      page_cell(receipt["machine"]["processor"].get<std::string>()), grouped(matrix.n_cases),
                      o.is_quick ? ", a sample" : "", format_seconds(matrix.seconds));
  if (o.fault) page += fmt::format("With a fault in front of it: {}\n\n", check::fault_text(*o.fault));
  if (!matrix.is_whole) page += "Not whole: what stands behind the case that hangs did not run.\n\n";
  page += "| op | kind | grade | cases | error | bound | ms |\n| --- | --- | --- | ---: | ---: | ---: | ---: |\n";
  for (const check::Cell& cell : matrix.cells) {
    const bool is_bounded = !cell.worst_bounded.what.empty();
    page += fmt::format("| {} | {} | {} | {} | {} | {} | {} |\n", cell.op, cell.kind, check::verdict_name(cell.verdict),
                        cell.n_cases, is_bounded ? fmt::format("{:.2e}", cell.worst_bounded.error) : "",
                        is_bounded ? fmt::format("{:.2e}", cell.worst_bounded.bound) : "",
                        cell.speed ? fmt::format("{:.3f}", cell.speed->seconds * 1e3) : "");
  }
  for (const check::Cell& cell : matrix.cells) {
    if (!cell.failure) continue;
    page += fmt::format("\n**{} {}, {}:** {}\n\n```\n{}\n```\n", cell.op, cell.kind, check::verdict_name(cell.verdict),
                        page_cell(cell.failure->finding.what),
                        case_command(o, cell.failure->smallest, cell.failure->finding.verdict));
  }
  return page;
}

Status write_file(const std::filesystem::path& path, std::string_view text) {
  NARU_ASSIGN(AtomicFile file, AtomicFile::create(path));
  NARU_TRY(file.write(as_bytes(text)));
  return file.commit();
}

// The folder of a receipt, or its receipt.json.
Result<check::ReadReceipt> read_receipt(const std::string& argument) {
  std::filesystem::path path(argument);
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    path /= kReceiptJson;
    if (!std::filesystem::exists(path, ignored)) {
      return Error{Code::kNotFound,
                   fmt::format("comparing {}: it has neither a {} nor a {}; give a receipt (naru check --receipt) or a "
                               "recording (naru check MODEL --record)",
                               one_line(argument), kReceiptJson, check::kRecordingJson)};
    }
  }
  NARU_ASSIGN(const std::string text, read_file(path, check::kReceiptBytesMax));
  NARU_ASSIGN(check::ReadReceipt receipt, check::parse_receipt(as_bytes(text), path.string()));
  receipt.path = argument;
  return receipt;
}

// "receipts/today, with the fault flip, not whole: a case hung"
std::string origin_of(const check::ReadReceipt& receipt) {
  std::string text = receipt.path;
  if (!receipt.fault.empty()) text += fmt::format(", with the fault {} in front of the chip", receipt.fault);
  if (!receipt.is_whole) text += ", not whole: what stands behind a case that hangs did not run";
  return text;
}

Json origin_json(const check::ReadReceipt& receipt) {
  Json json = {{"path", receipt.path}, {"whole", receipt.is_whole}};
  if (!receipt.fault.empty()) json["fault"] = receipt.fault;
  return json;
}

std::string speed_line(const std::vector<std::pair<double, std::string>>& ratios) {
  if (ratios.empty()) return {};
  return fmt::format("times of the second by those of the first: {:.2f} in the middle, from {:.2f} ({}) to {:.2f} ({})",
                     ratios[ratios.size() / 2].first, ratios.front().first, ratios.front().second, ratios.back().first,
                     ratios.back().second);
}

// Two exact chips are alike in all: whoever parts from the other broke a promise.
Error unlike_error(const check::ReadReceipt& a, const check::ReadReceipt& b, size_t n_unlike) {
  return {Code::kInternal, fmt::format("comparing receipts: {} and {}: {} of {} cells are unlike; run the cases of "
                                       "such a cell on either machine: naru check --op OP",
                                       a.path, b.path, n_unlike, std::max(a.cells.size(), b.cells.size()))};
}

}  // namespace

Status check_receipt_place(const CheckOptions& o) {
  if (o.receipt.empty()) return {};
  return check_folder_place(o.receipt, o.existing, is_receipt_file, Parents::kMade);
}

std::filesystem::path recording_or_receipt_folder(const std::filesystem::path& path) {
  if (path.filename() != kReceiptJson) return check::recording_folder(path);
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

Result<Json> receipt_json(const check::ChipMatrix& matrix, const CheckedChip& chip, const CheckOptions& o) {
  NARU_ASSIGN(const FileContent binary, digest_file("/proc/self/exe"));
  Json json;
  json["receipt"] = check::kReceiptVersion;
  json["program"] = version_line();
  json["compiler"] = kBuildInfo.compiler;
  json["build"] = kBuildInfo.build;
  json["system"] = system_line();
  json["arithmetic_sha256"] = kBuildInfo.arithmetic_sha256;
  json["binary_sha256"] = binary.sha256;
  json["cases_sha256"] = matrix.cases;
  json.update(matrix_json(matrix, chip, o));
  return json;
}

Status write_receipt(const Json& receipt, const check::ChipMatrix& matrix, const CheckOptions& o) {
  Json whole = receipt;
  // Of what will be read back.
  whole["sha256"] = formats::own_digest(nlohmann::json::parse(json_text(receipt)));
  NARU_ASSIGN(const MadeParents parents, MadeParents::create(o.receipt));
  NARU_ASSIGN(AtomicFolder folder, AtomicFolder::create(o.receipt, o.existing));
  NARU_TRY(write_file(folder.path() / kReceiptJson, json_text(whole)));
  NARU_TRY(write_file(folder.path() / kReceiptPage, page_of(whole, matrix, o)));
  return folder.commit();
}

Status compare_receipts(const CheckOptions& o) {
  NARU_ASSIGN(check::ReadReceipt a, read_receipt(o.compared[0]));
  NARU_ASSIGN(check::ReadReceipt b, read_receipt(o.compared[1]));
  const int64_t n_dropped = check::drop_other_cases(a, b);
  NARU_TRY(check::check_comparable(a, b));
  const std::vector<check::ReceiptDifference> differences = check::differences_of(a, b);
  const auto ratios = check::time_ratios(a, b);
  const Status end = differences.empty() ? Status() : unlike_error(a, b, differences.size());
  if (o.json) {
    Json json = {{"a", a.chip},
                 {"b", b.chip},
                 {"first", origin_json(a)},
                 {"second", origin_json(b)},
                 {"same_binary", a.binary == b.binary},
                 {"alike", check::count_alike(a, b)},
                 {"of_other_cases", n_dropped},
                 {"times", Json::array()},
                 {"differences", Json::array()}};
    for (const auto& [ratio, cell] : ratios) json["times"].push_back({{"cell", cell}, {"ratio", ratio}});
    for (const check::ReceiptDifference& each : differences) {
      json["differences"].push_back({{"cell", each.cell}, {"what", each.what}});
    }
    return end.ok() ? write_out(json_text(json)) : told(end.error(), &json);
  }
  Sheet sheet(Stream::kOut);
  sheet.title(fmt::format("{} and {}", a.chip, b.chip), "");
  sheet.row("first", origin_of(a));
  sheet.row("second", origin_of(b));
  sheet.row("program", a.binary == b.binary ? "the same" : "two builds");
  sheet.row("cells", fmt::format("{} of {} alike", check::count_alike(a, b), std::max(a.cells.size(), b.cells.size())));
  if (n_dropped > 0)
    sheet.row("not compared", fmt::format("{} of the cells: they ran different cases of them", n_dropped));
  sheet.row("speed", speed_line(ratios));
  if (!differences.empty()) sheet.heading("Unlike");
  for (const check::ReceiptDifference& each : differences) sheet.row(each.cell, each.what);
  NARU_TRY(write_out(sheet.str()));
  return end;
}

}  // namespace naru::cli
