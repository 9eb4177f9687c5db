#include "data/generators/countdown_search.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/check.h"

namespace naru::data {
namespace {

constexpr int64_t kLookedAtMax = 120;
constexpr int64_t kNear = 10;  // so near a need a value may be taken for it

// What a pair would have to give, and how it then makes the target: `pair op left_out`, or the other way round.
struct Need {
  int64_t value = 0;
  char op = '+';
  bool is_pair_first = true;
};

// The needs of one line, and its text before the bar.
class Needs {
 public:
  Needs(int64_t target, int64_t left_out) {
    if (target > left_out) add(target, '-', left_out, target - left_out, {.op = '+'});
    if (target < left_out) add(left_out, '-', target, left_out - target, {.op = '-', .is_pair_first = false});
    add(target, '+', left_out, target + left_out, {.op = '-'});
    if (left_out > 1 && target % left_out == 0) add(target, '/', left_out, target / left_out, {.op = '*'});
    if (left_out > 1) add(target, '*', left_out, target * left_out, {.op = '/'});
    if (target > 1 && left_out > target && left_out % target == 0) {
      add(left_out, '/', target, left_out / target, {.op = '/', .is_pair_first = false});
    }
  }

  const std::vector<std::string>& equations() const { return equations_; }
  bool empty() const { return needs_.empty(); }
  // The one nearest to a value, where there is one.
  const Need& nearest(int64_t value) const {
    return *std::ranges::min_element(needs_, {}, [&](const Need& need) { return std::abs(need.value - value); });
  }

 private:
  void add(int64_t x, char op, int64_t y, int64_t result, Need need) {
    if (result > kLookedAtMax) return;
    need.value = result;
    needs_.push_back(need);
    equations_.push_back(fmt::format("{}{}{}={}", x, op, y, result));
  }

  std::vector<Need> needs_;
  std::vector<std::string> equations_;
};

// A line of the trace, and what it found.
struct Line {
  std::string text;
  std::optional<Term> found;
};

// What a pair and the one left out make; nothing where that is not to be looked at.
struct Check {
  std::string text;
  Term made;
};

std::optional<Check> check(const Term& pair, const Term& left_out, const Need& need) {
  const Term& a = need.is_pair_first ? pair : left_out;
  const Term& b = need.is_pair_first ? left_out : pair;
  auto made = combine(a, b, need.op);
  if (!made || made->value > kLookedAtMax) return std::nullopt;
  std::string text = fmt::format("{}{}{}={}", a.value, need.op, b.value, made->value);
  return Check{std::move(text), *std::move(made)};
}

// No text where the number left out is so large that nothing is needed.
Line search_line(const Term& left_out, const Term& one, const Term& other, int64_t target, Draws& draws) {
  const Term& a = one.value < other.value ? other : one;
  const Term& b = one.value < other.value ? one : other;
  const Needs needs(target, left_out.value);
  std::vector<std::string> given;
  Line line;
  if (needs.empty()) return line;
  for (const char op : {'+', '-', '*', '/'}) {
    if (b.value == 1 && op == '/') continue;  // as times one
    const std::optional<Term> pair = combine(a, b, op);
    if (!pair || pair->value > kLookedAtMax) continue;
    given.push_back(fmt::format("{}{}{}={}", a.value, op, b.value, pair->value));
    const Need& need = needs.nearest(pair->value);
    const bool is_found = need.value == pair->value;
    if (!is_found && (std::abs(need.value - pair->value) > kNear || draws.between(0, 2) > 0)) continue;
    auto checked = check(*pair, left_out, need);
    if (!checked) continue;
    given.push_back(std::move(checked->text));
    if (!is_found) continue;
    NARU_CHECK(checked->made.value == target, given.back(), target);
    line.found = std::move(checked->made);
    break;
  }
  line.text = fmt::format("{}|{}", fmt::join(needs.equations(), " "), fmt::join(given, " "));
  return line;
}

}  // namespace

std::optional<Search> search_three(const std::vector<Term>& terms, int64_t target, Draws& draws) {
  NARU_CHECK(terms.size() == 3, terms.size());
  std::vector<size_t> order = {0, 1, 2};
  for (size_t i = 2; i > 0; --i)
    std::swap(order[i], order[static_cast<size_t>(draws.between(0, static_cast<int64_t>(i)))]);
  std::vector<int64_t> tried;
  std::vector<std::string> lines;
  for (const size_t i : order) {
    if (std::ranges::find(tried, terms[i].value) != tried.end()) continue;
    tried.push_back(terms[i].value);
    Line line = search_line(terms[i], terms[(i + 1) % 3], terms[(i + 2) % 3], target, draws);
    if (line.text.empty()) continue;
    lines.push_back(std::move(line.text));
    if (line.found) return Search{fmt::format("{}", fmt::join(lines, "\n")), *std::move(line.found)};
  }
  return std::nullopt;
}

}  // namespace naru::data
