#include "engine/scheduler.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"

namespace naru::engine {

// What the answers to one prompt have in common, until each has begun.
struct Scheduler::Prompt {
  std::optional<Snapshot> end;  // absent until it is computed
  std::vector<float> logits;    // behind its last token
};

// A request from submission to its end. Its session holds the first tokens of `ids`; what is missing there is fed next,
// whether it is a prompt, the token sampled last, or everything again after a preemption.
struct Scheduler::Entry {
  RequestId id = 0;
  Request request;
  std::vector<int32_t> ids;                     // prompt and generated
  TokenHistory history;                         // of the ids, where penalties count them
  std::unique_ptr<ConstraintState> constraint;  // behind the ids; null: none
  bool counts_tokens = false;
  std::unique_ptr<Session> session;  // absent while waiting
  std::shared_ptr<Prompt> prompt;    // of several answers that have not begun; null: nothing to wait for
  int64_t completion_max = 0;
  bool was_preempted = false;
  bool is_finished = false;
  bool distrusts_drafts = false;      // the last guesses could not be run: none in the next step
  std::vector<int32_t> with_guesses;  // the last of `ids` and the guesses behind it; empty: none in this step
  Usage usage;

  int64_t n_missing() const { return static_cast<int64_t>(ids.size()) - session->length(); }
  bool has_prompt() const { return prompt != nullptr && prompt->end.has_value(); }
  bool is_decoding() const { return usage.completion_tokens > 0 && n_missing() == 1; }
  int64_t n_guesses() const { return std::max<int64_t>(0, static_cast<int64_t>(with_guesses.size()) - 1); }
  void adopt_prefix() {
    const int64_t gained = session->adopt_prefix(ids);
    if (usage.completion_tokens == 0 && !was_preempted) usage.cached_tokens += gained;
  }
};

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kAborted: return "aborted";
    case FinishReason::kError: return "error";
  }
  return "";
}

Scheduler::Scheduler(Engine& engine, const SchedulerOptions& options)
    : engine_(engine),
      running_max_(options.running_max > 0 ? options.running_max : engine.memory().sessions_max),
      waiting_max_(options.waiting_max),
      drafts_(options.drafts),
      drafts_max_(options.drafts_max) {}

Scheduler::~Scheduler() = default;

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

Result<RequestId> Scheduler::submit(Request request, int64_t n_answers) {
  NARU_TRY(check(request, n_answers));
  const auto n_prompt = static_cast<int64_t>(request.ids.size());
  const auto prompt = n_answers > 1 ? std::make_shared<Prompt>() : nullptr;
  const RequestId first = next_id_;
  for (int64_t k = 0; k < n_answers; ++k) {
    auto entry = std::make_unique<Entry>();
    entry->id = next_id_++;
    entry->ids = request.ids;
    entry->counts_tokens = reads_history(request.sampling);
    if (entry->counts_tokens) entry->history.add_prompt(request.ids);
    entry->completion_max = engine_.context_tokens() - n_prompt;
    if (request.max_tokens > 0) entry->completion_max = std::min(entry->completion_max, request.max_tokens);
    entry->usage.prompt_tokens = n_prompt;
    entry->prompt = prompt;
    entry->request = request;
    entry->request.sample += static_cast<uint32_t>(k);
    if (request.constraint != nullptr) entry->constraint = request.constraint->begin();
    waiting_.push_back(std::move(entry));
  }
  return first;
}

void Scheduler::abort(RequestId id, FinishReason reason) {
  const auto has_id = [id](const std::unique_ptr<Entry>& entry) { return entry->id == id; };
  if (const auto it = std::find_if(running_.begin(), running_.end(), has_id); it != running_.end()) {
    finish(**it, reason);
    running_.erase(it);
  } else if (const auto at = std::find_if(waiting_.begin(), waiting_.end(), has_id); at != waiting_.end()) {
    finish(**at, reason);
    waiting_.erase(at);
  }
}

bool Scheduler::is_idle() const {
  return running_.empty() && waiting_.empty() && events_.empty();
}

std::vector<Event> Scheduler::step() {
  admit();
  draft();
  const std::vector<Feed> feeds = plan_feeds();
  events_.reserve(events_.size() + running_.size());
  const std::vector<FeedOutput> outputs = engine_.step(feeds);
  size_t i = 0;  // feeds are in the order of the requests
  for (const auto& entry : running_) {
    if (i == feeds.size() || entry->session.get() != feeds[i].session) continue;
    take_result(*entry, feeds[i], outputs[i]);
    ++i;
  }
  NARU_CHECK(i == feeds.size(), i, feeds.size());
  for (const auto& entry : running_) {
    if (entry->has_prompt()) begin(*entry);
  }
  std::erase_if(running_, [](const std::unique_ptr<Entry>& entry) { return entry->is_finished; });
  return std::exchange(events_, {});
}

void Scheduler::admit() {
  int64_t n_reserved = 0;  // pages that running requests will need for what they have, and one each to grow
  for (const auto& entry : running_) n_reserved += engine_.pages_needed(*entry->session, entry->n_missing()) + 1;
  while (!waiting_.empty() && n_running() < running_max_) {
    Entry& entry = *waiting_.front();
    entry.session = engine_.new_session(entry.request.cache_scope);
    if (entry.has_prompt()) {
      entry.session->restore(*entry.prompt->end);
    } else {
      entry.adopt_prefix();
    }
    const int64_t n_needed = engine_.pages_needed(*entry.session, std::max<int64_t>(1, entry.n_missing())) + 1;
    if (!running_.empty() && n_reserved + n_needed > engine_.stats().n_pages_available()) {
      entry.session.reset();
      if (!entry.was_preempted) entry.usage.cached_tokens = 0;
      return;
    }
    n_reserved += n_needed;
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    if (entry.has_prompt()) begin(entry);
    if (entry.is_finished) running_.pop_back();
  }
}

void Scheduler::draft() {
  if (drafts_ == nullptr) return;
  // Half of what decoding leaves of a pass is for prompts; and each guess takes a row of logits.
  int64_t n_decoding = 0;
  for (const auto& entry : running_) n_decoding += entry->is_decoding() ? 1 : 0;
  int64_t rows_left = std::min((engine_.memory().prefill_chunk - n_decoding) / 2,
                               std::max<int64_t>(engine_.memory().logit_rows - n_decoding, 0));
  for (const auto& entry : running_) {
    entry->with_guesses.clear();
    if (std::exchange(entry->distrusts_drafts, false) || !entry->is_decoding()) continue;
    // The token that follows the last guess is an answer's token too.
    const int64_t n_max =
        std::min({drafts_max_, rows_left, entry->completion_max - entry->usage.completion_tokens - 1});
    if (n_max <= 0) continue;
    std::vector<int32_t> guesses = drafts_->draft(entry->id, entry->request, entry->ids, n_max);
    const auto is_foreign = [&](int32_t id) { return id < 0 || id >= engine_.vocab(); };
    guesses.erase(std::find_if(guesses.begin(), guesses.end(), is_foreign), guesses.end());
    guesses.resize(std::min(guesses.size(), static_cast<size_t>(n_max)));
    if (guesses.empty()) continue;
    entry->with_guesses.push_back(entry->ids.back());
    entry->with_guesses.insert(entry->with_guesses.end(), guesses.begin(), guesses.end());
    rows_left -= entry->n_guesses();
  }
}

bool Scheduler::have_pages(std::span<const Feed> feeds) const {
  int64_t n_needed = 0;
  for (const Feed& feed : feeds) {
    n_needed += engine_.pages_needed(*feed.session, static_cast<int64_t>(feed.ids.size()));
  }
  return n_needed <= engine_.stats().n_pages_available();
}

std::vector<Feed> Scheduler::plan_feeds() {
  std::vector<Feed> feeds = try_feeds();
  if (have_pages(feeds)) return feeds;
  for (const auto& entry : running_) entry->with_guesses.clear();
  for (;;) {
    feeds = try_feeds();
    if (have_pages(feeds)) return feeds;
    if (forget_prompts()) continue;
    if (running_.size() <= 1) return feeds;
    preempt_newest();
  }
}

// True where another request fills the entry's next page in this step: the entry can have it in the next one.
bool Scheduler::is_computed_by(const Entry& entry, const Entry& other, int64_t n_other) {
  const int64_t end = entry.session->length() + contract::kCachePage;
  if (entry.session->length() % contract::kCachePage != 0 || end >= static_cast<int64_t>(entry.ids.size()))
    return false;
  return entry.request.cache_scope == other.request.cache_scope && other.session->length() + n_other >= end &&
         std::equal(entry.ids.begin(), entry.ids.begin() + end, other.ids.begin());
}

std::vector<Feed> Scheduler::try_feeds() {
  std::vector<Feed> feeds;
  std::vector<std::pair<const Entry*, int64_t>> fed;  // prompts of this step, and how many of their tokens
  std::vector<const Prompt*> shared;                  // of those, the ones that other answers wait for
  int64_t n_decoding = 0;
  for (const auto& entry : running_) n_decoding += entry->is_decoding() ? 1 + entry->n_guesses() : 0;
  int64_t rows_left = std::max<int64_t>(1, engine_.memory().prefill_chunk - n_decoding);
  for (const auto& entry : running_) {
    if (entry->n_guesses() > 0) {
      feeds.push_back({.session = entry->session.get(),
                       .ids = entry->with_guesses,
                       .logit_rows = 1 + entry->n_guesses(),
                       .guesses = entry->n_guesses()});
      continue;
    }
    int64_t n = 1;
    if (!entry->is_decoding()) {
      if (rows_left == 0) continue;
      if (entry->prompt != nullptr) {
        if (std::find(shared.begin(), shared.end(), entry->prompt.get()) != shared.end()) continue;
        shared.push_back(entry->prompt.get());
      }
      entry->adopt_prefix();
      const bool is_deferred = std::any_of(fed.begin(), fed.end(), [&](const auto& other) {
        return is_computed_by(*entry, *other.first, other.second);
      });
      if (is_deferred && engine_.shares_prefixes()) continue;
      n = std::min(entry->n_missing(), rows_left);
      fed.emplace_back(entry.get(), n);
      rows_left -= n;
    }
    const std::span<const int32_t> ids(entry->ids);
    feeds.push_back({.session = entry->session.get(),
                     .ids = ids.subspan(static_cast<size_t>(entry->session->length()), static_cast<size_t>(n)),
                     .logit_rows = n == entry->n_missing() ? 1 : 0});
  }
  return feeds;
}

void Scheduler::preempt_newest() {
  std::unique_ptr<Entry> entry = std::move(running_.back());
  running_.pop_back();
  entry->session.reset();
  entry->with_guesses.clear();
  entry->was_preempted = true;
  ++n_preemptions_;
  waiting_.push_front(std::move(entry));
}

bool Scheduler::forget_prompts() {
  bool has_forgotten = false;
  for (const auto& entry : waiting_) {
    if (!entry->has_prompt()) continue;
    entry->prompt->end.reset();
    has_forgotten = true;
  }
  return has_forgotten;
}

void Scheduler::begin(Entry& entry) {
  const std::shared_ptr<Prompt> prompt = std::exchange(entry.prompt, nullptr);
  entry.session->restore(*prompt->end);
  entry.usage.cached_tokens = entry.usage.prompt_tokens;
  report_prefill(entry);
  take_token(entry, prompt->logits, nullptr);
}

void Scheduler::report_prefill(const Entry& entry) {
  Event event;
  event.kind = Event::Kind::kPrefill;
  event.request = entry.id;
  event.prompt_done = entry.session->length();
  event.usage = entry.usage;
  events_.push_back(std::move(event));
}

void Scheduler::take_result(Entry& entry, const Feed& feed, const FeedOutput& output) {
  if (!output.status.ok() && feed.guesses > 0) {  // its own token may be none the worse
    entry.distrusts_drafts = true;
    return;
  }
  if (!output.status.ok()) {
    finish(entry, FinishReason::kError, output.status.error());
    return;
  }
  if (entry.usage.completion_tokens == 0) report_prefill(entry);
  if (output.logits.rows == 0) return;
  if (const std::shared_ptr<Prompt> prompt = std::exchange(entry.prompt, nullptr); prompt.use_count() > 1) {
    const std::span<const float> logits = output.logits.row(0);
    prompt->logits.assign(logits.begin(), logits.end());
    prompt->end = entry.session->snapshot();
  }
  take_rows(entry, output.logits);
}

void Scheduler::take_rows(Entry& entry, const Logits& logits) {
  const int64_t n_guesses = logits.rows - 1;
  n_drafted_ += n_guesses;
  entry.usage.drafted_tokens += n_guesses;
  for (int64_t i = 0; i <= n_guesses; ++i) {
    const bool is_guessed = i < n_guesses;
    take_token(entry, logits.row(i), is_guessed ? &entry.with_guesses[static_cast<size_t>(i + 1)] : nullptr);
    if (entry.is_finished) return;
    if (is_guessed && entry.ids.back() != entry.with_guesses[static_cast<size_t>(i + 1)]) break;
  }
  if (n_guesses > 0) entry.session->settle(static_cast<int64_t>(entry.ids.size()) - 1);
}

void Scheduler::take_token(Entry& entry, std::span<const float> logits, const int32_t* guess) {
  const Request& request = entry.request;
  std::span<const uint64_t> allowed;
  if (entry.constraint != nullptr) {
    allowed = entry.constraint->allowed();
    const bool is_over = std::all_of(allowed.begin(), allowed.end(), [](uint64_t bits) { return bits == 0; });
    if (is_over) return finish(entry, FinishReason::kStop);
  }
  float logprob = 0;
  const Result<int32_t> sampled = sampler_.sample(logits, request.sampling, entry.history, request.sample,
                                                  entry.ids.size(), request.top_logprobs ? &logprob : nullptr, allowed);
  if (!sampled.ok()) {
    finish(entry, FinishReason::kError, sampled.error());
    return;
  }
  const int32_t id = *sampled;
  entry.ids.push_back(id);
  if (entry.counts_tokens) entry.history.add_generated(id);
  if (entry.constraint != nullptr) entry.constraint->accept(id);
  ++entry.usage.completion_tokens;
  if (guess != nullptr && *guess == id) {
    ++n_accepted_;
    ++entry.usage.accepted_tokens;
  }
  Event event;
  event.kind = Event::Kind::kToken;
  event.request = entry.id;
  event.id = id;
  event.usage = entry.usage;
  event.logprob = logprob;
  if (request.top_logprobs.value_or(0) > 0) event.top = LogProbs(logits).top(*request.top_logprobs);
  if (request.wants_drawn) {
    event.logprob = sampler_.log_prob();
    if (truncates(request.sampling, std::ssize(logits))) event.kept = sampler_.kept();
  }
  const auto& eos = engine_.eos_ids();
  event.is_stop_token = std::find(request.stop_ids.begin(), request.stop_ids.end(), id) != request.stop_ids.end() ||
                        (!request.ignore_eos && std::binary_search(eos.begin(), eos.end(), id));
  const bool is_stop = event.is_stop_token;
  events_.push_back(std::move(event));
  if (is_stop) {
    finish(entry, FinishReason::kStop);
  } else if (entry.usage.completion_tokens >= entry.completion_max) {
    finish(entry, FinishReason::kLength);
  }
}

void Scheduler::finish(Entry& entry, FinishReason reason, std::optional<Error> error) {
  entry.session.reset();
  entry.is_finished = true;
  if (drafts_ != nullptr) drafts_->forget(entry.id);
  Event event;
  event.kind = Event::Kind::kFinished;
  event.request = entry.id;
  event.reason = reason;
  event.error = std::move(error);
  event.usage = entry.usage;
  events_.push_back(std::move(event));
}

}  // namespace naru::engine
