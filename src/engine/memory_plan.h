// MemoryPlan: what a model will take from the machine, added up before its weights are read. A model, context or number
// of sessions that does not fit is refused with the numbers; it is never tried.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "models/model.h"

namespace naru::engine {

inline constexpr int64_t kContextDefaultMax = 8192;  // positions, where the user names no context
inline constexpr int64_t kSessionsMax = 4096;
inline constexpr int64_t kPrefillChunkMax = 16384;  // rows of one forward pass

struct MemoryOptions {
  // Positions of one sequence. 0: the model's own limit, kContextDefaultMax or what fits, whichever is least.
  int64_t context_tokens = 0;
  int64_t sessions_max = 1;  // full contexts that the cache holds at once
  // Positions that the cache holds in all, in the place of sessions_max full contexts; one context at least. Requests
  // that find no page are preempted. 0: not said.
  int64_t cache_tokens = 0;
  int64_t prefill_chunk = 512;  // rows of one forward pass; changes speed and memory, never a bit
  // Bytes of the chip that may be used; default: what it has free when planning.
  std::optional<int64_t> memory_bytes;
};

struct MemoryPlan {
  int64_t context_tokens = 0;
  int64_t sessions_max = 1;
  int64_t cache_tokens = 0;  // as asked for
  int64_t prefill_chunk = 0;
  int64_t logit_rows = 0;  // logits of one forward pass
  int64_t n_pages = 0;     // of the cache

  int64_t weight_bytes = 0;
  int64_t cache_bytes = 0;
  int64_t workspace_bytes = 0;  // arena_bytes, the chip's scratch, and logits on the host
  int64_t arena_bytes = 0;      // of nn::Workspace, for the largest forward pass
  int64_t reserve_bytes = 0;    // left to the system and to tables of ours
  int64_t available_bytes = 0;  // when the plan was made

  // The context was lowered below its default so that it fits; `note` says so in one line for the user.
  bool is_context_reduced = false;
  std::string note;

  int64_t needed_bytes() const { return weight_bytes + cache_bytes + workspace_bytes + reserve_bytes; }
};

// kResourceExhausted: needed, available, and what to lower. kOutOfRange: a context above the model's own limit.
// kInvalidArgument: options outside their limits.
Result<MemoryPlan> plan_memory(const models::ModelPlan& model, const MemoryOptions& options);

}  // namespace naru::engine
