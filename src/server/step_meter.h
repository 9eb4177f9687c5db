// StepMeter: the metrics of a model as the thread of its engine sees them: the time in steps and between them, and what
// each answer waited for. The clock is looked at twice a step, whatever is in it.
#pragma once

#include <chrono>
#include <cstdint>

#include "engine/scheduler.h"
#include "server/answer_job.h"
#include "server/metrics.h"

namespace naru::server {

// Of one choice: since when it is asked for, and what is counted of it already.
struct ChoiceMeter {
  using Time = std::chrono::steady_clock::time_point;
  Asker asker;
  bool counts_prompt = false;  // the first choice of its prompt
  bool has_run = false;
  int64_t computed = 0;   // tokens of its prompt, that are counted
  Time first_step, last;  // last: when its last token came
  bool has_token = false;
};

class StepMeter {
 public:
  // nullptr: nothing is counted but for the keys. `n_evictions`: of the engine, that are counted already.
  StepMeter(ModelMetrics* metrics, int64_t n_evictions) : metrics_(metrics), n_evictions_(n_evictions) {}

  // Around the turn of an engine, and around its step.
  void before_turn();
  void before_step();
  void after_step(const engine::Engine& engine, const engine::Scheduler& scheduler);
  // Something of a choice happened in the last step.
  void take(ChoiceMeter& choice, const engine::Event& event);
  void count_reasoning() {
    if (metrics_ != nullptr) metrics_->reasoning_tokens.add(1);
  }
  // Where nothing is computed: the numbers that say what is there.
  void look(const engine::Engine& engine, const engine::Scheduler& scheduler);

 private:
  using Clock = std::chrono::steady_clock;
  void count_prompt(ChoiceMeter& choice, const engine::Event& event);

  ModelMetrics* metrics_;
  Clock::time_point turn_, begin_, end_;
  int64_t n_preemptions_ = 0, n_evictions_ = 0;  // that are counted
  bool has_work_ = false;                        // left by the last step: until the next one it waits for nobody
};

}  // namespace naru::server
