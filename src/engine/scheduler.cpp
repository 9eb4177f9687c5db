#include "engine/scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <new>

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
      prompt_rows_beside_(options.prompt_rows_beside),
      drafts_(options.drafts),
      drafts_max_(options.drafts_max) {}

Scheduler::~Scheduler() = default;

Result<RequestId> Scheduler::submit(Request request, int64_t n_answers) {
  NARU_TRY(check(request, n_answers));
  const RequestId first = next_id_;
  try {
    queue_answers(request, n_answers);
  } catch (const std::bad_alloc&) {  // all or none: nobody knows the ids of those that wait already
    while (waiting_.take_if([first](const std::unique_ptr<Entry>& entry) { return entry->id >= first; })) {
    }
    throw;
  }
  return first;
}

void Scheduler::queue_answers(const Request& request, int64_t n_answers) {
  const auto n_prompt = static_cast<int64_t>(request.ids.size());
  const auto prompt = n_answers > 1 ? std::make_shared<Prompt>() : nullptr;
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
    waiting_.push(request.user, request.priority, std::move(entry));
  }
}

void Scheduler::abort(RequestId id, FinishReason reason) {
  const auto has_id = [id](const std::unique_ptr<Entry>& entry) { return entry->id == id; };
  if (const auto it = std::find_if(running_.begin(), running_.end(), has_id); it != running_.end()) {
    finish(**it, reason);
    running_.erase(it);
  } else if (const auto at = std::find_if(preempted_.begin(), preempted_.end(), has_id); at != preempted_.end()) {
    finish(**at, reason);
    preempted_.erase(at);
  } else if (const auto entry = waiting_.take_if(has_id)) {
    finish(**entry, reason);
  }
}

bool Scheduler::is_idle() const {
  return running_.empty() && n_waiting() == 0 && events_.empty();
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
  if (running_.empty() && preempted_.empty()) waiting_.rest();
  return std::exchange(events_, {});
}

void Scheduler::admit() {
  int64_t n_reserved = 0;  // pages that running requests will need for what they have, and one each to grow
  for (const auto& entry : running_) n_reserved += engine_.pages_needed(*entry->session, entry->n_missing()) + 1;
  while (n_waiting() > 0) {
    const bool is_turn = is_first_of_its_user();
    if (n_running() >= running_max_) {
      if (!is_turn) return;
      const size_t place = place_to_give();
      n_reserved -= engine_.pages_needed(*running_[place]->session, running_[place]->n_missing()) + 1;
      preempt(place);
    }
    const bool goes_on = !preempted_.empty() && !is_turn;
    Entry& entry = goes_on ? *preempted_.front() : *waiting_.next();
    if (!try_begin(entry, n_reserved)) return;
    if (goes_on) {
      running_.push_back(std::move(preempted_.front()));
      preempted_.pop_front();
    } else {
      // The prompt of several answers is computed by the first of them.
      const bool is_computed =
          entry.prompt != nullptr &&
          std::any_of(running_.begin(), running_.end(), [&](auto& each) { return each->prompt == entry.prompt; });
      running_.push_back(waiting_.pop());
      waiting_.charge(entry.request.user, is_computed ? 1 : std::max<int64_t>(1, entry.n_missing()));
    }
    if (entry.has_prompt()) begin(entry);
    if (entry.is_finished) running_.pop_back();
  }
}

bool Scheduler::try_begin(Entry& entry, int64_t& n_reserved) {
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
    return false;
  }
  n_reserved += n_needed;
  return true;
}

bool Scheduler::is_first_of_its_user() const {
  if (waiting_.empty()) return false;
  const auto n_of = [this](UserId user) {
    return std::count_if(running_.begin(), running_.end(),
                         [user](const std::unique_ptr<Entry>& entry) { return entry->request.user == user; });
  };
  if (n_of(waiting_.next_user()) > 0) return false;
  for (const auto& entry : preempted_) {
    if (n_of(entry->request.user) == 0) return false;
  }
  return n_running() < running_max_ || n_of(running_[place_to_give()]->request.user) > 1;
}

size_t Scheduler::place_to_give() const {
  std::map<UserId, int64_t> n_of;
  for (const auto& entry : running_) ++n_of[entry->request.user];
  size_t best = running_.size() - 1;
  for (size_t i = running_.size(); i-- > 0;) {
    if (n_of[running_[i]->request.user] > n_of[running_[best]->request.user]) best = i;
  }
  return best;
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
    preempt(running_.size() - 1);
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

// The oldest prompt gets half of the rows, the others what is left, the shortest first: a long one holds up no short
// one, and no number of short ones a long one.
std::vector<int64_t> Scheduler::share_rows(int64_t n_rows) {
  std::vector<int64_t> rows(running_.size());
  std::vector<size_t> order;           // of those that have a prompt to compute
  std::vector<const Prompt*> prompts;  // of those, the ones that other answers wait for
  for (size_t i = 0; i < running_.size(); ++i) {
    Entry& entry = *running_[i];
    if (entry.is_decoding()) continue;
    if (entry.prompt != nullptr) {
      if (std::find(prompts.begin(), prompts.end(), entry.prompt.get()) != prompts.end()) continue;
      prompts.push_back(entry.prompt.get());
    }
    entry.adopt_prefix();
    order.push_back(i);
  }
  if (order.empty()) return rows;
  const size_t oldest = order.front();
  std::stable_sort(order.begin() + 1, order.end(),
                   [this](size_t a, size_t b) { return running_[a]->n_missing() < running_[b]->n_missing(); });
  for (const size_t i : order) {
    const Entry& entry = *running_[i];
    const bool is_deferred = std::any_of(order.begin(), order.end(), [&](size_t other) {
      return rows[other] > 0 && is_computed_by(entry, *running_[other], rows[other]);
    });
    if (is_deferred && engine_.shares_prefixes()) continue;
    const int64_t n_max = i == oldest && order.size() > 1 ? std::max(contract::kCachePage, n_rows / 2) : n_rows;
    rows[i] = std::min({entry.n_missing(), n_rows, n_max});
    n_rows -= rows[i];
  }
  rows[oldest] += std::min(running_[oldest]->n_missing() - rows[oldest], n_rows);
  return rows;
}

std::vector<Feed> Scheduler::try_feeds() {
  std::vector<Feed> feeds;
  int64_t n_decoding = 0;
  for (const auto& entry : running_) n_decoding += entry->is_decoding() ? 1 + entry->n_guesses() : 0;
  int64_t prompt_rows = engine_.memory().prefill_chunk - n_decoding;
  if (n_decoding > 0 && prompt_rows_beside_ > 0) prompt_rows = std::min(prompt_rows, prompt_rows_beside_);
  const std::vector<int64_t> rows = share_rows(std::max<int64_t>(1, prompt_rows));
  for (size_t i = 0; i < running_.size(); ++i) {
    const auto& entry = running_[i];
    if (entry->n_guesses() > 0) {
      feeds.push_back({.session = entry->session.get(),
                       .ids = entry->with_guesses,
                       .logit_rows = 1 + entry->n_guesses(),
                       .guesses = entry->n_guesses()});
      continue;
    }
    const int64_t n = entry->is_decoding() ? 1 : rows[i];
    if (n == 0) continue;
    const std::span<const int32_t> ids(entry->ids);
    feeds.push_back({.session = entry->session.get(),
                     .ids = ids.subspan(static_cast<size_t>(entry->session->length()), static_cast<size_t>(n)),
                     .logit_rows = n == entry->n_missing() ? 1 : 0});
  }
  return feeds;
}

void Scheduler::preempt(size_t place) {
  std::unique_ptr<Entry> entry = std::move(running_[place]);
  running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(place));
  entry->session.reset();
  entry->with_guesses.clear();
  entry->was_preempted = true;
  ++n_preemptions_;
  preempted_.push_front(std::move(entry));
}

bool Scheduler::forget_prompts() {
  bool has_forgotten = false;
  const auto forget = [&](const std::unique_ptr<Entry>& entry) {
    if (!entry->has_prompt()) return;
    entry->prompt->end.reset();
    has_forgotten = true;
  };
  for (const auto& entry : preempted_) forget(entry);
  waiting_.for_each(forget);
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
    const bool is_over =
        !allowed.empty() && std::all_of(allowed.begin(), allowed.end(), [](uint64_t bits) { return bits == 0; });
    if (is_over && entry.constraint->is_complete()) return finish(entry, FinishReason::kStop);
    if (is_over) {
      return finish(entry, FinishReason::kError,
                    Error{Code::kUnsupported,
                          fmt::format("constraining an answer: behind its {} tokens no token of the vocabulary goes on "
                                      "with the form that was asked for, and it is not complete; ask for another form, "
                                      "or for characters that the model's tokens can spell",
                                      entry.usage.completion_tokens)});
    }
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
  waiting_.charge(request.user, 1);
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
