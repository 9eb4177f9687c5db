// What comes from outside where answers are judged. The first byte says what the rest is: the reply of a reward
// program, a line of rewards.jsonl, a line of the user's own problems, or an answer. What is accepted is in its bounds
// and means the same when it is written again.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "data/problem_lines.h"
#include "formats/utf8.h"
#include "rewards/answers.h"
#include "rewards/judge.h"
#include "rewards/languages.h"
#include "rewards/numbers.h"
#include "rewards/reward_line.h"
#include "rewards/reward_store.h"

namespace {

using namespace naru;
using namespace naru::rewards;

void check_reply(std::string_view text) {
  const auto reply = parse_reward_reply(text, 7);
  NARU_CHECK(!reply.ok() || std::abs(reply->reward) <= kRewardMax);
  NARU_CHECK(reply.ok() || formats::is_valid_utf8(reply.error().message));
}

void check_problem(std::string_view text) {
  const auto problem = data::parse_problem(text, "p.jsonl:1", {1, 1}, true);
  if (!problem.ok()) return;
  NARU_CHECK(!problem->prompt.empty() && problem->answer_text.has_value());
  const std::string line = reward_line(reward_question(*problem, text), 7);
  NARU_CHECK(line.ends_with('\n') && line.find('\n') == line.size() - 1 && formats::is_valid_utf8(line));
}

void check_answer(std::string_view text) {
  for (const Number& number : numbers_in(text)) {
    NARU_CHECK(equal(number, number) && std::ssize(number.digits) <= kNumberDigitsMax);
  }
  const WordCounts words = count_words(text);
  NARU_CHECK(words.all() >= 0 && words.all() <= static_cast<double>(text.size()));
  const double share = language_share("How many?", text);
  NARU_CHECK(share >= 0 && share <= 1, share);
  for (const char* find : {"", "whole", "last_line", "boxed", "mark", "number"}) {
    for (const char* how : {"", "text", "number"}) {
      const bool is_right = is_answer(text, "72", answer_place(find), comparison(how));
      NARU_CHECK(is_answer(" " + std::string(text) + "\n", "72", answer_place(find), comparison(how)) == is_right);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size < 1) return 0;
  const std::string_view text(reinterpret_cast<const char*>(bytes + 1), size - 1);
  switch (bytes[0] % 4) {
    case 0: check_reply(text); break;
    case 1: (void)parse_stored_reward(text, "rewards.jsonl:1").ok(); break;
    case 2: check_problem(text); break;
    default: check_answer(text);
  }
  return 0;
}
