#include "server/running_answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <new>
#include <utility>

#include "server/call_id.h"
#include "server/limits.h"

namespace naru::server {
namespace {

// As a client sends it back.
text::Value call_value(const ToolCallPiece& call) {
  const text::Value function(text::Value::Object{{"name", call.name}, {"arguments", call.arguments}});
  return text::Value::Object{{"id", call.id}, {"type", "function"}, {"function", function}};
}

}  // namespace

RunningAnswers::RunningAnswers(engine::Engine& engine, const Options& options)
    : engine_(engine),
      options_(options),
      // Each choice waits until the next step, also one that runs at once.
      scheduler_(engine, {.running_max = options.parallel,
                          .waiting_max = options.parallel + options.queue,
                          .prompt_rows_beside = kPromptRowsBeside}),
      meter_(options.metrics, engine.stats().n_evictions) {
  meter_.look(engine_, scheduler_);
}

AnswerEvent& RunningAnswers::tell(AnswerId answer, AnswerEvent::Kind kind, int64_t choice) {
  AnswerEvent event;
  event.kind = kind;
  event.choice = choice;
  events_.push_back({answer, std::move(event)});
  return events_.back().event;
}

void RunningAnswers::fail(AnswerId answer, Refusal refusal) {
  cancel(answer);
  tell(answer, AnswerEvent::Kind::kError).error = std::move(refusal);
}

bool RunningAnswers::has_room_for(const PreparedAnswer& prepared, engine::UserId user) const {
  const bool is_shared = options_.is_shared != nullptr && *options_.is_shared;
  int64_t own = 0;
  for (const auto& [id, running] : answers_) {
    if (is_shared && running.user == user) own += static_cast<int64_t>(running.requests.size());
  }
  return has_room(own, static_cast<int64_t>(choices_.size()), prepared.n_choices(), options_.parallel, options_.queue,
                  is_shared);
}

void RunningAnswers::start(AnswerId answer, PreparedAnswer prepared, const Asker& asker) {
  const engine::UserId user = asker.account ? asker.account->user : 0;
  const auto n_asked = prepared.n_choices();
  if (n_asked > options_.parallel + options_.queue) {
    return fail(answer, {400,
                         fmt::format("the request asks for {} answers at once and the server has room for {} in all; "
                                     "ask for fewer",
                                     n_asked, options_.parallel + options_.queue),
                         "n", "", 0});
  }
  if (!has_room_for(prepared, user)) {
    return fail(answer, {429,
                         fmt::format("the queue has no room for {} answers more: {} requests are being answered or "
                                     "wait; try again later, or ask for fewer at once",
                                     n_asked, n_answers()),
                         "", std::string(kQueueFull), 1});
  }
  Running& running = answers_[answer];
  running.user = user;
  running.requests.reserve(static_cast<size_t>(n_asked));
  running.usage.replayed_tokens = prepared.replayed_tokens;
  for (int64_t first = 0; first < n_asked; first += prepared.choices_per_prompt) {
    engine::Request request = std::move(prepared.prompts[static_cast<size_t>(first / prepared.choices_per_prompt)]);
    request.user = user;
    const bool wants_tokens = request.top_logprobs.has_value();
    auto followers = engine::AnswerFollower::submit(scheduler_, *engine_.tokenizer(), std::move(request), prepared.text,
                                                    prepared.choices_per_prompt);
    if (!followers.ok()) {
      Refusal refusal = refusal_of(followers.error());
      if (followers.error().code == Code::kResourceExhausted) refusal.status = 429;
      return fail(answer, std::move(refusal));
    }
    for (const engine::AnswerFollower& each : *followers) running.requests.push_back(each.request());
    int64_t index = first;
    for (engine::AnswerFollower& each : *followers) {
      const engine::RequestId id = each.request();
      choices_.emplace(id, Choice{.follower = std::move(each),
                                  .answer = answer,
                                  .index = index,
                                  .edges = ReasoningEdges(prepared.goes_on),
                                  .wants_tokens = wants_tokens,
                                  .counts_prompt = index == first,
                                  .turn = prepared.turn,
                                  .submitted = Clock::now()});
      ChoiceMeter& meter = choices_.at(id).meter;
      meter.asker = asker;
      meter.counts_prompt = index == first;
      ++index;
    }
  }
  tell(answer, AnswerEvent::Kind::kBegin);
}

void RunningAnswers::cancel(AnswerId answer) {
  const auto at = answers_.find(answer);
  if (at == answers_.end()) return;
  for (const engine::RequestId id : at->second.requests) {
    scheduler_.abort(id);
    choices_.erase(id);
  }
  answers_.erase(at);
  meter_.look(engine_, scheduler_);
}

void RunningAnswers::step() {
  if (scheduler_.is_idle()) return;
  std::vector<engine::Event> events;
  meter_.before_turn();
  {
    const EngineTurn::Hold turn(options_.turn);
    meter_.before_step();
    step_begin_ = Clock::now();
    events = scheduler_.step();
    meter_.after_step(engine_, scheduler_);
  }
  for (const engine::Event& event : events) take(event);
}

void RunningAnswers::take(const engine::Event& event) {
  const auto at = choices_.find(event.request);
  if (at == choices_.end()) return;  // cancelled
  Choice& choice = at->second;
  if (!choice.queue_seconds) {
    choice.queue_seconds = std::chrono::duration<double>(step_begin_ - choice.submitted).count();
  }
  meter_.take(choice.meter, event);
  switch (event.kind) {
    case engine::Event::Kind::kPrefill: {
      AnswerEvent& told = tell(choice.answer, AnswerEvent::Kind::kPrefill, choice.index);
      told.prompt_done = event.prompt_done;
      told.prompt_tokens = event.usage.prompt_tokens;
      return;
    }
    case engine::Event::Kind::kToken: return take_token(choice, event);
    case engine::Event::Kind::kFinished: return finish(choice, event);
  }
}

AnswerToken RunningAnswers::token_of(const engine::Event& event, bool is_reasoning) const {
  const text::Tokenizer& tokenizer = *engine_.tokenizer();
  AnswerToken token{std::string(tokenizer.piece(event.id)), event.logprob, {}, is_reasoning};
  for (const engine::TokenLogProb& other : event.top) {
    token.top.push_back({std::string(tokenizer.piece(other.id)), other.logprob});
  }
  return token;
}

void RunningAnswers::trim(Choice& choice, engine::TextDelta& delta, bool is_end) {
  choice.edges.trim(delta, {choice.follower.has_reasoned(), choice.follower.is_reasoning(), is_end});
}

void RunningAnswers::put_text(Choice& choice, engine::TextDelta&& delta, AnswerEvent& told) {
  told.reasoning = std::move(delta.reasoning);
  told.content = std::move(delta.content);
  const bool has_reasoning = !trimmed(choice.follower.answer().reasoning).empty();
  for (text::ToolCall& call : delta.calls) {
    told.calls.push_back({call.index, draw_call_id(has_reasoning), std::move(call.name), std::move(call.arguments)});
    ++choice.n_calls;
    if (choice.turn != nullptr) choice.calls.push_back(call_value(told.calls.back()));
  }
}

void RunningAnswers::take_token(Choice& choice, const engine::Event& event) {
  if (choice.is_stopped) return;
  ++choice.completion_tokens;
  const bool was_reasoning = choice.follower.is_reasoning();
  auto delta = choice.follower.take(event);
  NARU_CHECK(delta.ok());  // only the last event of a request can be an error
  choice.is_stopped = delta->is_stopped;
  choice.stop = delta->stop;
  const bool ends_reasoning = was_reasoning && !choice.follower.is_reasoning();
  const bool is_reasoning = was_reasoning || choice.follower.is_reasoning();
  if (is_reasoning) {
    ++choice.reasoning_tokens;
    meter_.count_reasoning();
  }
  trim(choice, *delta, delta->is_stopped);
  const bool has_token = choice.wants_tokens && !event.is_stop_token;
  if (delta->empty() && !has_token && !ends_reasoning) return;
  AnswerEvent& told = tell(choice.answer, AnswerEvent::Kind::kText, choice.index);
  told.ends_reasoning = ends_reasoning;
  put_text(choice, std::move(*delta), told);
  if (has_token) told.tokens.push_back(token_of(event, is_reasoning));
}

void RunningAnswers::add_times(const Choice& choice, AnswerUsage& usage) {
  const engine::Timings& timings = choice.follower.answer().timings;  // the prompt's begins with the queue
  const double queue = choice.queue_seconds.value_or(0);
  usage.queue_seconds = std::max(usage.queue_seconds, queue);
  usage.prefill_seconds = std::max(usage.prefill_seconds, timings.prefill_ms / 1000 - queue);
  usage.decode_seconds = std::max(usage.decode_seconds, timings.decode_ms / 1000);
}

// For the turn that follows it. Without the memory for it that one is rendered as any other.
void RunningAnswers::keep_turn(Choice& choice) const {
  const engine::Answer& answer = choice.follower.answer();
  NARU_CHECK(!answer.ids.empty());
  const std::vector<int32_t>& ends = engine_.eos_ids();
  // One that was cut behind its first call lacks what belongs to the call's end.
  if (!std::binary_search(ends.begin(), ends.end(), answer.ids.back())) return;
  try {
    SampledTurn turn;
    turn.ids.reserve(choice.turn->prompt.size() + answer.ids.size());
    turn.ids = choice.turn->prompt;
    turn.ids.insert(turn.ids.end(), answer.ids.begin(), answer.ids.end());
    turn.before = choice.turn->before;
    turn.reasoning = answer.reasoning;
    const text::Value message(
        text::Value::Object{{"role", "assistant"}, {"content", answer.text}, {"tool_calls", std::move(choice.calls)}});
    turn.said = said_in_turn(message);
    choice.turn->turns->keep(choice.turn->scope, first_call_id(message), std::move(turn));
  } catch (const std::bad_alloc&) {
  }
}

void RunningAnswers::finish(Choice& choice, const engine::Event& event) {
  const AnswerId answer = choice.answer;
  auto delta = choice.follower.take(event);
  if (!delta.ok()) return fail(answer, refusal_of(delta.error()));
  if (choice.stop.empty()) choice.stop = delta->stop;  // it may become whole with the last character
  if (!choice.is_stopped) trim(choice, *delta, true);
  if (!delta->empty() && !choice.is_stopped) {
    AnswerEvent& told = tell(answer, AnswerEvent::Kind::kText, choice.index);
    put_text(choice, std::move(*delta), told);
  }
  AnswerEvent& end = tell(answer, AnswerEvent::Kind::kEnd, choice.index);
  end.stop = choice.stop;
  if (event.reason == engine::FinishReason::kLength && !choice.is_stopped) {
    end.reason = EndReason::kLength;
  } else {
    end.reason = choice.n_calls > 0 && choice.stop.empty() ? EndReason::kToolCalls : EndReason::kStop;
  }
  if (choice.turn != nullptr && end.reason == EndReason::kToolCalls) keep_turn(choice);
  Running& running = answers_.at(answer);
  AnswerUsage& usage = running.usage;
  usage.completion_tokens += choice.completion_tokens;
  usage.reasoning_tokens += choice.reasoning_tokens;
  add_times(choice, usage);
  if (choice.counts_prompt) {
    usage.prompt_tokens += event.usage.prompt_tokens;
    usage.cached_tokens += event.usage.cached_tokens;
  }
  std::erase(running.requests, event.request);
  choices_.erase(event.request);
  if (!running.requests.empty()) return;
  AnswerEvent& done = tell(answer, AnswerEvent::Kind::kDone);
  done.usage = usage;
  done.time = static_cast<int64_t>(std::time(nullptr));
  answers_.erase(answer);
}

}  // namespace naru::server
