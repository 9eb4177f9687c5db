// Metrics: what the server counts of itself. Those of a model are written by the thread of its engine and by the
// network's, and read by whoever asks for /metrics, at any time: each value is whole, no two are of one moment.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace naru::server {

// How often values were no larger than each of some bounds.
template <size_t n>
class Histogram {
 public:
  using Bounds = std::array<double, n>;
  explicit Histogram(const Bounds& bounds) : bounds_(bounds) {}

  void observe(double value) {
    size_t i = 0;
    while (i < n && value > bounds_[i]) ++i;
    counts_[i].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(value, std::memory_order_relaxed);
  }

  const Bounds& bounds() const { return bounds_; }
  // Of values above bounds[i - 1], up to bounds[i]; i = n: above all.
  int64_t count(size_t i) const { return counts_[i].load(std::memory_order_relaxed); }
  double sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  Bounds bounds_;
  std::array<std::atomic<int64_t>, n + 1> counts_{};
  std::atomic<double> sum_ = 0;
};

inline constexpr std::array<double, 17> kSecondsBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                                          1,     2.5,    5,     10,   25,    50,   100, 250};
inline constexpr std::array<double, 16> kTokensBounds = {1,   2,    5,    10,   20,    50,    100,   200,
                                                         500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};
using SecondsHistogram = Histogram<kSecondsBounds.size()>;
using TokensHistogram = Histogram<kTokensBounds.size()>;

// A number that goes up, or one that is what it was last.
class Counted {
 public:
  void add(int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  void set(int64_t n) { value_.store(n, std::memory_order_relaxed); }
  int64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_ = 0;
};

class CountedTime {
 public:
  void add(std::chrono::nanoseconds time) { nanoseconds_.add(time.count()); }
  double get() const { return static_cast<double>(nanoseconds_.get()) * 1e-9; }

 private:
  Counted nanoseconds_;
};

struct ModelMetrics {
  // Of the thread of the engine. Choices: answers to one prompt.
  Counted running, waiting;
  Counted pages_total, pages_used;  // used: by answers; what the prefix cache alone holds is free
  Counted preemptions, evictions;
  Counted prompt_tokens, cached_tokens;  // cached: of them, not computed again
  Counted generated_tokens, reasoning_tokens;
  Counted steps;
  CountedTime step_time;     // in steps: a pass of the model, and what is drawn from it
  CountedTime between_time;  // from the end of a step to the next one, where there was work left
  CountedTime turn_time;     // of those, waiting while another model was at its step; in neither of the two above
  Counted loads;
  SecondsHistogram queue{kSecondsBounds};        // from the request's arrival to the first step that it is in
  SecondsHistogram prefill{kSecondsBounds};      // from there to the first token
  SecondsHistogram inter_token{kSecondsBounds};  // from a token of an answer to its next
  // Of the network's thread: as whoever asks sees it.
  Counted ended_by_stop, ended_by_length, ended_by_tool_calls;
  SecondsHistogram first_token{kSecondsBounds};  // from the arrival to the first text
  SecondsHistogram request{kSecondsBounds};      // to the end of an answer
  TokensHistogram request_prompt{kTokensBounds}, request_generated{kTokensBounds};
};

// Of the network's thread alone.
struct ServerMetrics {
  std::map<std::pair<std::string, std::string>, int64_t> requests;  // by dialect ("page": none) and status
  std::map<std::string, int64_t> errors;                            // by code
  std::map<std::string, int64_t> aborts;                            // by stage: "waiting", "answering"
  std::map<std::string, int64_t> limits;                            // that were hit, by name
  std::chrono::system_clock::time_point begin = std::chrono::system_clock::now();
};

}  // namespace naru::server
