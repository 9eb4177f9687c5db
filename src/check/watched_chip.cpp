#include "check/watched_chip.h"

#include <fmt/format.h>

#include <algorithm>

#include "contract/op_table.h"

namespace naru::check {
namespace {

std::string_view call_name(CallNotes::Call call) {
  switch (call) {
    case CallNotes::Call::kRun: return "run";
    case CallNotes::Call::kWait: return "wait";
    case CallNotes::Call::kCopyIn: return "copy_in";
    case CallNotes::Call::kCopyOut: return "copy_out";
    case CallNotes::Call::kCopyCachePage: return "copy_cache_page";
    case CallNotes::Call::kMakeSequences: return "make_sequences";
  }
  return "call";
}

}  // namespace

void CallNotes::begin(Call call, int op) {
  call_.store(call, std::memory_order_relaxed);
  op_.store(op, std::memory_order_relaxed);
  n_marks_.fetch_add(1, std::memory_order_release);
}

std::string CallNotes::text() const {
  const Call call = call_.load(std::memory_order_relaxed);
  const int op = op_.load(std::memory_order_relaxed);
  if (op < 0) return std::string(call_name(call));
  return fmt::format("{} {} {}", call_name(call), call == Call::kRun ? "of" : "behind", contract::op_name(op));
}

bool CallPatience::is_over(bool is_stopping) {
  const uint64_t mark = notes_->mark();
  n_asked_ = mark == mark_ && mark % 2 == 1 ? n_asked_ + 1 : 0;
  mark_ = mark;
  return n_asked_ * every_s_ > (is_stopping ? std::min(kCallStopSeconds, patience_s_) : patience_s_);
}

WatchedChip::WatchedChip(std::unique_ptr<contract::Chip> inner, std::shared_ptr<CallNotes> notes)
    : ForwardingChip(*inner), inner_(std::move(inner)), notes_(std::move(notes)) {}

// An error of numbers is one of the model's, and says where it came from.
Error WatchedChip::named(Error error, const std::string& call) const {
  if (error.code == Code::kOutOfRange) return error;
  const contract::ChipInfo info = chip_.info();
  error.message = fmt::format("chip {}, {}: {}", info.name, call, error.message);
  return error;
}

template <typename Made, typename Make>
Made WatchedChip::watched(CallNotes::Call call, int op, const Make& make) {
  op_ = op;
  notes_->begin(call, op);
  Made made = make();
  notes_->end();
  if (!made.ok()) return named(std::move(made).error(), notes_->text());
  return made;
}

Result<std::unique_ptr<contract::Buffer>> WatchedChip::allocate(int64_t bytes) {
  auto made = chip_.allocate(bytes);
  if (!made.ok()) return named(std::move(made).error(), "allocate");
  return made;
}

Status WatchedChip::copy_in(ChipAddress to, const void* from, int64_t bytes) {
  return watched<Status>(CallNotes::Call::kCopyIn, op_, [&] { return chip_.copy_in(to, from, bytes); });
}

Status WatchedChip::copy_out(void* to, ChipAddress from, int64_t bytes) {
  return watched<Status>(CallNotes::Call::kCopyOut, op_, [&] { return chip_.copy_out(to, from, bytes); });
}

Result<std::unique_ptr<contract::PackedMatrix>> WatchedChip::pack(const contract::MatrixSource& source,
                                                                  contract::Rule rule) {
  auto made = chip_.pack(source, rule);
  if (!made.ok()) return named(std::move(made).error(), "pack");
  return made;
}

Status WatchedChip::copy_cache_page(const contract::CacheStream& stream, int32_t from, int32_t to) {
  return watched<Status>(CallNotes::Call::kCopyCachePage, op_, [&] { return chip_.copy_cache_page(stream, from, to); });
}

Result<std::unique_ptr<contract::Sequences>> WatchedChip::make_sequences(std::span<const contract::SequenceRows> rows) {
  return watched<Result<std::unique_ptr<contract::Sequences>>>(CallNotes::Call::kMakeSequences, op_,
                                                               [&] { return chip_.make_sequences(rows); });
}

Status WatchedChip::run(const contract::Op& op) {
  return watched<Status>(CallNotes::Call::kRun, static_cast<int>(op.index()), [&] { return chip_.run(op); });
}

Status WatchedChip::wait() {
  return watched<Status>(CallNotes::Call::kWait, op_, [&] { return chip_.wait(); });
}

}  // namespace naru::check
