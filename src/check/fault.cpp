#include "check/fault.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/shown_text.h"
#include "contract/op_table.h"

namespace naru::check {
namespace {

constexpr FaultInfo kFaults[] = {
    {FaultKind::kFlip, "flip", "one bit of an output is another"},
    {FaultKind::kRounding, "rounding", "results are cut and not rounded"},
    {FaultKind::kUnfused, "unfused", "a product is rounded before it is added", true},
    {FaultKind::kSubnormals, "subnormals", "results are not flushed", true},
    {FaultKind::kOrder, "order", "sums are added from their end", true},
    {FaultKind::kNarrow, "narrow", "sums are kept in bf16", true},
    {FaultKind::kStale, "stale", "the last row of an output is what stood there before"},
    {FaultKind::kLost, "lost", "an op does not run"},
    {FaultKind::kDoubled, "doubled", "an op runs twice"},
    {FaultKind::kHang, "hang", "an op does not end"},
    {FaultKind::kError, "error", "an op ends with an error of the chip"},
    {FaultKind::kMemory, "memory", "an op finds no memory"},
    {FaultKind::kGone, "gone", "from an op on the chip is not there any more"},
};
constexpr std::string_view kProducts[] = {"matmul", "product"};
// Ops that write no array of numbers: pages of a cache, a packed matrix.
constexpr std::string_view kWithoutNumbers[] = {"cache_write", "pack"};

Error no_fault(std::string_view text, const std::string& found, const std::string& next) {
  return {Code::kInvalidArgument,
          fmt::format("reading the fault '{}': {}; {}", without_controls_on_one_line(text), found, next)};
}

bool is_among(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Made in the numbers that an op has written.
bool is_of_numbers(FaultKind kind) {
  return kind == FaultKind::kFlip || kind == FaultKind::kRounding || kind == FaultKind::kStale ||
         kind == FaultKind::kDoubled;
}

std::vector<std::string_view> ops_without(std::span<const std::string_view> left_out) {
  std::vector<std::string_view> names;
  for (int i = 0; i < contract::kOpCount; ++i) {
    if (!is_among(left_out, contract::op_name(i))) names.push_back(contract::op_name(i));
  }
  return names;
}

std::optional<int> op_of_name(std::string_view name) {
  for (int i = 0; i < contract::kOpCount; ++i) {
    if (contract::op_name(i) == name) return i;
  }
  return std::nullopt;
}

}  // namespace

std::span<const FaultInfo> all_faults() {
  return kFaults;
}

const FaultInfo& fault_info(FaultKind kind) {
  return *std::find_if(std::begin(kFaults), std::end(kFaults),
                       [&](const FaultInfo& info) { return info.kind == kind; });
}

bool Fault::comes_to(int op_index) const {
  if (op >= 0) return op == op_index;
  return !fault_info(kind).is_of_products || is_among(kProducts, contract::op_name(op_index));
}

Result<Fault> parse_fault(std::string_view text) {
  Fault fault;
  std::string_view rest = text;
  if (const size_t colon = rest.find(':'); colon != std::string_view::npos) {
    const std::string_view rate = rest.substr(colon + 1);
    const auto [end, error] = std::from_chars(rate.data(), rate.data() + rate.size(), fault.rate);
    if (error != std::errc() || end != rate.data() + rate.size() || !(fault.rate > 0 && fault.rate <= 1)) {
      return no_fault(text, "its rate is no number above 0 and at most 1", "write it as flip@matmul:0.01");
    }
    rest = rest.substr(0, colon);
  }
  std::string_view op;
  if (const size_t at = rest.find('@'); at != std::string_view::npos) {
    op = rest.substr(at + 1);
    rest = rest.substr(0, at);
    const std::optional<int> index = op_of_name(op);
    if (!index) {
      return no_fault(text, "there is no such op", fmt::format("choose from {}", fmt::join(ops_without({}), ", ")));
    }
    fault.op = *index;
  }
  const auto* info =
      std::find_if(std::begin(kFaults), std::end(kFaults), [&](const FaultInfo& each) { return each.name == rest; });
  if (info == std::end(kFaults)) {
    std::vector<std::string_view> names;
    for (const FaultInfo& each : kFaults) names.push_back(each.name);
    return no_fault(
        text, rest.empty() ? "it names no fault" : "there is no such fault",
        fmt::format("choose from {}{}", fmt::join(names, ", "), rest.empty() ? ", as flip@matmul:0.01" : ""));
  }
  fault.kind = info->kind;
  if (info->is_of_products && fault.op >= 0 && !is_among(kProducts, op)) {
    return no_fault(text, fmt::format("'{}' is made in products alone", info->name),
                    fmt::format("choose from {}", fmt::join(kProducts, ", ")));
  }
  if (is_of_numbers(info->kind) && fault.op >= 0 && is_among(kWithoutNumbers, op)) {
    return no_fault(text, fmt::format("'{}' is made in numbers, and {} writes none", info->name, op),
                    fmt::format("choose from {}, or lost@{}", fmt::join(ops_without(kWithoutNumbers), ", "), op));
  }
  return fault;
}

std::string fault_text(const Fault& fault) {
  std::string text(fault_info(fault.kind).name);
  if (fault.op >= 0) text += fmt::format("@{}", contract::op_name(fault.op));
  return fault.rate == 1 ? text : text + fmt::format(":{}", fault.rate);
}

}  // namespace naru::check
