#include "base/thread_pool.h"

#include <fmt/format.h>

#include <system_error>

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
constexpr uint64_t kClosed = 0xffffffffu;

constexpr uint64_t loop_of(uint64_t claim) {
  return claim >> 32;
}
constexpr uint64_t index_of(uint64_t claim) {
  return claim & 0xffffffffu;
}

}  // namespace

Result<std::unique_ptr<ThreadPool>> ThreadPool::create(int n_threads, const std::function<void()>& on_start) {
  NARU_CHECK(n_threads >= 1, n_threads);
  std::unique_ptr<ThreadPool> pool(new ThreadPool(n_threads));
  if (on_start) on_start();
  NARU_TRY(pool->start_workers(on_start));
  return pool;
}

ThreadPool::ThreadPool(int n_threads) : n_threads_(n_threads) {
  claim_.store(kClosed);
}

// Where one thread cannot be had, those before it are ended by the destructor as after any other life of a pool.
Status ThreadPool::start_workers(const std::function<void()>& on_start) {
  workers_.reserve(static_cast<size_t>(n_threads_) - 1);
  for (int thread = 1; thread < n_threads_; ++thread) {
    try {
      workers_.emplace_back([this, thread, on_start] { worker_main(thread, on_start); });
    } catch (const std::system_error& problem) {
      return Error{Code::kResourceExhausted,
                   fmt::format("starting {} threads: the system gave {}, then: {}; ask for fewer with --threads N, or "
                               "raise the limit (ulimit -u, ulimit -v, the container's limit of processes)",
                               n_threads_, thread, problem.code().message())};
    }
  }
  return {};
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stop_.store(true);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::worker_main(int thread, const std::function<void()>& on_start) {
  if (on_start) on_start();
  uint64_t seen = 0;  // the loop that this worker has worked on
  const auto has_news = [&] {
    const uint64_t claim = claim_.load();
    return (loop_of(claim) != seen && index_of(claim) != kClosed) || stop_.load();
  };
  while (!stop_.load()) {
    int spins = 0;
    while (!has_news() && ++spins < kSpins) pause_cpu();
    if (!has_news()) {
      std::unique_lock lock(mutex_);
      n_asleep_.fetch_add(1);
      wake_.wait(lock, has_news);
      n_asleep_.fetch_sub(1);
    }
    const uint64_t claim = claim_.load();
    if (index_of(claim) == kClosed) continue;  // the next loop is about to start
    seen = loop_of(claim);
    work(thread);
  }
}

void ThreadPool::work(int thread) {
  uint64_t claim = claim_.load();
  while (true) {
    const uint64_t index = index_of(claim);
    const Task task = task_.load();
    const void* context = context_.load();
    if (index == kClosed || index >= n_.load()) return;
    if (!claim_.compare_exchange_weak(claim, claim + 1)) continue;
    task(context, static_cast<int64_t>(index), thread);
    n_done_.fetch_add(1);
    claim = claim_.load();
  }
}

void ThreadPool::run(int64_t n, Task task, const void* context) {
  NARU_CHECK(n > 0 && n < static_cast<int64_t>(kClosed), n);
  const uint64_t loop = loop_of(claim_.load()) + 1;
  NARU_CHECK(n_done_.load() == n_.load(), "parallel_for inside parallel_for");
  claim_.store(loop << 32 | kClosed);
  task_.store(task);
  context_.store(context);
  n_done_.store(0);
  n_.store(static_cast<uint32_t>(n));
  claim_.store(loop << 32);
  if (n_asleep_.load() > 0) {
    // The lock orders the new loop before or after a worker's decision to sleep, never between.
    { const std::lock_guard lock(mutex_); }
    wake_.notify_all();
  }
  work(0);
  int spins = 0;
  while (n_done_.load() != static_cast<uint32_t>(n)) {
    if (++spins < kSpins) {
      pause_cpu();
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace naru
