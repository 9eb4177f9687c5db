// Request: what is asked of the scheduler.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/constraint.h"
#include "engine/fair_queue.h"
#include "engine/sampler.h"

namespace naru::engine {

using RequestId = uint64_t;

inline constexpr int64_t kTopLogProbsMax = 100;

struct Request {
  std::vector<int32_t> ids;  // the prompt: at least one token, and fewer than the context holds
  SamplingOptions sampling;
  uint32_t sample = 0;                  // which of several answers to one prompt; part of the random counter
  int64_t max_tokens = 0;               // 0: until the context is full
  std::vector<int32_t> stop_ids;        // end the answer, besides the model's own
  bool ignore_eos = false;              // the model's own end tokens do not
  std::optional<int64_t> top_logprobs;  // 0: of the chosen token; n: of the n best too
  bool wants_drawn = false;             // log-probabilities are of what is drawn from, and come with the kept tokens
  std::shared_ptr<const Constraint> constraint;  // null: any token may come
  uint64_t cache_scope = 0;
  UserId user = 0;       // for whom: those who wait are served in turn
  int64_t priority = 0;  // among the requests of one user, the lowest first
};

}  // namespace naru::engine
