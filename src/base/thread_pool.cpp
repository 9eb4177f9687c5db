#include "base/thread_pool.h"

#include "base/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace naru {
namespace {

inline void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// A worker spins this often before it sleeps: ops of one decode step follow each other within microseconds.
constexpr int kSpins = 4000;

}  // namespace

ThreadPool::ThreadPool(int n_threads, std::function<void()> on_start) : n_threads_(n_threads) {
  NARU_CHECK(n_threads >= 1, n_threads);
  if (on_start) on_start();
  for (int thread = 1; thread < n_threads; ++thread) {
    workers_.emplace_back([this, thread, on_start] { worker_main(thread, on_start); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stop_.store(true);
    generation_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::worker_main(int thread, const std::function<void()>& on_start) {
  if (on_start) on_start();
  uint64_t seen = 0;
  while (true) {
    int spins = 0;
    while (generation_.load(std::memory_order_acquire) == seen) {
      if (++spins < kSpins) {
        pause_cpu();
        continue;
      }
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
    }
    seen = generation_.load(std::memory_order_acquire);
    if (stop_.load()) return;
    work(thread);
    n_running_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::work(int thread) {
  for (int64_t index = next_.fetch_add(1); index < n_; index = next_.fetch_add(1)) task_(context_, index, thread);
}

void ThreadPool::run(int64_t n, Task task, const void* context) {
  NARU_CHECK(n_running_.load() == 0, "parallel_for inside parallel_for");
  task_ = task;
  context_ = context;
  n_ = n;
  next_.store(0);
  n_running_.store(n_threads_ - 1, std::memory_order_release);
  {
    // The lock orders this change with a worker that is about to sleep.
    const std::lock_guard lock(mutex_);
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  work(0);
  int spins = 0;
  while (n_running_.load(std::memory_order_acquire) != 0) {
    if (++spins < kSpins) {
      pause_cpu();
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace naru
