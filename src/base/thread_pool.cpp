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

ThreadPool::ThreadPool(int n_threads)
    : n_threads_(n_threads), shares_(std::make_unique<Share[]>(static_cast<size_t>(n_threads))) {
  for (int i = 0; i < n_threads; ++i) shares_[static_cast<size_t>(i)].claim.store(kClosed);
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
  const Share& own = shares_[static_cast<size_t>(thread)];
  const auto has_news = [&] {
    const uint64_t claim = own.claim.load();
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
    const uint64_t claim = own.claim.load();
    if (index_of(claim) == kClosed) continue;  // the next loop is about to start
    seen = loop_of(claim);
    work(thread, seen);
  }
}

// Its own indices, then what is left of the others'.
void ThreadPool::work(int thread, uint64_t loop) {
  uint32_t n_own = 0;
  for (int i = 0; i < n_threads_; ++i) {
    Share& share = shares_[static_cast<size_t>((thread + i) % n_threads_)];
    uint64_t claim = share.claim.load();
    while (loop_of(claim) == loop) {
      const uint64_t index = index_of(claim);
      if (index == kClosed) {  // it is being opened
        pause_cpu();
        claim = share.claim.load();
        continue;
      }
      const Task task = task_.load();
      const void* context = context_.load();
      if (index >= share.end.load()) break;
      if (!share.claim.compare_exchange_weak(claim, claim + 1)) continue;
      task(context, static_cast<int64_t>(index), thread);
      ++n_own;
      claim = share.claim.load();
    }
  }
  if (n_own > 0) n_done_.fetch_add(n_own);
}

void ThreadPool::run(int64_t n, bool is_near, Task task, const void* context) {
  NARU_CHECK(n > 0 && n < static_cast<int64_t>(kClosed), n);
  const uint64_t loop = (loop_of(shares_[0].claim.load()) + 1) & 0xffffffffu;
  NARU_CHECK(n_done_.load() == n_.load(), "parallel_for inside parallel_for");
  const auto share_at = [this](int64_t i) -> Share& { return shares_[static_cast<size_t>(i)]; };
  for (int64_t i = 0; i < n_threads_; ++i) share_at(i).claim.store(loop << 32 | kClosed);
  task_.store(task);
  context_.store(context);
  n_done_.store(0);
  n_.store(static_cast<uint32_t>(n));
  const auto begin_of = [&](int64_t i) { return static_cast<uint64_t>(is_near ? n * i / n_threads_ : i == 0 ? 0 : n); };
  for (int64_t i = 0; i < n_threads_; ++i) share_at(i).end.store(static_cast<uint32_t>(begin_of(i + 1)));
  for (int64_t i = 0; i < n_threads_; ++i) share_at(i).claim.store(loop << 32 | begin_of(i));
  if (n_asleep_.load() > 0) {
    // The lock orders the new loop before or after a worker's decision to sleep, never between.
    { const std::lock_guard lock(mutex_); }
    wake_.notify_all();
  }
  work(0, loop);
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
