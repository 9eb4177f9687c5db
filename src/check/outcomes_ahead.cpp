#include "check/outcomes_ahead.h"

#include <algorithm>
#include <new>

namespace naru::check {
namespace {

constexpr size_t kCasesAhead = 24;  // cases

// The thread that computes has nobody above it to catch what it throws.
Result<Outcome> outcome_of(const Case& c, contract::Chip& reference) {
  try {
    return run_program(build(c), reference);
  } catch (const std::bad_alloc&) {
    return out_of_memory(c.op);
  }
}

}  // namespace

OutcomesAhead::OutcomesAhead(const std::vector<Case>& cases,
                             const std::function<std::unique_ptr<contract::Chip>()>& make_reference, int n_threads)
    : cases_(cases), outcomes_(cases.size()) {
  for (int i = 0; i < std::max(n_threads, 1); ++i) {
    references_.push_back(make_reference());
    threads_.emplace_back([this, reference = references_.back().get()] { work(*reference); });
  }
}

OutcomesAhead::~OutcomesAhead() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

const Result<Outcome>& OutcomesAhead::next() {
  std::unique_lock lock(mutex_);
  NARU_CHECK(n_taken_ < cases_.size(), n_taken_);
  const size_t i = n_taken_;
  if (i > 0) outcomes_[i - 1].reset();
  changed_.wait(lock, [&] { return outcomes_[i].has_value(); });
  ++n_taken_;
  changed_.notify_all();
  return *outcomes_[i];
}

void OutcomesAhead::work(contract::Chip& reference) {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return is_ending_ || n_begun_ == cases_.size() || n_begun_ < n_taken_ + kCasesAhead; });
    if (is_ending_ || n_begun_ == cases_.size()) return;
    const size_t i = n_begun_++;
    lock.unlock();
    Result<Outcome> outcome = outcome_of(cases_[i], reference);
    lock.lock();
    outcomes_[i] = std::move(outcome);
    changed_.notify_all();
  }
}

}  // namespace naru::check
