#include "check/case.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/shown_text.h"
#include "check/golden_cases.h"
#include "check/suite.h"
#include "contract/ops.h"

namespace naru::check {
namespace {

Error refusal(std::string_view where, const std::string& found, const std::string& next) {
  return {Code::kInvalidArgument, fmt::format("reading a case: {}: {}; {}", where, found, next)};
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

template <typename Number>
std::optional<Number> number_of(std::string_view text) {
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

Status check_kind(const Suite& suite, std::string_view kind) {
  std::string example;
  for (const auto& choice : suite.choices) example += (example.empty() ? "" : "/") + std::string(choice.front());
  const std::vector<std::string_view> words = kind.empty() ? std::vector<std::string_view>() : split(kind, '/');
  if (words.size() != suite.choices.size()) {
    return refusal(suite.op,
                   fmt::format("the kind '{}' has {} words, {} were wanted", without_controls_on_one_line(kind),
                               words.size(), suite.choices.size()),
                   fmt::format("write a word of each choice, with '/' between them, as in '{}'", example));
  }
  for (size_t i = 0; i < words.size(); ++i) {
    const auto& choice = suite.choices[i];
    if (std::find(choice.begin(), choice.end(), words[i]) != choice.end()) continue;
    return refusal(suite.op, fmt::format("'{}' is no word of its kinds", without_controls_on_one_line(words[i])),
                   fmt::format("choose from {}", fmt::join(choice, ", ")));
  }
  return {};
}

// "5", or "5,300,70" where the dimension is a list.
Result<Dimension> dimension_of(const Suite& suite, const DimensionRange& range, std::string_view text) {
  Dimension dimension{std::string(range.name), {}};
  const std::vector<std::string_view> parts = split(text, ',');
  const size_t n_max = range.is_list ? kListMax : 1;
  if (parts.size() > n_max) {
    return refusal(suite.op, fmt::format("'{}' has {} entries, {} may be", range.name, parts.size(), n_max),
                   "take some away");
  }
  for (const std::string_view part : parts) {
    const auto size = number_of<int64_t>(part);
    if (!size || *size < range.low || *size > range.high) {
      return refusal(suite.op, fmt::format("'{}' has the value '{}'", range.name, without_controls_on_one_line(part)),
                     fmt::format("write a number from {} to {}", range.low, range.high));
    }
    dimension.sizes.push_back(*size);
  }
  return dimension;
}

// Whatever must hold beyond the range of each dimension.
Status check_whole(const Suite& suite, const Case& c) {
  const std::string misfit = suite.misfit(c);
  if (!misfit.empty()) return refusal(suite.op, misfit, "change one of the dimensions");
  const double elements = suite.elements(c);
  if (!(elements <= kCaseElementsMax)) {
    return refusal(suite.op,
                   fmt::format("its operands have {:.0f} elements, {:.0f} may be", elements, kCaseElementsMax),
                   "make its dimensions smaller");
  }
  if (c.is_golden() && !is_golden_case(c)) {
    return refusal(suite.op, "the golden values belong to cases of the golden files, and this is none",
                   "choose other values");
  }
  return {};
}

// The rest of a line: name=value, and `large`.
class Reader {
 public:
  explicit Reader(const Suite& suite) : suite_(suite), given_(suite.dimensions.size()) { case_.op = suite.op; }

  Status read(std::string_view word) {
    if (word == "large") {
      case_.is_large = true;
      return {};
    }
    const size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? std::string_view() : word.substr(equals + 1);
    if (equals == std::string_view::npos) {
      if (!case_.kind.empty())
        return refusal(suite_.op, fmt::format("'{}' is no name=value", without_controls_on_one_line(word)),
                       "write one kind, and all else with its name");
      case_.kind = word;
      return check_kind(suite_, case_.kind);
    }
    const auto again = [&] {
      return refusal(suite_.op, fmt::format("'{}' is there twice", without_controls_on_one_line(name)),
                     "leave one of them");
    };
    for (size_t i = 0; i < given_.size(); ++i) {
      if (suite_.dimensions[i].name != name) continue;
      if (given_[i]) return again();
      NARU_ASSIGN(given_[i], dimension_of(suite_, suite_.dimensions[i], value));
      return {};
    }
    if (std::find(seen_.begin(), seen_.end(), name) != seen_.end()) return again();
    seen_.push_back(name);
    return read_common(name, value);
  }

  Result<Case> finish() {
    NARU_TRY(check_kind(suite_, case_.kind));
    for (size_t i = 0; i < given_.size(); ++i) {
      const DimensionRange& range = suite_.dimensions[i];
      if (!given_[i] && !range.otherwise) {
        return refusal(suite_.op, fmt::format("'{}' is missing", range.name),
                       fmt::format("write {}=N, N from {} to {}", range.name, range.low, range.high));
      }
      case_.dimensions.push_back(given_[i] ? *given_[i] : Dimension{std::string(range.name), {*range.otherwise}});
    }
    NARU_TRY(check_whole(suite_, case_));
    return std::move(case_);
  }

 private:
  Status read_common(std::string_view name, std::string_view value) {
    if (name == "values") {
      const auto values = values_from_name(value);
      if (!values) return bad(name, value, "plain, wide, low, tiny, edge, not_finite, any, golden");
      case_.values = *values;
    } else if (name == "seed") {
      const auto seed = number_of<uint64_t>(value);
      if (!seed) return bad(name, value, "a number from 0");
      case_.seed = *seed;
    } else if (name == "gap") {
      const auto gap = number_of<int64_t>(value);
      if (!gap || *gap < 0 || *gap > kGapMax) return bad(name, value, fmt::format("a number from 0 to {}", kGapMax));
      case_.gap = *gap;
    } else if (name == "grade") {
      if (value != "exact") return bad(name, value, "exact");
    } else {
      std::vector<std::string_view> names;
      for (const DimensionRange& range : suite_.dimensions) names.push_back(range.name);
      return refusal(suite_.op, fmt::format("it has no dimension '{}'", without_controls_on_one_line(name)),
                     fmt::format("choose from {}, values, seed, gap, grade", fmt::join(names, ", ")));
    }
    return {};
  }
  Error bad(std::string_view name, std::string_view value, const std::string& wanted) const {
    return refusal(suite_.op, fmt::format("'{}' has the value '{}'", name, without_controls_on_one_line(value)),
                   "write " + wanted);
  }

  const Suite& suite_;
  std::vector<std::optional<Dimension>> given_;
  std::vector<std::string_view> seen_;
  Case case_;
};

const Dimension* find(const Case& c, std::string_view name) {
  const auto found = std::find_if(c.dimensions.begin(), c.dimensions.end(),
                                  [&](const Dimension& dimension) { return dimension.name == name; });
  return found == c.dimensions.end() ? nullptr : &*found;
}

}  // namespace

int64_t Case::at(std::string_view dimension) const {
  const std::vector<int64_t>& sizes = list(dimension);
  NARU_CHECK(sizes.size() == 1, op, dimension);
  return sizes[0];
}

const std::vector<int64_t>& Case::list(std::string_view dimension) const {
  const Dimension* found = find(*this, dimension);
  NARU_CHECK(found != nullptr, op, dimension);
  return found->sizes;
}

std::string_view Case::word(size_t choice) const {
  const std::vector<std::string_view> words = split(kind, '/');
  NARU_CHECK(choice < words.size(), op, kind, choice);
  return words[choice];
}

bool Case::is(std::string_view word) const {
  for (std::string_view rest = kind; !rest.empty();) {
    const size_t end = std::min(rest.find('/'), rest.size());
    if (rest.substr(0, end) == word) return true;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

std::string case_line(const Case& c) {
  std::string line = c.op;
  if (!c.kind.empty()) line += " " + c.kind;
  for (const Dimension& dimension : c.dimensions) {
    line += fmt::format(" {}={}", dimension.name, fmt::join(dimension.sizes, ","));
  }
  line += fmt::format(" values={} seed={} gap={} grade=exact", values_name(c.values), c.seed, c.gap);
  return c.is_large ? line + " large" : line;
}

Result<Case> parse_case(std::string_view line) {
  if (line.size() > kCaseLineMax) {
    return refusal("the line", fmt::format("it has {} bytes, {} may be", line.size(), kCaseLineMax), "shorten it");
  }
  std::vector<std::string_view> words;
  for (const std::string_view word : split(line, ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  const Suite* suite = words.empty() ? nullptr : find_suite(words[0]);
  if (suite == nullptr) {
    std::vector<std::string_view> names;
    for (const Suite& each : all_suites()) names.push_back(each.op);
    return refusal("the line",
                   fmt::format("there is no op '{}'", words.empty() ? "" : without_controls_on_one_line(words[0])),
                   fmt::format("choose from {}", fmt::join(names, ", ")));
  }
  Reader reader(*suite);
  for (size_t i = 1; i < words.size(); ++i) NARU_TRY(reader.read(words[i]));
  return reader.finish();
}

Case make_case(std::string_view op, std::string_view kind, std::initializer_list<Dimension> dimensions, Values values,
               uint64_t seed) {
  const Suite* suite = find_suite(op);
  NARU_CHECK(suite != nullptr, op);
  Case c;
  c.op = op;
  c.kind = kind;
  c.values = values;
  c.seed = seed;
  for (const DimensionRange& range : suite->dimensions) {
    const auto given = std::find_if(dimensions.begin(), dimensions.end(),
                                    [&](const Dimension& dimension) { return dimension.name == range.name; });
    if (given != dimensions.end()) {
      c.dimensions.push_back(*given);
    } else {
      NARU_CHECK(range.otherwise.has_value(), op, range.name, "is missing");
      c.dimensions.push_back({std::string(range.name), {*range.otherwise}});
    }
    for (const int64_t size : c.dimensions.back().sizes) {
      NARU_CHECK(size >= range.low && size <= range.high, op, range.name, size);
    }
    NARU_CHECK(range.is_list || c.dimensions.back().sizes.size() == 1, op, range.name);
  }
  for (const Dimension& dimension : dimensions) NARU_CHECK(find(c, dimension.name) != nullptr, op, dimension.name);
  const Status kind_status = check_kind(*suite, kind);
  NARU_CHECK(kind_status.ok(), kind_status.ok() ? "" : kind_status.error().message);
  const std::string misfit = suite->misfit(c);
  NARU_CHECK(misfit.empty() && suite->elements(c) <= kCaseElementsMax, op, kind, misfit);
  return c;
}

Program build(const Case& c) {
  const Suite* suite = find_suite(c.op);
  NARU_CHECK(suite != nullptr, c.op);
  return suite->build(c);
}

std::span<const Suite> all_suites() {
  static const std::vector<Suite> kSuites = [] {
    std::vector<Suite> suites;
    for (const auto make : {product_suites, training_product_suites, row_suites, rope_suites, row_gradient_suites,
                            expert_suites, loss_suites, optimizer_suites, attention_suites}) {
      for (Suite& suite : make()) suites.push_back(std::move(suite));
    }
    return suites;
  }();
  return kSuites;
}

const Suite* find_suite(std::string_view op) {
  for (const Suite& suite : all_suites()) {
    if (suite.op == op) return &suite;
  }
  return nullptr;
}

}  // namespace naru::check
