#include "chips/distant/queue.h"

namespace naru::distant {
namespace {

constexpr size_t kJobsMax = 1024;
constexpr int64_t kBytesMax = int64_t{64} << 20;

}  // namespace

Queue::~Queue() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  work_.notify_one();
  thread_.join();
}

void Queue::add(std::function<Status()> job, int64_t bytes) {
  push({std::move(job), false, bytes});
}

void Queue::add_always(std::function<void()> job) {
  push({[job = std::move(job)]() -> Status {
          job();
          return {};
        },
        true, 0});
}

void Queue::push(Job job) {
  {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return jobs_.size() < kJobsMax && (bytes_ == 0 || bytes_ + job.bytes <= kBytesMax); });
    bytes_ += job.bytes;
    jobs_.push_back(std::move(job));
  }
  work_.notify_one();
}

Status Queue::failure() {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_) return {};
  }
  return finish();
}

void Queue::settle() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return jobs_.empty() && !is_busy_; });
}

Status Queue::finish() {
  settle();
  const std::lock_guard lock(mutex_);
  if (!failure_) return {};
  Error error = std::move(*failure_);
  failure_.reset();
  return error;
}

void Queue::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [&] { return is_ending_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    is_busy_ = true;
    const bool is_run = job.is_always || !failure_;
    lock.unlock();
    Status status;
    if (is_run) status = job.run();
    job.run = nullptr;  // what it holds goes before anybody is told
    lock.lock();
    if (!status.ok() && !failure_) failure_ = std::move(status).error();
    bytes_ -= job.bytes;
    is_busy_ = false;
    done_.notify_all();
  }
}

}  // namespace naru::distant
