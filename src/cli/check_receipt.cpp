// The receipt of a chip: its matrix with all that decides whether another one can be held against it, as receipt.json
// and as a page to read, receipt.md; and two receipts compared.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file_digest.h"
#include "base/folder.h"
#include "base/shown_text.h"
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

constexpr int64_t kReceiptVersion = 2;
constexpr int64_t kReceiptBytesMax = int64_t{16} << 20;
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

// A receipt as it is read back; the document stays with whoever reads.
struct ReadCell {
  std::string verdict, cases, outputs;  // cases: empty in receipts that have their hash for all cells together alone
  double error = 0, seconds = 0;
};
struct ReadReceipt {
  std::string path, chip, arithmetic, cases, binary, fault;  // fault: empty where there is none
  bool is_whole = true;
  std::vector<std::pair<std::string, ReadCell>> cells;  // by "op kind"
};

// The digest first: what changed in a receipt of this version is damage, whatever it says.
Status check_head(const nlohmann::json& document, const formats::JsonObject& root) {
  NARU_ASSIGN(const std::string digest, root.get_string_or("sha256", ""));
  if (!digest.empty() && digest != formats::own_digest(document)) {
    return root.wrong(Code::kCorrupt, "sha256", "of other content", "the SHA-256 of the document itself",
                      "the receipt was changed or damaged; make it anew, or copy it again");
  }
  NARU_ASSIGN(const int64_t version, root.get_int("receipt", 0, INT32_MAX));
  if (version != kReceiptVersion) {
    return root.wrong(Code::kUnsupported, "receipt", std::to_string(version), std::to_string(kReceiptVersion),
                      "make it anew (naru check --receipt), and compare receipts that one version of naru wrote");
  }
  if (!digest.empty()) return {};
  return root.wrong(Code::kCorrupt, "sha256", "missing", "the SHA-256 of the document itself",
                    "give a receipt.json as naru check --receipt writes it");
}

Result<ReadReceipt> read_receipt(const std::string& argument) {
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
  NARU_ASSIGN(const std::string text, read_file(path, kReceiptBytesMax));
  NARU_ASSIGN(const nlohmann::json document, formats::parse_json(as_bytes(text), path.string()));
  NARU_ASSIGN(const formats::JsonObject root, formats::JsonObject::of(document, path.string()));
  NARU_TRY(check_head(document, root));
  ReadReceipt receipt{.path = argument,
                      .chip = {},
                      .arithmetic = {},
                      .cases = {},
                      .binary = {},
                      .fault = {},
                      .is_whole = true,
                      .cells = {}};
  NARU_ASSIGN(receipt.chip, root.get_string("chip"));
  NARU_ASSIGN(receipt.arithmetic, root.get_string("arithmetic_sha256"));
  NARU_ASSIGN(receipt.cases, root.get_string("cases_sha256"));
  NARU_ASSIGN(receipt.binary, root.get_string("binary_sha256"));
  NARU_ASSIGN(receipt.is_whole, root.get_bool_or("whole", true));
  NARU_ASSIGN(const std::optional<std::string> fault, root.find_string("fault"));
  receipt.fault = fault.value_or("");
  NARU_ASSIGN(const std::vector<const nlohmann::json*> cells, root.find_array("cells"));
  if (cells.empty()) {
    return root.wrong(Code::kCorrupt, "cells", "none", "the cells of a matrix", "make the receipt anew");
  }
  for (size_t i = 0; i < cells.size(); ++i) {
    NARU_ASSIGN(const formats::JsonObject cell,
                formats::JsonObject::of(*cells[i], path.string(), fmt::format("cells[{}]", i)));
    ReadCell read;
    NARU_ASSIGN(const std::string op, cell.get_string("op"));
    NARU_ASSIGN(const std::string kind, cell.get_string("kind"));
    NARU_ASSIGN(read.verdict, cell.get_string("verdict"));
    NARU_ASSIGN(read.outputs, cell.get_string("outputs_sha256"));
    NARU_ASSIGN(const std::optional<std::string> cases, cell.find_string("cases_sha256"));
    read.cases = cases.value_or("");
    NARU_ASSIGN(const std::optional<formats::JsonObject> bounded, cell.find_object("bounded"));
    if (bounded) {
      NARU_ASSIGN(read.error, bounded->get_double("error"));
    }
    NARU_ASSIGN(const std::optional<formats::JsonObject> speed, cell.find_object("speed"));
    if (speed) {
      NARU_ASSIGN(read.seconds, speed->get_double("seconds"));
    }
    const std::string name = op + " " + kind;
    const bool is_doubled =
        std::any_of(receipt.cells.begin(), receipt.cells.end(), [&](const auto& each) { return each.first == name; });
    if (is_doubled) {
      return cell.wrong(Code::kCorrupt, "kind", name + " a second time", "each cell once", "make the receipt anew");
    }
    receipt.cells.emplace_back(name, read);
  }
  return receipt;
}

using ReadCells = std::vector<std::pair<std::string, ReadCell>>;

const ReadCell* find_cell(const ReadCells& cells, const std::string& name) {
  const auto found = std::find_if(cells.begin(), cells.end(), [&](const auto& each) { return each.first == name; });
  return found == cells.end() ? nullptr : &found->second;
}

// Where two receipts ran different cases, the cells of either whose cases the other one did not run say nothing: they
// go, and are counted.
int64_t drop_other_cases(ReadReceipt& a, ReadReceipt& b) {
  if (a.cases == b.cases) return 0;
  const ReadCells of_a = a.cells, of_b = b.cells;
  const auto drop = [](ReadCells& cells, const ReadCells& others) {
    return std::erase_if(cells, [&](const auto& each) {
      const ReadCell* other = find_cell(others, each.first);
      return other == nullptr || each.second.cases.empty() || other->cases != each.second.cases;
    });
  };
  const auto n_of_a = static_cast<int64_t>(drop(a.cells, of_b)), n_of_b = static_cast<int64_t>(drop(b.cells, of_a));
  return std::max(n_of_a, n_of_b);
}

// Cells of different cases, or by different arithmetic, say nothing of each other. Those of other cases were dropped.
Status check_comparable(const ReadReceipt& a, const ReadReceipt& b) {
  const auto refuse = [&](const char* what, const char* next) -> Status {
    return Error{Code::kInvalidArgument,
                 fmt::format("comparing receipts: {} and {}: {}; {}", a.path, b.path, what, next)};
  };
  if (a.arithmetic != b.arithmetic) {
    return refuse("they are of different texts of the arithmetic", "make both with one version of naru");
  }
  if (a.cells.empty() || b.cells.empty()) {
    return refuse("they ran different cases", "make both with one version of naru, with or without --quick");
  }
  return {};
}

struct ReceiptDifference {
  std::string cell, what;
};

std::vector<ReceiptDifference> differences_of(const ReadReceipt& a, const ReadReceipt& b) {
  std::vector<ReceiptDifference> differences;
  for (const auto& [name, cell] : a.cells) {
    const ReadCell* other = find_cell(b.cells, name);
    if (other == nullptr) {
      differences.push_back({name, "the second one did not come to it"});
    } else if (cell.verdict != other->verdict) {
      differences.push_back({name, fmt::format("{}, then {}", cell.verdict, other->verdict)});
    } else if (cell.outputs != other->outputs) {
      differences.push_back({name, fmt::format("both are {}, with other bits; the largest errors are {:.2e} and {:.2e}",
                                               cell.verdict, cell.error, other->error)});
    }
  }
  for (const auto& [name, cell] : b.cells) {
    if (find_cell(a.cells, name) == nullptr) differences.push_back({name, "the first one did not come to it"});
  }
  return differences;
}

// Cells of both with one grade and the same bits.
int64_t count_alike(const ReadReceipt& a, const ReadReceipt& b) {
  return std::count_if(a.cells.begin(), a.cells.end(), [&](const auto& each) {
    const ReadCell* other = find_cell(b.cells, each.first);
    return other != nullptr && other->verdict == each.second.verdict && other->outputs == each.second.outputs;
  });
}

// "receipts/today, with the fault flip, not whole: a case hung"
std::string origin_of(const ReadReceipt& receipt) {
  std::string text = receipt.path;
  if (!receipt.fault.empty()) text += fmt::format(", with the fault {} in front of the chip", receipt.fault);
  if (!receipt.is_whole) text += ", not whole: what stands behind a case that hangs did not run";
  return text;
}

Json origin_json(const ReadReceipt& receipt) {
  Json json = {{"path", receipt.path}, {"whole", receipt.is_whole}};
  if (!receipt.fault.empty()) json["fault"] = receipt.fault;
  return json;
}

// How much longer the second one takes, by cell, the least first.
std::vector<std::pair<double, std::string>> time_ratios(const ReadReceipt& a, const ReadReceipt& b) {
  std::vector<std::pair<double, std::string>> ratios;
  for (const auto& [name, cell] : a.cells) {
    const ReadCell* other = find_cell(b.cells, name);
    if (other != nullptr && cell.seconds > 0 && other->seconds > 0) {
      ratios.emplace_back(other->seconds / cell.seconds, name);
    }
  }
  std::sort(ratios.begin(), ratios.end());
  return ratios;
}

std::string speed_line(const std::vector<std::pair<double, std::string>>& ratios) {
  if (ratios.empty()) return {};
  return fmt::format("times of the second by those of the first: {:.2f} in the middle, from {:.2f} ({}) to {:.2f} ({})",
                     ratios[ratios.size() / 2].first, ratios.front().first, ratios.front().second, ratios.back().first,
                     ratios.back().second);
}

// Two exact chips are alike in all: whoever parts from the other broke a promise.
Error unlike_error(const ReadReceipt& a, const ReadReceipt& b, size_t n_unlike) {
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
  json["receipt"] = kReceiptVersion;
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
  NARU_ASSIGN(ReadReceipt a, read_receipt(o.compared[0]));
  NARU_ASSIGN(ReadReceipt b, read_receipt(o.compared[1]));
  const int64_t n_dropped = drop_other_cases(a, b);
  NARU_TRY(check_comparable(a, b));
  const std::vector<ReceiptDifference> differences = differences_of(a, b);
  const auto ratios = time_ratios(a, b);
  const Status end = differences.empty() ? Status() : unlike_error(a, b, differences.size());
  if (o.json) {
    Json json = {{"a", a.chip},
                 {"b", b.chip},
                 {"first", origin_json(a)},
                 {"second", origin_json(b)},
                 {"same_binary", a.binary == b.binary},
                 {"alike", count_alike(a, b)},
                 {"of_other_cases", n_dropped},
                 {"times", Json::array()},
                 {"differences", Json::array()}};
    for (const auto& [ratio, cell] : ratios) json["times"].push_back({{"cell", cell}, {"ratio", ratio}});
    for (const ReceiptDifference& each : differences) {
      json["differences"].push_back({{"cell", each.cell}, {"what", each.what}});
    }
    return end.ok() ? write_out(json_text(json)) : told(end.error(), &json);
  }
  Sheet sheet(Stream::kOut);
  sheet.title(fmt::format("{} and {}", a.chip, b.chip), "");
  sheet.row("first", origin_of(a));
  sheet.row("second", origin_of(b));
  sheet.row("program", a.binary == b.binary ? "the same" : "two builds");
  sheet.row("cells", fmt::format("{} of {} alike", count_alike(a, b), std::max(a.cells.size(), b.cells.size())));
  if (n_dropped > 0)
    sheet.row("not compared", fmt::format("{} of the cells: they ran different cases of them", n_dropped));
  sheet.row("speed", speed_line(ratios));
  if (!differences.empty()) sheet.heading("Unlike");
  for (const ReceiptDifference& each : differences) sheet.row(each.cell, each.what);
  NARU_TRY(write_out(sheet.str()));
  return end;
}

}  // namespace naru::cli
