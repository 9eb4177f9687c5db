// Which turns of a chat leave when the context is full.
//
// Room for the answer is a quarter of the context, or --max-tokens where that is less: an answer that is cut after a
// few words costs more than old turns are worth, and more room than a quarter would make a small context forget too
// soon. As long as the prompt and that room fit, nothing leaves. When they do not, the oldest turns leave until the
// prompt takes at most half of the context, not just until it fits: every turn that leaves changes the text behind the
// system prompt, so all behind it is computed again, and that should not be for each message anew. Where half is so
// small that no old turn would stay, as many stay as leave the room; where even none leaves it, the answer gets what
// there is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "base/result.h"

namespace naru::cli {

struct ContextRoom {
  size_t n_dropped = 0;       // of the oldest turns
  int64_t prompt_tokens = 0;  // of what stays
  bool fits = true;           // false: the newest message with the system prompt leaves no token for an answer
};

int64_t answer_room(int64_t context, int64_t max_tokens);  // max_tokens 0: no limit

// `prompt_tokens(k)` is the length of the prompt without the k oldest of `n_turns` turns, the newest message (which is
// no turn yet) and the system prompt with it; more turns never make it shorter. Asked for few k; its errors are passed
// on.
Result<ContextRoom> make_room(size_t n_turns, int64_t context, int64_t max_tokens,
                              const std::function<Result<int64_t>(size_t)>& prompt_tokens);

}  // namespace naru::cli
