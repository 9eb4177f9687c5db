// What a reward program reads and writes: a line of JSON an answer, and a line back (docs/rewards.md).
//
// In: all that the problem's line says ("prompt" or "messages", "answer", ...), of a generator's problem "prompt",
// "answer", "generator" and "numbers"; the model's "response"; and an "id" of ours. A line's own "id" and "response"
// come as "problem_id" and "problem_response". Out: {"id": the same, "reward": a number}, and "right": true or false
// where it wants to say so; other keys are passed over.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "data/problem.h"

namespace naru::rewards {

inline constexpr int64_t kRewardReplyBytesMax = 1 << 16;  // bytes of one line of a program
inline constexpr double kRewardMax = 1e6;                 // a reward is from -kRewardMax to it

// The object without its id: what is asked. The same problem and response are the same text.
std::string reward_question(const data::Problem& problem, std::string_view response);
// The line: the question with its id, and a line end.
std::string reward_line(std::string_view question, int64_t id);

struct RewardReply {
  double reward = 0;
  bool is_right = false;  // as it says, else whether the reward is at least 1
};
// A line without its end, of any bytes. The message says what it is and what was wanted.
Result<RewardReply> parse_reward_reply(std::string_view line, int64_t id);

}  // namespace naru::rewards
