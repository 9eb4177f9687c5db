// StagingChip: runs ops whose views lie in memory of the test on any chip, through the chip's own memory: what the
// views show goes in by copy_in, the op runs with the chip's addresses, and everything comes back by copy_out. Only
// views and sequences are staged; cache streams are the chip's. Between the call and wait() nothing of the test is left
// for the chip to read: the source of copy_in, the lists and the page tables that it was given are overwritten, and its
// sequences given back, as soon as the calls returned. What lies around the memory of a view on the chip must stay as
// it is.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "base/checked.h"
#include "chips/memory/host_memory.h"
#include "contract/forwarding_chip.h"
#include "contract/op_members.h"

namespace naru::test {

// A view of memory of the test, for a StagingChip.
inline View host_view(void* data, DType dtype, int64_t rows, int64_t cols) {
  return make_view(address_of(data), dtype, rows, cols);
}

class StagingChip : public contract::ForwardingChip {
 public:
  explicit StagingChip(std::unique_ptr<contract::Chip> chip) : ForwardingChip(*chip), owner_(std::move(chip)) {}

  Status run(const contract::Op& op) override {
    contract::Op staged = op;
    Lists lists{.chip = chip_, .views = {}, .sequences = {}, .overwrites = {}};
    std::visit([&](auto& o) { contract::visit_members(o, lists); }, staged);
    const std::vector<Range> ranges = lay_out(lists.views);
    NARU_TRY(upload(ranges));
    for (View* view : lists.views) view->address = on_chip(ranges, *view);
    Status status = chip_.run(staged);
    lists.overwrite();
    if (status.ok()) status = chip_.wait();
    NARU_TRY(download(ranges));
    return status;
  }

 private:
  static constexpr int64_t kGuard = 64;  // bytes before and behind each range
  static constexpr std::byte kGuardByte{0x5a}, kOverwritten{0xa5};

  // Host memory [begin, begin + bytes), at `offset` of the chip's buffer.
  struct Range {
    std::byte* begin;
    int64_t bytes;
    int64_t offset;
  };

  // Copies of the lists of an op, which the op then points to, and all its views.
  struct Lists {
    void operator()(View& view) { views.push_back(&view); }
    void operator()(contract::CacheStream&) {}
    void operator()(const contract::PackedMatrix*&) {}
    void operator()(contract::PackedMatrix*&) {}
    template <typename T>
    void operator()(std::span<const T>& list) {
      for (T& element : copy(list)) contract::visit_members(element, *this);
    }
    // The test's sequences become the chip's, by way of copies that are gone when they are made.
    void operator()(contract::SequencesRef& ref) {
      if (ref.get() == nullptr) return;
      std::vector<std::vector<int32_t>> pages;
      std::vector<contract::SequenceRows> rows(ref.begin(), ref.end());
      for (contract::SequenceRows& each : rows) {
        pages.emplace_back(each.pages, each.pages + each.n_pages());
        each.pages = pages.back().data();
      }
      sequences.push_back(chip.make_sequences(rows).value());
      ref = *sequences.back();
      for (auto& list : pages) std::fill(list.begin(), list.end(), -1);
      std::fill(rows.begin(), rows.end(), contract::SequenceRows{-1, -1, -1, nullptr});
    }
    template <typename T>
    std::vector<T>& copy(std::span<const T>& list) {
      auto owned = std::make_shared<std::vector<T>>(list.begin(), list.end());
      list = *owned;
      overwrites.push_back([owned] {
        std::memset(static_cast<void*>(owned->data()), static_cast<int>(kOverwritten), owned->size() * sizeof(T));
      });
      return *owned;
    }
    // What the caller may do when its calls returned.
    void overwrite() {
      for (const auto& each : overwrites) each();
      sequences.clear();
    }

    contract::Chip& chip;
    std::vector<View*> views;
    std::vector<std::unique_ptr<contract::Sequences>> sequences;
    std::vector<std::function<void()>> overwrites;
  };

  static int64_t extent(const View& view) {
    if (view.empty() || view.rows == 0 || view.cols == 0) return 0;
    return ((view.rows - 1) * view.row_stride + view.cols) * view.element_bytes();
  }

  // Memory that views share is one range, with the host's alignment.
  static std::vector<Range> lay_out(const std::vector<View*>& views) {
    std::vector<Range> ranges;
    for (const View* view : views) {
      if (!view->empty()) ranges.push_back({pointer_of(view->address), extent(*view), 0});
    }
    std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
    std::vector<Range> merged;
    for (const Range& range : ranges) {
      Range* last = merged.empty() ? nullptr : &merged.back();
      if (last != nullptr && range.begin < last->begin + std::max<int64_t>(last->bytes, 1)) {
        last->bytes = std::max(last->bytes, range.begin + range.bytes - last->begin);
      } else {
        merged.push_back(range);
      }
    }
    int64_t end = 0;
    for (Range& range : merged) {
      range.offset = round_up(end + kGuard, 64) + reinterpret_cast<intptr_t>(range.begin) % 64;
      end = range.offset + range.bytes + kGuard;
    }
    return merged;
  }

  ChipAddress on_chip(const std::vector<Range>& ranges, const View& view) const {
    if (view.empty()) return {};
    const std::byte* begin = pointer_of(view.address);
    const auto behind = std::upper_bound(ranges.begin(), ranges.end(), begin,
                                         [](const std::byte* a, const Range& b) { return a < b.begin; });
    const Range& range = *(behind - 1);
    return buffer_->address() + (range.offset + (begin - range.begin));
  }

  Status upload(const std::vector<Range>& ranges) {
    const int64_t bytes = ranges.empty() ? 1 : ranges.back().offset + ranges.back().bytes + kGuard;
    if (buffer_ == nullptr || buffer_->bytes() < bytes) {
      buffer_.reset();
      NARU_ASSIGN(buffer_, chip_.allocate(bytes));
    }
    image_.assign(static_cast<size_t>(bytes), kGuardByte);
    for (const Range& range : ranges) {
      std::memcpy(image_.data() + range.offset, range.begin, static_cast<size_t>(range.bytes));
    }
    NARU_TRY(chip_.copy_in(buffer_->address(), image_.data(), bytes));
    std::fill(image_.begin(), image_.end(), kOverwritten);
    return {};
  }

  Status download(const std::vector<Range>& ranges) {
    NARU_TRY(chip_.copy_out(image_.data(), buffer_->address(), static_cast<int64_t>(image_.size())));
    const auto check_guard = [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) NARU_CHECK(image_[static_cast<size_t>(i)] == kGuardByte, "a stray write");
    };
    int64_t end = 0;
    for (const Range& range : ranges) {
      check_guard(end, range.offset);
      end = range.offset + range.bytes;
      std::memcpy(range.begin, image_.data() + range.offset, static_cast<size_t>(range.bytes));
    }
    check_guard(end, static_cast<int64_t>(image_.size()));
    return {};
  }

  std::unique_ptr<contract::Chip> owner_;
  std::unique_ptr<contract::Buffer> buffer_;
  std::vector<std::byte> image_;
};

}  // namespace naru::test
