// Receipts of chips, and two of them held against each other. A receipt's own SHA-256 would keep nearly all inputs out,
// so each input is also parsed with the right one put in.
#include "check/receipt.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "formats/json_digest.h"

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
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(text);
  auto document = nlohmann::json::parse(text, nullptr, false);
  if (!document.is_object()) return 0;
  document["sha256"] = naru::formats::own_digest(document);
  check(naru::formats::compact(document));
  return 0;
}
