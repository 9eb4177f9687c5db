#include "server/runs_desk.h"

#include <chrono>
#include <new>

namespace naru::server {

RunsDesk::RunsDesk(RunsSource source) : source_(std::move(source)), thread_([this] { work(); }) {}

RunsDesk::~RunsDesk() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  is_asked_.notify_one();
  thread_.join();
}

bool RunsDesk::ask(std::string name, Done done) {
  {
    const std::lock_guard lock(mutex_);
    if (static_cast<int64_t>(questions_.size()) >= kRunsAskedMax) return false;
    questions_.push_back({std::move(name), std::move(done)});
  }
  is_asked_.notify_one();
  return true;
}

void RunsDesk::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    is_asked_.wait(lock, [this] { return is_ending_ || !questions_.empty(); });
    if (is_ending_) return;
    const Question question = std::move(questions_.front());
    questions_.pop_front();
    lock.unlock();
    answer(question);
    lock.lock();
  }
}

// Whoever waits is told something, as soon as there is memory to say it.
void RunsDesk::answer(const Question& question) const {
  try {
    return question.done(question.name.empty() ? source_.list() : source_.read(question.name));
  } catch (const std::bad_alloc&) {
  }
  while (true) {
    try {
      return question.done(
          Error{Code::kResourceExhausted, "reading the runs: the system gave no more memory; try again later"});
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

}  // namespace naru::server
