// Scheduler: many requests on one engine. Each step() decodes every running request in one batch, together with a part
// of the prompts that wait, and returns what happened. Admission, order, load, preemption and the prefix cache change
// when a request's tokens come, never which.
//
// Those that wait begin by turns of their users (FairQueue), counted in tokens computed. Where all places are taken and
// it is the turn of a user who has none, the newest request of the user who has most gives up its own, so that nobody
// waits for the end of others' answers.
//
// When pages run out, the newest request gives up its pages and waits; its tokens are computed again later (same bits).
// abort() frees everything a request holds before it returns. All calls from the engine's thread.
//
// Several answers to one prompt are submitted together: the first that runs computes it, and the others begin from its
// end, where it lies within a page too (which is copied), with no row of theirs computed. One that cannot run yet finds
// the prompt still there, unless pages ran out: then it is computed again.
//
// With a source of drafts (draft_source.h) a decoding request feeds its token and guesses of the next ones. Each row of
// logits is sampled with the request's own random numbers, the next row is used where the guess was the token sampled,
// and what is left is taken back: tokens and log-probabilities are those without drafts, several a step. A guess takes
// no page from a request, and one that cannot be run is forgotten.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/draft_source.h"
#include "engine/engine.h"
#include "engine/fair_queue.h"
#include "engine/request.h"

namespace naru::engine {

enum class FinishReason : uint8_t { kStop, kLength, kAborted, kError };
std::string_view finish_reason_name(FinishReason reason);

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt, found in the prefix cache or computed by another answer to it
  int64_t completion_tokens = 0;
  int64_t drafted_tokens = 0;   // guesses that were fed
  int64_t accepted_tokens = 0;  // of those, the ones that became part of the answer
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
  std::vector<int32_t> kept;  // of Request::wants_drawn, where truncation is on: ascending
  FinishReason reason = FinishReason::kStop;
  std::optional<Error> error;
  Usage usage;
};

struct SchedulerOptions {
  int64_t running_max = 0;     // requests decoded at once; 0: the engine's sessions_max
  int64_t waiting_max = 4096;  // submit() beyond that is kResourceExhausted
  // Rows of prompts in a step that also gives answers their next tokens, so that those wait less; 0: as many as a step
  // has.
  int64_t prompt_rows_beside = 0;
  DraftSource* drafts = nullptr;  // must outlive the scheduler; null: one token a step
  int64_t drafts_max = 4;         // guesses of one request in one step
};

class Scheduler {
 public:
  explicit Scheduler(Engine& engine, const SchedulerOptions& options = {});
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Checks the request and queues `n_answers` of it, all or none. Answer k has the id that is returned plus k, and the
  // random numbers of request.sample + k (modulo 2^32). Ids rise in order of submission.
  Result<RequestId> submit(Request request, int64_t n_answers = 1);
  // Ends a request now: its pages are free when this returns, and a kFinished event with `reason` comes with the next
  // step() (kStop: the caller saw a stop string). Unknown or finished ids do nothing.
  void abort(RequestId id, FinishReason reason = FinishReason::kAborted);

  // One batch, and what happened since the last one. Empty when idle.
  std::vector<Event> step();
  bool is_idle() const;
  int64_t n_running() const { return static_cast<int64_t>(running_.size()); }
  int64_t n_waiting() const { return waiting_.size() + static_cast<int64_t>(preempted_.size()); }
  int64_t n_preemptions() const { return n_preemptions_; }
  int64_t n_drafted() const { return n_drafted_; }    // guesses fed, of all requests
  int64_t n_accepted() const { return n_accepted_; }  // of those, the ones that became tokens

 private:
  struct Prompt;
  struct Entry;

  Status check(const Request& request, int64_t n_answers) const;
  void queue_answers(const Request& request, int64_t n_answers);
  // Starts waiting requests as long as their pages are there.
  void admit();
  // Whether the next one is of a user who has nothing running, while another has more than one.
  bool is_first_of_its_user() const;
  // The place in running_ that the user who has most gives up for it.
  size_t place_to_give() const;
  // False where its pages are not there.
  bool try_begin(Entry& entry, int64_t& n_reserved);
  // Asks for the guesses of this step.
  void draft();
  // What each running request feeds now. Where pages do not suffice, guesses go first, then the newest requests.
  std::vector<Feed> plan_feeds();
  std::vector<Feed> try_feeds();
  bool have_pages(std::span<const Feed> feeds) const;
  static bool is_computed_by(const Entry& entry, const Entry& other, int64_t n_other);
  // How many tokens of its prompt each running request gets in this step, in their order.
  std::vector<int64_t> share_rows(int64_t n_rows);
  // Its pages are free, and it waits before all others.
  void preempt(size_t place);
  // Gives up the pages of prompts that are held for waiting answers. False where there are none.
  bool forget_prompts();
  // The first token of a request whose prompt another answer has computed.
  void begin(Entry& entry);
  void report_prefill(const Entry& entry);
  void take_result(Entry& entry, const Feed& feed, const FeedOutput& output);
  // The tokens that rows of logits give, each behind a guess but the last, and the session behind them.
  void take_rows(Entry& entry, const Logits& logits);
  void take_token(Entry& entry, std::span<const float> logits, const int32_t* guess);
  void finish(Entry& entry, FinishReason reason, std::optional<Error> error = std::nullopt);

  Engine& engine_;
  int64_t running_max_;
  int64_t waiting_max_;
  int64_t prompt_rows_beside_;
  RequestId next_id_ = 1;
  int64_t n_preemptions_ = 0;
  DraftSource* drafts_;
  int64_t drafts_max_;
  int64_t n_drafted_ = 0;
  int64_t n_accepted_ = 0;
  Sampler sampler_;
  FairQueue<std::unique_ptr<Entry>> waiting_;     // have not begun
  std::deque<std::unique_ptr<Entry>> preempted_;  // go on before others begin
  std::vector<std::unique_ptr<Entry>> running_;   // in the order in which they began
  std::vector<Event> events_;
};

}  // namespace naru::engine
