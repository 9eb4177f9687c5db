// A fixed set of threads that run one parallel loop at a time. Work is split by index, never by arrival, and no
// result may depend on which thread ran which index: the pool changes speed, never bits.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"

namespace naru {

class ThreadPool {
 public:
  // n_threads >= 1 counts the calling thread. `on_start` runs once on every worker and on the calling thread
  // (floating-point mode, tile configuration). kResourceExhausted where the system gives fewer threads.
  static Result<std::unique_ptr<ThreadPool>> create(int n_threads, const std::function<void()>& on_start = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int n_threads() const { return n_threads_; }

  // Calls body(index, thread) for every index in [0, n), thread in [0, n_threads). Indices are handed out one at a
  // time, in ascending order, to whichever thread is free; returns when all are done. Not reentrant.
  template <typename Body>
  void parallel_for(int64_t n, const Body& body) {
    run_body(n, false, body);
  }
  // The same where indices are parts of rows, ascending: thread t begins with the t-th part of them, so that one loop
  // after the other finds its rows in the cache of the core that wrote them. Who is done takes from the others.
  template <typename Body>
  void parallel_for_near(int64_t n, const Body& body) {
    run_body(n, true, body);
  }

 private:
  explicit ThreadPool(int n_threads);
  Status start_workers(const std::function<void()>& on_start);

  using Task = void (*)(const void* context, int64_t index, int thread);
  template <typename Body>
  void run_body(int64_t n, bool is_near, const Body& body) {
    if (n_threads_ == 1 || n <= 1) {
      for (int64_t i = 0; i < n; ++i) body(i, 0);
      return;
    }
    run(
        n, is_near,
        [](const void* context, int64_t index, int thread) { (*static_cast<const Body*>(context))(index, thread); },
        &body);
  }
  void run(int64_t n, bool is_near, Task task, const void* context);
  void work(int thread, uint64_t loop);
  void worker_main(int thread, const std::function<void()>& on_start);

  // A thread's indices of the loop in progress. `claim` holds the loop's number in the upper half and the next index in
  // the lower; an index is owned by whoever moves it on. While a loop's fields change the index is kClosed, so that a
  // claim that succeeds proves that the fields read before it belong to the same loop. A worker that is late finds
  // nothing to claim, and nobody waits for it.
  struct alignas(64) Share {
    std::atomic<uint64_t> claim{0};
    std::atomic<uint32_t> end{0};
  };

  int n_threads_;
  std::unique_ptr<Share[]> shares_;  // [n_threads]; of a loop that is not near all indices are in the first
  std::atomic<Task> task_{nullptr};
  std::atomic<const void*> context_{nullptr};
  std::atomic<uint32_t> n_{0};
  alignas(64) std::atomic<uint32_t> n_done_{0};
  alignas(64) std::atomic<int> n_asleep_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

}  // namespace naru
