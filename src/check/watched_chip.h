// WatchedChip: a chip in front of another that notes which call is at work, for whoever waits for it on another thread,
// and whose errors, of calls that are no fault of their numbers, name the chip, the call and the op.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "contract/forwarding_chip.h"

namespace naru::check {

// Written by the thread of the chip, read by any.
class CallNotes {
 public:
  enum class Call : uint8_t { kRun, kWait, kCopyIn, kCopyOut, kCopyCachePage, kMakeSequences };

  void begin(Call call, int op);
  void end() { n_marks_.fetch_add(1, std::memory_order_release); }

  // Odd while a call is at work; another one for each.
  uint64_t mark() const { return n_marks_.load(std::memory_order_acquire); }
  std::string text() const;  // "run of matmul", "copy_out behind matmul"

 private:
  std::atomic<uint64_t> n_marks_{0};
  std::atomic<Call> call_{Call::kWait};
  std::atomic<int> op_{-1};  // that was run last
};

// Whether the call at work has not ended for so long. It is asked about as often as `every_s`: time in which nobody
// asks, as of a program that was halted, does not count. Who wants
// the work to end waits kCallStopSeconds at the most: a call that waits for a queue has many ops behind it.
inline constexpr double kCallStopSeconds = 30;
class CallPatience {
 public:
  CallPatience(std::shared_ptr<const CallNotes> notes, double patience_s, double every_s = 0.1)
      : notes_(std::move(notes)), patience_s_(patience_s), every_s_(every_s) {}
  bool is_over(bool is_stopping = false);

 private:
  std::shared_ptr<const CallNotes> notes_;
  double patience_s_, every_s_;
  uint64_t mark_ = 0;
  double n_asked_ = 0;  // since the mark changed
};

class WatchedChip final : public contract::ForwardingChip {
 public:
  WatchedChip(std::unique_ptr<contract::Chip> inner, std::shared_ptr<CallNotes> notes);

  Result<std::unique_ptr<contract::Buffer>> allocate(int64_t bytes) override;
  Status copy_in(ChipAddress to, const void* from, int64_t bytes) override;
  Status copy_out(void* to, ChipAddress from, int64_t bytes) override;
  Result<std::unique_ptr<contract::PackedMatrix>> pack(const contract::MatrixSource& source,
                                                       contract::Rule rule) override;
  Status copy_cache_page(const contract::CacheStream& stream, int32_t from, int32_t to) override;
  Result<std::unique_ptr<contract::Sequences>> make_sequences(std::span<const contract::SequenceRows> rows) override;
  Status run(const contract::Op& op) override;
  Status wait() override;

 private:
  template <typename Made, typename Make>
  Made watched(CallNotes::Call call, int op, const Make& make);
  Error named(Error error, const std::string& call) const;

  std::unique_ptr<contract::Chip> inner_;
  std::shared_ptr<CallNotes> notes_;
  int op_ = -1;  // that was run last
};

}  // namespace naru::check
