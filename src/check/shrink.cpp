#include "check/shrink.h"

#include <algorithm>

#include "check/suite.h"

namespace naru::check {
namespace {

// Smaller sizes of one dimension, the smallest first.
std::vector<int64_t> smaller_sizes(int64_t size, int64_t low) {
  std::vector<int64_t> sizes;
  for (const int64_t each : {low, low + 1, low + (size - low) / 8, low + (size - low) / 2, size - 1}) {
    if (each >= low && each < size && std::find(sizes.begin(), sizes.end(), each) == sizes.end()) sizes.push_back(each);
  }
  return sizes;
}

void add_smaller_lists(std::vector<Case>& cases, const Case& c, size_t d, int64_t low) {
  const std::vector<int64_t>& list = c.dimensions[d].sizes;
  const auto add = [&](std::vector<int64_t> sizes) {
    cases.push_back(c);
    cases.back().dimensions[d].sizes = std::move(sizes);
  };
  if (list.size() > 1) {
    const auto half = list.begin() + static_cast<int64_t>(list.size() / 2);
    add({list.begin(), half});
    add({half, list.end()});
    for (size_t i = 0; i < list.size(); ++i) {
      std::vector<int64_t> without = list;
      without.erase(without.begin() + static_cast<int64_t>(i));
      add(std::move(without));
    }
  }
  for (size_t i = 0; i < list.size(); ++i) {
    for (const int64_t size : smaller_sizes(list[i], low)) {
      std::vector<int64_t> sizes = list;
      sizes[i] = size;
      add(std::move(sizes));
    }
  }
}

// What is easier to look at and no smaller.
void add_plainer(std::vector<Case>& cases, const Case& c) {
  const auto add = [&](auto change) {
    cases.push_back(c);
    change(cases.back());
  };
  if (c.values != Values::kPlain) add([](Case& plainer) { plainer.values = Values::kPlain; });
  if (c.gap != 0) add([](Case& plainer) { plainer.gap = 0; });
  if (c.seed != 1) add([](Case& plainer) { plainer.seed = 1; });
  if (c.is_large) add([](Case& plainer) { plainer.is_large = false; });
}

std::vector<Case> smaller_cases(const Case& c) {
  const Suite& suite = *find_suite(c.op);
  std::vector<Case> cases;
  for (size_t d = 0; d < c.dimensions.size(); ++d) {
    const DimensionRange& range = suite.dimensions[d];
    if (range.low < 0) continue;  // a power, and no size
    if (range.is_list) {
      add_smaller_lists(cases, c, d, range.low);
      continue;
    }
    for (const int64_t size : smaller_sizes(c.dimensions[d].sizes[0], range.low)) {
      cases.push_back(c);
      cases.back().dimensions[d].sizes = {size};
    }
  }
  add_plainer(cases, c);
  std::erase_if(cases, [](const Case& each) { return !parse_case(case_line(each)).ok(); });
  return cases;
}

}  // namespace

Case shrink(const Case& failing, const std::function<bool(const Case&)>& fails, int64_t runs_max) {
  Case smallest = failing;
  for (int64_t n_runs = 0; n_runs < runs_max;) {
    bool is_smaller = false;
    for (const Case& smaller : smaller_cases(smallest)) {
      if (n_runs++ >= runs_max) return smallest;
      if (!fails(smaller)) continue;
      smallest = smaller;
      is_smaller = true;
      break;
    }
    if (!is_smaller) break;
  }
  return smallest;
}

}  // namespace naru::check
