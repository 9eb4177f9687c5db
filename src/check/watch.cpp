#include "check/watch.h"

#include <chrono>
#include <new>

#include "base/check.h"

namespace naru::check {
namespace {

constexpr std::chrono::milliseconds kAskedEvery(100);

}  // namespace

Watch::Watch() : state_(std::make_shared<State>()), thread_([state = state_] { work(state); }) {}

Watch::~Watch() {
  if (is_left_behind_) return;
  {
    const std::lock_guard lock(state_->mutex);
    state_->is_ending = true;
  }
  state_->changed.notify_all();
  thread_.join();
}

void Watch::begin(std::function<void()> work) {
  NARU_CHECK(!is_left_behind_, "work for a watch whose thread was left behind");
  state_->work = std::move(work);
  state_->is_busy = true;
  state_->is_out_of_memory = false;
  state_->changed.notify_all();
}

Watch::End Watch::end(bool is_done) {
  if (is_done) return state_->is_out_of_memory ? End::kOutOfMemory : End::kDone;
  is_left_behind_ = true;
  state_->is_ending = true;
  thread_.detach();
  return End::kLeftBehind;
}

Watch::End Watch::run(std::function<void()> work, double seconds) {
  std::unique_lock lock(state_->mutex);
  begin(std::move(work));
  return end(
      state_->changed.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return !state_->is_busy; }));
}

Watch::End Watch::run(std::function<void()> work, const std::function<double()>& seconds,
                      const std::atomic<int64_t>& pulse) {
  using Clock = std::chrono::steady_clock;
  std::unique_lock lock(state_->mutex);
  begin(std::move(work));
  int64_t seen = pulse;
  auto moved = Clock::now();
  while (!state_->changed.wait_for(lock, kAskedEvery, [this] { return !state_->is_busy; })) {
    lock.unlock();
    const double patience = seconds();
    lock.lock();
    if (pulse != seen) moved = Clock::now();
    seen = pulse;
    if (state_->is_busy && Clock::now() - moved > std::chrono::duration<double>(patience)) return end(false);
  }
  return end(true);
}

Watch::End Watch::run(std::function<void()> work, const std::function<bool()>& gives_up) {
  std::unique_lock lock(state_->mutex);
  begin(std::move(work));
  bool is_done = false;
  while (!is_done) {
    is_done = state_->changed.wait_for(lock, kAskedEvery, [this] { return !state_->is_busy; });
    if (!is_done && gives_up()) break;
  }
  return end(is_done);
}

void Watch::work(const std::shared_ptr<State>& state) {
  std::unique_lock lock(state->mutex);
  for (;;) {
    state->changed.wait(lock, [&] { return state->is_ending || state->is_busy; });
    if (!state->is_busy) return;
    std::function<void()> work = std::move(state->work);
    lock.unlock();
    bool is_out_of_memory = false;
    try {
      work();
    } catch (const std::bad_alloc&) {
      is_out_of_memory = true;
    }
    work = nullptr;  // what it holds goes before anybody is told
    lock.lock();
    state->is_busy = false;
    state->is_out_of_memory = is_out_of_memory;
    state->changed.notify_all();
  }
}

}  // namespace naru::check
