#include "engine/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"
#include "base/memory.h"
#include "contract/chip.h"
#include "nn/workspace.h"

namespace naru::engine {
namespace {

constexpr int64_t kReserveMin = int64_t{64} << 20;
constexpr int64_t kLogitRows = 64;  // of a pass, and as many as sessions as long as they take no more than
constexpr int64_t kCacheTokensMax = int64_t{1} << 40;
constexpr int64_t kLogitBytes = int64_t{8} << 20;

Status check_option(std::string_view name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return {};
  return Error{Code::kInvalidArgument,
               fmt::format("planning memory: {} is {}, but must be between {} and {}", name, value, low, high)};
}

Status check_options(const models::ModelPlan& model, const MemoryOptions& options) {
  NARU_TRY(check_option("the number of sessions", options.sessions_max, 1, kSessionsMax));
  NARU_TRY(check_option("the prefill chunk", options.prefill_chunk, 1, kPrefillChunkMax));
  NARU_TRY(check_option("the cache's number of tokens", options.cache_tokens, 0, kCacheTokensMax));
  if (options.context_tokens < 0) {
    return Error{Code::kInvalidArgument, fmt::format("planning memory: a context of {} tokens was asked for; give a "
                                                     "positive number, or 0 for the default",
                                                     options.context_tokens)};
  }
  const int64_t limit = model.config.max_positions;
  if (limit > 0 && options.context_tokens > limit) {
    return Error{
        Code::kOutOfRange,
        fmt::format("planning memory: a context of {} tokens was asked for, but the model was made for {}; ask "
                    "for at most that",
                    options.context_tokens, limit)};
  }
  return {};
}

// Pages that a stream of any layer, which lies in one piece on the chip, can have: its planner gives no more at once
// than the chip does.
int64_t pages_in_one_piece(const models::ModelPlan& model) {
  int64_t page_bytes = 1;
  for (const nn::LayerCacheShape& shape : model.shape->layer_cache_shapes(model.cache_dtype)) {
    for (const nn::StreamShape& stream : shape) {
      page_bytes = std::max(page_bytes, model.planner->cache_page_bytes(stream.shape));
    }
  }
  // What is given, and what may not be: so much and more is a range to measure in, which a planner always gives.
  int64_t most = 0, beyond = std::min<int64_t>(INT32_MAX, contract::kMeasuredBytesMax / page_bytes);
  while (most + 1 < beyond) {
    const int64_t pages = most + (beyond - most) / 2;
    const auto bytes = checked_mul(pages, page_bytes);
    (bytes && model.planner->allocate(*bytes).ok() ? most : beyond) = pages;
  }
  return most;
}

// Sets the context and what follows from it. False where the sizes pass all bounds.
bool set_context(const models::ModelPlan& model, int64_t context, MemoryPlan& plan) {
  const int64_t pages = ceil_div(context, contract::kCachePage);
  const auto n_pages = plan.cache_tokens > 0
                           ? std::optional(std::max(pages, ceil_div(plan.cache_tokens, contract::kCachePage)))
                           : checked_mul(pages, plan.sessions_max);
  if (!n_pages || *n_pages > INT32_MAX) return false;
  const auto bytes = checked_mul(*n_pages, model.cache_bytes_per_page);
  if (!bytes || *bytes > INT64_MAX / 4) return false;
  plan.context_tokens = context;
  plan.n_pages = *n_pages;
  plan.cache_bytes = *bytes;
  return true;
}

// The largest context that fits, a multiple of a page; 0 where not even one page does.
int64_t fitting_context(const models::ModelPlan& model, const MemoryPlan& plan) {
  const int64_t rest = plan.available_bytes - plan.weight_bytes - plan.workspace_bytes - plan.reserve_bytes;
  const int64_t piece = pages_in_one_piece(model);
  if (plan.cache_tokens > 0) {  // one context may have all of it
    const int64_t fitting =
        std::min(piece, std::max<int64_t>(0, rest) / std::max<int64_t>(1, model.cache_bytes_per_page));
    return fitting >= ceil_div(plan.cache_tokens, contract::kCachePage) ? fitting * contract::kCachePage : 0;
  }
  const int64_t page_bytes = std::max<int64_t>(1, model.cache_bytes_per_page) * plan.sessions_max;
  const int64_t pages = std::min<int64_t>(std::max<int64_t>(0, rest) / page_bytes, piece / plan.sessions_max);
  return pages * contract::kCachePage;
}

// Whether the chip gives what the plan takes, in all and of the cache at once.
bool fits(const models::ModelPlan& model, const MemoryPlan& plan) {
  return plan.needed_bytes() <= plan.available_bytes && plan.n_pages <= pages_in_one_piece(model);
}

Error too_big(const models::ModelPlan& model, const MemoryPlan& plan, int64_t context) {
  const int64_t fitting = fitting_context(model, plan);
  const std::string advice =
      fitting > 0 ? fmt::format("ask for a context of at most {} tokens{}", fitting,
                                plan.sessions_max > 1 ? " or fewer sessions" : "")
                  : fmt::format("free memory, {}or use a model with smaller weights (a quantised kind){}",
                                plan.cache_tokens > 0   ? "ask for a smaller cache "
                                : plan.sessions_max > 1 ? "ask for fewer sessions "
                                                        : "",
                                model.planner->info().name == "cpu" ? "" : ", or chip cpu");
  const std::string chip = model.planner->info().name;
  if (plan.needed_bytes() <= plan.available_bytes) {
    return Error{
        Code::kResourceExhausted,
        fmt::format("planning memory: of a cache of {} pages of {} tokens a layer has more than chip {} gives in "
                    "one piece, which holds {} pages; {}",
                    plan.n_pages, contract::kCachePage, chip, pages_in_one_piece(model), advice)};
  }
  return Error{Code::kResourceExhausted,
               fmt::format("planning memory: {} for weights, {} for a cache of {} tokens, {} for work and {} in "
                           "reserve make {}, but {} are available on chip {}; {}",
                           format_bytes(plan.weight_bytes), format_bytes(plan.cache_bytes),
                           plan.cache_tokens > 0 ? fmt::format("{}", std::max(plan.cache_tokens, context))
                                                 : fmt::format("{} x {}", plan.sessions_max, context),
                           format_bytes(plan.workspace_bytes), format_bytes(plan.reserve_bytes),
                           format_bytes(plan.needed_bytes()), format_bytes(plan.available_bytes), chip, advice)};
}

}  // namespace

Result<MemoryPlan> plan_memory(const models::ModelPlan& model, const MemoryOptions& options) {
  NARU_TRY(check_options(model, options));
  MemoryPlan plan;
  plan.sessions_max = options.sessions_max;
  plan.cache_tokens = options.cache_tokens;
  plan.prefill_chunk = options.prefill_chunk;
  const int64_t small = kLogitBytes / (model.shape->vocab * int64_t{sizeof(float)});
  plan.logit_rows = std::min(options.prefill_chunk, std::max(kLogitRows, std::min(options.sessions_max, small)));
  const contract::ChipMemory memory = model.planner->memory();
  plan.available_bytes = options.memory_bytes.value_or(memory.free);
  plan.weight_bytes = model.weight_bytes;
  NARU_ASSIGN(plan.arena_bytes, model.workspace_bytes(plan.prefill_chunk, plan.logit_rows));
  NARU_TRY(model.planner->allocate(plan.arena_bytes));
  plan.workspace_bytes = plan.arena_bytes + model.planner->memory().scratch;
  // Logits are read on the host.
  if (memory.is_host) plan.workspace_bytes += plan.logit_rows * model.shape->vocab * int64_t{sizeof(float)};
  plan.reserve_bytes = kReserveMin + (plan.weight_bytes + plan.workspace_bytes) / 64;

  const int64_t limit = model.config.max_positions > 0 ? model.config.max_positions : kContextDefaultMax;
  const bool is_default = options.context_tokens == 0;
  const int64_t wanted = is_default ? std::min(limit, kContextDefaultMax) : options.context_tokens;
  if (!set_context(model, wanted, plan)) {
    return Error{Code::kResourceExhausted,
                 fmt::format("planning memory: a cache of {} x {} tokens is beyond all bounds; ask for less",
                             plan.sessions_max, wanted)};
  }
  if (fits(model, plan)) return plan;
  const int64_t fitting = fitting_context(model, plan);
  if (!is_default || fitting == 0) return too_big(model, plan, wanted);
  const std::string bound = plan.needed_bytes() <= plan.available_bytes
                                ? fmt::format("one piece of the memory of chip {}", model.planner->info().name)
                                : fmt::format("the {} available", format_bytes(plan.available_bytes));
  NARU_CHECK(fitting < wanted && set_context(model, fitting, plan), fitting, wanted);
  plan.is_context_reduced = true;
  plan.note = fmt::format("the context is {} tokens instead of {}: more does not fit {}", fitting, wanted, bound);
  return plan;
}

}  // namespace naru::engine
