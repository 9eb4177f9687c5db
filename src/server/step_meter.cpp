#include "server/step_meter.h"

#include <algorithm>
#include <utility>

namespace naru::server {
namespace {

double seconds_from(std::chrono::steady_clock::time_point a, std::chrono::steady_clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

}  // namespace

void StepMeter::before_turn() {
  turn_ = Clock::now();
  if (metrics_ != nullptr && has_work_) metrics_->between_time.add(turn_ - end_);
}

void StepMeter::before_step() {
  begin_ = Clock::now();
  if (metrics_ != nullptr) metrics_->turn_time.add(begin_ - turn_);
}

void StepMeter::after_step(const engine::Engine& engine, const engine::Scheduler& scheduler) {
  end_ = Clock::now();
  has_work_ = !scheduler.is_idle();
  if (metrics_ == nullptr) return;
  metrics_->steps.add(1);
  metrics_->step_time.add(end_ - begin_);
  look(engine, scheduler);
}

void StepMeter::look(const engine::Engine& engine, const engine::Scheduler& scheduler) {
  if (metrics_ == nullptr) return;
  has_work_ = !scheduler.is_idle();
  const engine::EngineStats stats = engine.stats();
  metrics_->running.set(scheduler.n_running());
  metrics_->waiting.set(scheduler.n_waiting());
  metrics_->pages_total.set(stats.n_pages_total);
  metrics_->pages_used.set(stats.n_pages_total - stats.n_pages_available());
  metrics_->preemptions.add(scheduler.n_preemptions() - std::exchange(n_preemptions_, scheduler.n_preemptions()));
  metrics_->evictions.add(stats.n_evictions - std::exchange(n_evictions_, stats.n_evictions));
}

void StepMeter::count_prompt(ChoiceMeter& choice, const engine::Event& event) {
  // What is computed a second time, after a preemption, is no concern of whoever asked.
  const int64_t done = event.kind == engine::Event::Kind::kPrefill ? event.prompt_done : event.usage.prompt_tokens;
  const int64_t computed = std::max(choice.computed, done - event.usage.cached_tokens);
  if (choice.asker.account) choice.asker.account->tokens.fetch_add(computed - choice.computed);
  choice.computed = computed;
}

void StepMeter::take(ChoiceMeter& choice, const engine::Event& event) {
  using Kind = engine::Event::Kind;
  if (event.kind == Kind::kFinished) return;
  count_prompt(choice, event);
  const bool is_token = event.kind == Kind::kToken;
  if (is_token && choice.asker.account) choice.asker.account->tokens.fetch_add(1);
  if (!choice.has_run) choice.first_step = begin_;
  if (metrics_ != nullptr) {
    if (!choice.has_run) {
      metrics_->queue.observe(seconds_from(choice.asker.arrival, begin_));
      if (choice.counts_prompt) {
        metrics_->prompt_tokens.add(event.usage.prompt_tokens);
        metrics_->cached_tokens.add(event.usage.cached_tokens);
      }
    }
    if (is_token) {
      metrics_->generated_tokens.add(1);
      (choice.has_token ? metrics_->inter_token : metrics_->prefill)
          .observe(seconds_from(choice.has_token ? choice.last : choice.first_step, end_));
    }
  }
  choice.has_run = true;
  if (!is_token) return;
  choice.has_token = true;
  choice.last = end_;
}

}  // namespace naru::server
