// The suite of an op: which cases it can have, how their programs are built, and the cases of the contract suite, at
// odd shapes, with values of every kind. One source for each group of ops; every op of the contract has a suite.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "check/case.h"

namespace naru::check {

struct DimensionRange {
  std::string_view name;
  int64_t low = 0, high = 0;
  std::optional<int64_t> otherwise = {};  // where a case does not say; empty: it must
  bool is_list = false;
};

struct Suite {
  std::string_view op;
  std::vector<std::vector<std::string_view>> choices;  // the words of each part of a kind
  std::vector<DimensionRange> dimensions;
  // Elements of all operands together, at most. Dimensions are in their ranges.
  double (*elements)(const Case& c);
  // Why the dimensions do not fit each other or the kind, in words ("5 heads on 2 key heads"); empty where they do.
  std::string (*misfit)(const Case& c);
  Program (*build)(const Case& c);
  std::vector<Case> (*cases)();
};

// One for each op of the contract.
std::span<const Suite> all_suites();
const Suite* find_suite(std::string_view op);  // nullptr: there is none

const DimensionRange kRows{"rows", 0, 1 << 20}, kCols{"cols", 1, 1 << 20};
// What most suites have at most shapes; the order of arithmetic does not depend on more.
constexpr Values kMostValues[] = {Values::kPlain, Values::kWide, Values::kLow, Values::kNotFinite};

// Elements of rows x cols with their gaps.
inline double area(int64_t rows, int64_t cols) {
  return static_cast<double>(rows) * static_cast<double>(cols + kGapMax) + kGapMax;
}
inline std::string fits(const Case&) {
  return {};
}

// The suites of each source.
std::vector<Suite> product_suites();
std::vector<Suite> training_product_suites();
std::vector<Suite> row_suites();
std::vector<Suite> rope_suites();
std::vector<Suite> row_gradient_suites();
std::vector<Suite> expert_suites();
std::vector<Suite> loss_suites();
std::vector<Suite> optimizer_suites();
std::vector<Suite> attention_suites();

// Collects the cases of one suite; each gets a seed of its own.
class CaseList {
 public:
  explicit CaseList(std::string_view op) : op_(op) {}
  Case& add(std::string_view kind, std::initializer_list<Dimension> dimensions, Values values = Values::kPlain) {
    cases_.push_back(make_case(op_, kind, dimensions, values, cases_.size() + 1));
    return cases_.back();
  }
  std::vector<Case> take() { return std::move(cases_); }

 private:
  std::string_view op_;
  std::vector<Case> cases_;
};

}  // namespace naru::check
