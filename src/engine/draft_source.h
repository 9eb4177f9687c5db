// DraftSource: where guesses of a request's next tokens come from. The scheduler feeds them behind the token it has and
// keeps what the sampler would have chosen anyway, so that a source changes speed, never a token.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/request.h"

namespace naru::engine {

class DraftSource {
 public:
  virtual ~DraftSource() = default;

  // Guesses of the tokens behind `ids`, which are the request's prompt and its answer so far: in order, n_max at most
  // (what is beyond, and what follows an id outside the vocabulary, is not fed). Asked once before each step for every
  // request that decodes and has room for at least one.
  virtual std::vector<int32_t> draft(RequestId id, const Request& request, std::span<const int32_t> ids,
                                     int64_t n_max) = 0;
  // The request is over: no more questions about it.
  virtual void forget(RequestId id) { (void)id; }
};

}  // namespace naru::engine
