#include "cli/context_room.h"

#include <algorithm>

namespace naru::cli {

int64_t answer_room(int64_t context, int64_t max_tokens) {
  const int64_t quarter = std::max<int64_t>(1, context / 4);
  return max_tokens > 0 ? std::min(quarter, max_tokens) : quarter;
}

Result<ContextRoom> make_room(size_t n_turns, int64_t context, int64_t max_tokens,
                              const std::function<Result<int64_t>(size_t)>& prompt_tokens) {
  const int64_t needed_max = context - answer_room(context, max_tokens);
  NARU_ASSIGN(const int64_t all, prompt_tokens(0));
  if (all <= needed_max) return ContextRoom{0, all, true};

  // The fewest from `low` on that make it at most `tokens_max`; n_turns where none do.
  const auto fewest = [&](size_t low, int64_t tokens_max) -> Result<size_t> {
    size_t high = n_turns;
    while (low < high) {
      const size_t middle = low + (high - low) / 2;
      NARU_ASSIGN(const int64_t tokens, prompt_tokens(middle));
      if (tokens <= tokens_max) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return high;
  };
  NARU_ASSIGN(size_t n_dropped, fewest(std::min<size_t>(1, n_turns), std::min(needed_max, context / 2)));
  if (n_dropped == n_turns) {
    NARU_ASSIGN(n_dropped, fewest(std::min<size_t>(1, n_turns), needed_max));
  }
  NARU_ASSIGN(const int64_t left, prompt_tokens(n_dropped));
  return ContextRoom{n_dropped, left, left < context};
}

}  // namespace naru::cli
