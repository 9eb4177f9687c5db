// Filters: which answers to a problem become training data, and why the others do not. A function of the answers to one
// problem and of the lines that were kept before it. Reasons are asked in the order in which they stand here: an answer
// that is dropped has the first that is true of it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "recipes/recipe.h"

namespace naru::samples {

enum class Reason : uint8_t {
  kNoRoom,      // the prompt leaves no room in the model's context: nothing was drawn
  kCut,         // its length, or the context, ended it
  kUnwritable,  // no UTF-8, or control tokens that a text cannot say
  kEmpty,       // white space alone
  kWrong,
  kReward,    // worth less than reward_low
  kLanguage,  // too few of its words are in the question's language
  kShort,
  kLong,
  kRepetition,  // too much of it repeats what it said
  kTooHard,     // too few of the answers to its problem are right
  kTooEasy,     // too many are
  kDuplicate,   // the same was kept before
  kSurplus,     // enough of its problem were kept, better ones
};

inline constexpr std::array<std::string_view, 14> kReasonNames = {
    "no_room", "cut",  "unwritable", "empty",    "wrong",    "reward",    "language",
    "short",   "long", "repetition", "too_hard", "too_easy", "duplicate", "surplus"};  // by Reason

constexpr std::string_view reason_name(Reason reason) {
  return kReasonNames[static_cast<size_t>(reason)];
}
std::optional<Reason> reason_from_name(std::string_view name);

inline constexpr size_t kRepeatedTokens = 8;  // of a stretch that counts as repeated

// The share of tokens that stand in a stretch of kRepeatedTokens that was there before in `ids`, at another place; in
// time linear in them.
double repeated_share(std::span<const int32_t> ids);

struct FilteredAnswer {
  bool is_asked = true, is_cut = false, is_writable = true, is_right = false;
  std::string_view text;
  int64_t n_tokens = 0;  // without the one that ended it
  double reward = 0;
  double language_share = 1;
  double repeated_share = 0;
};

// The share of all answers that are right, and whole.
double pass_rate(const std::vector<FilteredAnswer>& answers);

// The part of a line that is learnt, of answer `index`; nothing: it cannot be written.
using MakeLine = std::function<Result<std::optional<std::string>>(size_t index)>;
// Whether a line with that part was kept before.
using IsKept = std::function<bool(const std::string& part)>;

struct FilteredLine {
  std::optional<Reason> dropped;  // nothing: it is kept
  std::string part;               // of a kept one
};
// As many as there are answers, in their order.
Result<std::vector<FilteredLine>> filter(const std::vector<FilteredAnswer>& answers,
                                         const recipes::RejectionRecipe& recipe, const MakeLine& make_line,
                                         const IsKept& is_kept);

}  // namespace naru::samples
