#include "check/watch.h"

#include <chrono>

#include "base/check.h"

namespace naru::check {

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

bool Watch::run(std::function<void()> work, double seconds) {
  NARU_CHECK(!is_left_behind_, "work for a watch whose thread was left behind");
  std::unique_lock lock(state_->mutex);
  state_->work = std::move(work);
  state_->changed.notify_all();
  const auto is_done = [this] { return state_->work == nullptr; };
  if (state_->changed.wait_for(lock, std::chrono::duration<double>(seconds), is_done)) return true;
  is_left_behind_ = true;
  state_->is_ending = true;
  thread_.detach();
  return false;
}

void Watch::work(const std::shared_ptr<State>& state) {
  std::unique_lock lock(state->mutex);
  for (;;) {
    state->changed.wait(lock, [&] { return state->is_ending || state->work != nullptr; });
    if (state->work == nullptr) return;
    std::function<void()> work = state->work;
    lock.unlock();
    work();
    work = nullptr;  // what it holds goes before anybody is told
    lock.lock();
    state->work = nullptr;
    state->changed.notify_all();
  }
}

}  // namespace naru::check
