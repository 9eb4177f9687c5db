// What a scheduler does not take into its queue.
#include <fmt/format.h>

#include "engine/scheduler.h"

namespace naru::engine {

Status Scheduler::check(const Request& request, int64_t n_answers) const {
  const auto n_prompt = static_cast<int64_t>(request.ids.size());
  const int64_t context = engine_.context_tokens();
  if (n_prompt == 0) {
    return Error{Code::kInvalidArgument, "queueing a request: the prompt has no tokens; give at least one"};
  }
  if (n_prompt >= context) {
    return Error{Code::kOutOfRange,
                 fmt::format("queueing a request: the prompt has {} tokens and the context holds {}, with one at least "
                             "for the answer; shorten the prompt, or open the model with a longer context",
                             n_prompt, context)};
  }
  for (const int32_t id : request.ids) {
    if (id >= 0 && id < engine_.vocab()) continue;
    return Error{Code::kInvalidArgument,
                 fmt::format("queueing a request: the prompt has the id {}, but the vocabulary has ids 0 to {}; were "
                             "the ids made with this model's tokenizer?",
                             id, engine_.vocab() - 1)};
  }
  NARU_TRY(validate_sampling(request.sampling, engine_.vocab()));
  const int64_t top = request.top_logprobs.value_or(0);
  if (request.max_tokens < 0 || top < 0 || top > kTopLogProbsMax) {
    return Error{Code::kInvalidArgument,
                 fmt::format("queueing a request: max_tokens {} and top_logprobs {} were given; max_tokens must not be "
                             "negative, top_logprobs at most {}",
                             request.max_tokens, top, kTopLogProbsMax)};
  }
  if (n_answers < 1) {
    return Error{Code::kInvalidArgument,
                 fmt::format("queueing a request: {} answers were asked for; ask for at least one", n_answers)};
  }
  if (n_answers > waiting_max_ - n_waiting()) {
    return Error{
        Code::kResourceExhausted,
        fmt::format("queueing a request: {} are waiting already and {} more were asked for, of {} that may; try "
                    "again later, or ask for fewer at once",
                    n_waiting(), n_answers, waiting_max_)};
  }
  return {};
}

}  // namespace naru::engine
