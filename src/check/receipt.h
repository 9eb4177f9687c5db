// Receipts of chips (naru check --receipt) as they are read back, and what two of them say of each other.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace naru::check {

inline constexpr int64_t kReceiptVersion = 2;
inline constexpr int64_t kReceiptBytesMax = int64_t{16} << 20;
inline constexpr int64_t kReceiptCellsMax = 4096;  // far more than there are ops and kinds

struct ReadCell {
  std::string verdict, cases, outputs;  // cases: empty in receipts that have their hash for all cells together alone
  double error = 0, seconds = 0;        // seconds: 0 where the receipt has no speed of it
};
using ReadCells = std::vector<std::pair<std::string, ReadCell>>;  // by "op kind", each once

struct ReadReceipt {
  std::string path, chip, arithmetic, cases, binary, fault;  // fault: empty where there is none
  bool is_whole = true;
  ReadCells cells;  // at least one
};

// Of a receipt.json. kCorrupt: it was damaged or changed (it carries its own SHA-256); kUnsupported: another version's.
Result<ReadReceipt> parse_receipt(Bytes json, const std::string& path);

// Where two receipts ran different cases, the cells of either whose cases the other one did not run say nothing: they
// go, and are counted.
int64_t drop_other_cases(ReadReceipt& a, ReadReceipt& b);

// Cells of different cases, or by different arithmetic, say nothing of each other. Those of other cases were dropped.
Status check_comparable(const ReadReceipt& a, const ReadReceipt& b);

struct ReceiptDifference {
  std::string cell, what;
};
std::vector<ReceiptDifference> differences_of(const ReadReceipt& a, const ReadReceipt& b);
// Cells of both with one grade and the same bits.
int64_t count_alike(const ReadReceipt& a, const ReadReceipt& b);
// How much longer the second one takes, by cell, the least first.
std::vector<std::pair<double, std::string>> time_ratios(const ReadReceipt& a, const ReadReceipt& b);

}  // namespace naru::check
