// RunningAnswers: the answers that the engine is at, step by step: many choices in one scheduler, each followed to its
// end, told as events. Of the engine's thread; it knows no thread itself.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <vector>

#include "engine/answer.h"
#include "engine/scheduler.h"
#include "server/answer_job.h"
#include "server/engine_turn.h"
#include "server/reasoning_edges.h"
#include "server/step_meter.h"

namespace naru::server {

class RunningAnswers {
 public:
  struct Options {
    int64_t parallel = 4;  // choices computed at once
    int64_t queue = 512;   // those that wait besides
    // Between keys, none of which may fill it (has_room); nullptr: it is not.
    const std::atomic<bool>* is_shared = nullptr;
    ModelMetrics* metrics = nullptr;  // what is counted; may be nullptr
    EngineTurn* turn = nullptr;       // of several engines
  };
  RunningAnswers(engine::Engine& engine, const Options& options);
  RunningAnswers(engine::Engine& engine, int64_t parallel, int64_t queue)
      : RunningAnswers(engine, Options{.parallel = parallel, .queue = queue}) {}

  // An answer that finds no room for all of its choices is refused.
  void start(AnswerId answer, PreparedAnswer prepared, const Asker& asker = {});
  // What it held is free when this returns. Nothing more is told of it. Unknown ones do nothing.
  void cancel(AnswerId answer);

  // Ends an answer with an error, which its events tell; one that could not begin too.
  void fail(AnswerId answer, Refusal refusal);

  bool has_work() const { return !scheduler_.is_idle(); }
  void step();
  std::vector<AddressedEvent> take_events() { return std::exchange(events_, {}); }
  const engine::Scheduler& scheduler() const { return scheduler_; }
  int64_t n_answers() const { return static_cast<int64_t>(answers_.size()); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Choice {
    engine::AnswerFollower follower;
    AnswerId answer = 0;
    int64_t index = 0;
    ReasoningEdges edges;
    bool wants_tokens = false;      // with their probabilities
    bool counts_prompt = false;     // the first choice of its prompt
    bool is_stopped = false;        // a stop string was complete: what comes behind it is nothing
    std::string stop = {};          // which one
    int64_t completion_tokens = 0;  // up to the stop: a step may bring more behind it, as its neighbours have it
    int64_t reasoning_tokens = 0;
    int64_t n_calls = 0;                          // given out
    std::shared_ptr<const TurnToKeep> turn = {};  // that the choice may become; null: nothing is kept
    text::Value::List calls = {};                 // of that turn
    Clock::time_point submitted = {};
    std::optional<double> queue_seconds = std::nullopt;  // until the step that gave its first event
    ChoiceMeter meter = {};
  };
  struct Running {
    engine::UserId user = 0;
    std::vector<engine::RequestId> requests;  // of its choices that are not whole yet
    AnswerUsage usage;
  };

  bool has_room_for(const PreparedAnswer& prepared, engine::UserId user) const;
  void take(const engine::Event& event);
  void take_token(Choice& choice, const engine::Event& event);
  static void add_times(const Choice& choice, AnswerUsage& usage);
  void finish(Choice& choice, const engine::Event& event);
  void keep_turn(Choice& choice) const;
  static void trim(Choice& choice, engine::TextDelta& delta, bool is_end);
  // More of a choice's text, with ids for its calls.
  static void put_text(Choice& choice, engine::TextDelta&& delta, AnswerEvent& told);
  AnswerToken token_of(const engine::Event& event, bool is_reasoning) const;
  AnswerEvent& tell(AnswerId answer, AnswerEvent::Kind kind, int64_t choice = 0);

  engine::Engine& engine_;
  Options options_;
  engine::Scheduler scheduler_;
  StepMeter meter_;
  std::map<engine::RequestId, Choice> choices_;
  std::map<AnswerId, Running> answers_;
  std::vector<AddressedEvent> events_;
  Clock::time_point step_begin_;
};

}  // namespace naru::server
