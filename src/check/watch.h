// Watch: a thread that does what may never end, and somebody who waits for it no longer than he wants. Calls of a chip
// belong to one thread: all of those that a watch is given are made on its own.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace naru::check {

// That an op may still take when somebody asked to stop.
inline constexpr double kStopSeconds = 2;

class Watch {
 public:
  Watch();
  // Waits for the thread, but not where it was left behind.
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  enum class End : uint8_t {
    kDone,
    kOutOfMemory,  // the work threw std::bad_alloc
    // It is not done after `seconds`: it and the thread are left behind, with all that the work holds, and nothing more
    // may be given to this watch. So the work owns whatever it touches.
    kLeftBehind,
  };
  End run(std::function<void()> work, double seconds);
  // The same for long work: the seconds count from when `pulse` moved last, and are asked for anew about ten times a
  // second, by this thread.
  End run(std::function<void()> work, const std::function<double()>& seconds, const std::atomic<int64_t>& pulse);
  // The same, left behind when `gives_up`, asked again and again meanwhile, says so.
  End run(std::function<void()> work, const std::function<bool()>& gives_up);
  bool is_left_behind() const { return is_left_behind_; }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::function<void()> work;
    bool is_busy = false;  // from the time that work is given until it is done
    bool is_out_of_memory = false;
    bool is_ending = false;
  };
  static void work(const std::shared_ptr<State>& state);
  void begin(std::function<void()> work);
  // Of work that is done, or not: then it is left behind.
  End end(bool is_done);

  std::shared_ptr<State> state_;
  std::thread thread_;
  bool is_left_behind_ = false;
};

}  // namespace naru::check
