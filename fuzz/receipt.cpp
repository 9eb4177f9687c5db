// Receipts of chips, and two of them held against each other.
#include "check/receipt.h"

#include <cstdlib>

#include "fuzz/own_digest.h"

namespace {

using naru::check::ReadReceipt;

void check(std::string_view text) {
  const auto receipt = naru::check::parse_receipt(naru::as_bytes(text), "fuzz");
  if (!receipt.ok()) return;
  const auto n_cells = static_cast<int64_t>(receipt->cells.size());
  if (n_cells < 1 || n_cells > naru::check::kReceiptCellsMax) std::abort();
  ReadReceipt a = *receipt, b = *receipt;
  if (naru::check::drop_other_cases(a, b) != 0 || !naru::check::check_comparable(a, b).ok()) std::abort();
  if (!naru::check::differences_of(a, b).empty() || naru::check::count_alike(a, b) != n_cells) std::abort();
  b.cells.pop_back();
  b.cases += "other";
  naru::check::drop_other_cases(a, b);
  if (naru::check::count_alike(a, b) != static_cast<int64_t>(b.cells.size())) std::abort();
  naru::check::time_ratios(a, b);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return with_own_digest(data, size, check);
}
