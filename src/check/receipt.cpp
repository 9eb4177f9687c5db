#include "check/receipt.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "formats/json.h"
#include "formats/json_digest.h"

namespace naru::check {
namespace {

// The digest first: what changed in a receipt of this version is damage, whatever it says.
Status check_receipt_head(const nlohmann::json& document, const formats::JsonObject& root) {
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

Result<std::pair<std::string, ReadCell>> read_cell(const formats::JsonObject& cell) {
  ReadCell read;
  NARU_ASSIGN(const std::string op, cell.get_string("op"));
  NARU_ASSIGN(const std::string kind, cell.get_string("kind"));
  NARU_ASSIGN(read.verdict, cell.get_string("verdict"));
  NARU_ASSIGN(read.outputs, cell.get_string("outputs_sha256"));
  NARU_ASSIGN(read.cases, cell.get_string_or("cases_sha256", ""));
  NARU_ASSIGN(const std::optional<formats::JsonObject> bounded, cell.find_object("bounded"));
  if (bounded) {
    NARU_ASSIGN(read.error, bounded->get_double("error"));
  }
  NARU_ASSIGN(const std::optional<formats::JsonObject> speed, cell.find_object("speed"));
  if (speed) {
    NARU_ASSIGN(read.seconds, speed->get_double("seconds"));
  }
  return std::pair(op + " " + kind, read);
}

const ReadCell* find_cell(const ReadCells& cells, const std::string& name) {
  const auto found = std::find_if(cells.begin(), cells.end(), [&](const auto& each) { return each.first == name; });
  return found == cells.end() ? nullptr : &found->second;
}

}  // namespace

Result<ReadReceipt> parse_receipt(Bytes json, const std::string& path) {
  NARU_ASSIGN(const nlohmann::json document, formats::parse_json(json, path));
  NARU_ASSIGN(const formats::JsonObject root, formats::JsonObject::of(document, path));
  NARU_TRY(check_receipt_head(document, root));
  ReadReceipt receipt;
  receipt.path = path;
  NARU_ASSIGN(receipt.chip, root.get_string("chip"));
  NARU_ASSIGN(receipt.arithmetic, root.get_string("arithmetic_sha256"));
  NARU_ASSIGN(receipt.cases, root.get_string("cases_sha256"));
  NARU_ASSIGN(receipt.binary, root.get_string("binary_sha256"));
  NARU_ASSIGN(receipt.is_whole, root.get_bool_or("whole", true));
  NARU_ASSIGN(receipt.fault, root.get_string_or("fault", ""));
  NARU_ASSIGN(const std::vector<const nlohmann::json*> cells, root.find_array("cells"));
  if (cells.empty() || std::ssize(cells) > kReceiptCellsMax) {
    return root.wrong(Code::kCorrupt, "cells", cells.empty() ? "none" : fmt::format("{} of them", cells.size()),
                      fmt::format("1 to {}, the cells of a matrix", kReceiptCellsMax), "make the receipt anew");
  }
  for (size_t i = 0; i < cells.size(); ++i) {
    NARU_ASSIGN(const formats::JsonObject cell, formats::JsonObject::of(*cells[i], path, fmt::format("cells[{}]", i)));
    NARU_ASSIGN(auto read, read_cell(cell));
    if (find_cell(receipt.cells, read.first) != nullptr) {
      return cell.wrong(Code::kCorrupt, "kind", read.first + " a second time", "each cell once",
                        "make the receipt anew");
    }
    receipt.cells.push_back(std::move(read));
  }
  return receipt;
}

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

int64_t count_alike(const ReadReceipt& a, const ReadReceipt& b) {
  return std::count_if(a.cells.begin(), a.cells.end(), [&](const auto& each) {
    const ReadCell* other = find_cell(b.cells, each.first);
    return other != nullptr && other->verdict == each.second.verdict && other->outputs == each.second.outputs;
  });
}

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

}  // namespace naru::check
