#include "samples/filters.h"

#include <algorithm>
#include <unordered_set>

namespace naru::samples {
namespace {

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// What is true of an answer by itself.
std::optional<Reason> reason_of(const FilteredAnswer& a, const recipes::RejectionRecipe& r) {
  if (!a.is_asked) return Reason::kNoRoom;
  if (a.is_cut) return Reason::kCut;
  if (!a.is_writable) return Reason::kUnwritable;
  if (is_blank(a.text)) return Reason::kEmpty;
  if (r.right && !a.is_right) return Reason::kWrong;
  if (a.reward < r.reward_low) return Reason::kReward;
  if (a.language_share < r.language_low) return Reason::kLanguage;
  if (a.n_tokens < r.tokens_low) return Reason::kShort;
  if (r.tokens_high > 0 && a.n_tokens > r.tokens_high) return Reason::kLong;
  if (a.repeated_share > r.repetition_high) return Reason::kRepetition;
  return std::nullopt;
}

// Of those that are kept so far the best by reward, of equal ones the first.
void drop_surplus(const std::vector<FilteredAnswer>& answers, int64_t keep, std::vector<FilteredLine>& lines) {
  std::vector<size_t> kept;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!lines[i].dropped) kept.push_back(i);
  }
  if (keep == 0 || std::ssize(kept) <= keep) return;
  std::stable_sort(kept.begin(), kept.end(),
                   [&answers](size_t a, size_t b) { return answers[a].reward > answers[b].reward; });
  for (size_t i = static_cast<size_t>(keep); i < kept.size(); ++i) {
    lines[kept[i]] = {.dropped = Reason::kSurplus, .part = ""};
  }
}

}  // namespace

std::optional<Reason> reason_from_name(std::string_view name) {
  const auto found = std::ranges::find(kReasonNames, name);
  if (found == kReasonNames.end()) return std::nullopt;
  return static_cast<Reason>(found - kReasonNames.begin());
}

double repeated_share(std::span<const int32_t> ids) {
  if (ids.size() <= kRepeatedTokens) return 0;
  std::unordered_set<std::string_view> seen;  // the bytes of a stretch
  const auto* const bytes = reinterpret_cast<const char*>(ids.data());
  int64_t n_repeated = 0;
  size_t marked = 0;  // tokens before this are counted
  for (size_t i = 0; i + kRepeatedTokens <= ids.size(); ++i) {
    const std::string_view stretch(bytes + i * sizeof(int32_t), kRepeatedTokens * sizeof(int32_t));
    if (seen.insert(stretch).second) continue;
    const size_t end = i + kRepeatedTokens;
    n_repeated += static_cast<int64_t>(end - std::max(marked, i));
    marked = end;
  }
  return static_cast<double>(n_repeated) / static_cast<double>(ids.size());
}

double pass_rate(const std::vector<FilteredAnswer>& answers) {
  if (answers.empty()) return 0;
  const auto n = std::ranges::count_if(answers, [](const FilteredAnswer& a) { return a.is_right && !a.is_cut; });
  return static_cast<double>(n) / static_cast<double>(answers.size());
}

Result<std::vector<FilteredLine>> filter(const std::vector<FilteredAnswer>& answers,
                                         const recipes::RejectionRecipe& recipe, const MakeLine& make_line,
                                         const IsKept& is_kept) {
  std::vector<FilteredLine> lines(answers.size());
  const double rate = pass_rate(answers);
  std::unordered_set<std::string> here;  // of this problem
  for (size_t i = 0; i < answers.size(); ++i) {
    FilteredLine& line = lines[i];
    line.dropped = reason_of(answers[i], recipe);
    if (!line.dropped && rate < recipe.pass_rate_low) line.dropped = Reason::kTooHard;
    if (!line.dropped && rate > recipe.pass_rate_high) line.dropped = Reason::kTooEasy;
    if (line.dropped) continue;
    NARU_ASSIGN(std::optional<std::string> part, make_line(i));
    if (!part) {
      line.dropped = Reason::kUnwritable;
    } else if (recipe.deduplicate && (!here.insert(*part).second || is_kept(*part))) {
      line.dropped = Reason::kDuplicate;
    } else {
      line.part = *std::move(part);
    }
  }
  drop_surplus(answers, recipe.keep, lines);
  return lines;
}

}  // namespace naru::samples
