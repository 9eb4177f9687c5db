// Scheduler: many requests on one engine. Each step() decodes every running request in one batch, together with a part
// of the prompts that wait, and returns what happened. Admission, order, load, preemption and the prefix cache change
// when a request's tokens come, never which.
//
// When pages run out, the newest request gives up its pages and waits; its tokens are computed again later (same bits).
// abort() frees everything a request holds before it returns. All calls from the engine's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/engine.h"
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
  uint64_t cache_scope = 0;
};

enum class FinishReason : uint8_t { kStop, kLength, kAborted, kError };
std::string_view finish_reason_name(FinishReason reason);

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt, found in the prefix cache
  int64_t completion_tokens = 0;
};

struct Event {
  enum class Kind : uint8_t {
    kPrefill,   // prompt_done of usage.prompt_tokens are in the cache
    kToken,     // id, and logprob and top where asked for
    kFinished,  // reason, and the error where that is kError; the last event of a request
  };
  Kind kind = Kind::kToken;
  RequestId request = 0;
  int64_t prompt_done = 0;
  int32_t id = 0;
  bool is_stop_token = false;  // ends the answer and is no part of its text
  float logprob = 0;
  std::vector<TokenLogProb> top;
  FinishReason reason = FinishReason::kStop;
  std::optional<Error> error;
  Usage usage;
};

struct SchedulerOptions {
  int64_t running_max = 0;     // requests decoded at once; 0: the engine's sessions_max
  int64_t waiting_max = 4096;  // submit() beyond that is kResourceExhausted
};

class Scheduler {
 public:
  explicit Scheduler(Engine& engine, const SchedulerOptions& options = {});
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Checks the request and queues it. Ids rise in order of submission.
  Result<RequestId> submit(Request request);
  // Ends a request now: its pages are free when this returns, and a kFinished event with `reason` comes with the next
  // step() (kStop: the caller saw a stop string). Unknown or finished ids do nothing.
  void abort(RequestId id, FinishReason reason = FinishReason::kAborted);

  // One batch, and what happened since the last one. Empty when idle.
  std::vector<Event> step();
  bool is_idle() const;
  int64_t n_running() const { return static_cast<int64_t>(running_.size()); }
  int64_t n_waiting() const { return static_cast<int64_t>(waiting_.size()); }
  int64_t n_preemptions() const { return n_preemptions_; }

 private:
  struct Entry;

  // Starts waiting requests as long as their pages are there.
  void admit();
  // What each running request feeds now; the newest are preempted until the pages suffice.
  std::vector<Feed> plan_feeds();
  std::vector<Feed> try_feeds();
  static bool is_computed_by(const Entry& entry, const Entry& other, int64_t n_other);
  void preempt_newest();
  void take_result(Entry& entry, const FeedOutput& output);
  void take_token(Entry& entry, std::span<const float> logits);
  void finish(Entry& entry, FinishReason reason, std::optional<Error> error = std::nullopt);

  Engine& engine_;
  int64_t running_max_;
  int64_t waiting_max_;
  RequestId next_id_ = 1;
  int64_t n_preemptions_ = 0;
  Sampler sampler_;
  std::deque<std::unique_ptr<Entry>> waiting_;   // by id, all above the running ones
  std::vector<std::unique_ptr<Entry>> running_;  // by id
  std::vector<Event> events_;
};

}  // namespace naru::engine
