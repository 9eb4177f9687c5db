#include "text/word_counts.h"

#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "base/memory.h"
#include "text/hash.h"

namespace naru::text {
namespace {

constexpr size_t kFirstSlots = 1 << 12;

}  // namespace

Error WordCounts::refusal() const {
  return {
      Code::kResourceExhausted,
      fmt::format("training a tokenizer: counting words: {} distinct ones of {} in all would take {}, the budget is "
                  "{}; give less text or more memory",
                  words_.size(), n_words_, format_bytes(budget_->wanted()), format_bytes(budget_->bytes_max()))};
}

bool WordCounts::grow() {
  const size_t n = std::max(kFirstSlots, 2 * slots_.size());
  const auto bytes_of = [](size_t count) { return static_cast<int64_t>(count * sizeof(Slot)); };
  if (!budget_->take(bytes_of(n), bytes_of(slots_.size()))) return false;
  std::vector<Slot> old(n);
  old.swap(slots_);
  const size_t mask = n - 1;
  for (const Slot& slot : old) {
    if (slot.index == 0) continue;
    size_t place = hash_bytes(word(int64_t{slot.index} - 1)) & mask;
    while (slots_[place].index != 0) place = (place + 1) & mask;
    slots_[place] = slot;
  }
  return true;
}

Status WordCounts::insert(std::string_view word, uint64_t hash, int64_t n) {
  if (static_cast<int64_t>(word.size()) > kDistinctWordBytesMax - distinct_bytes() ||
      words_.size() >= std::numeric_limits<uint32_t>::max() - 1) {
    return Error{
        Code::kResourceExhausted,
        fmt::format("training a tokenizer: counting words: {} distinct ones have {} bytes, at most {} bytes "
                    "were wanted; give less text",
                    words_.size() + 1, distinct_bytes() + static_cast<int64_t>(word.size()), kDistinctWordBytesMax)};
  }
  if (!budget_->reserve_more(arena_, word.size()) || !budget_->reserve_more(words_, 1)) return refusal();
  if (3 * slots_.size() <= 4 * (words_.size() + 1) && !grow()) return refusal();
  const size_t mask = slots_.size() - 1;
  size_t place = hash & mask;
  while (slots_[place].index != 0) place = (place + 1) & mask;
  words_.push_back({static_cast<uint32_t>(arena_.size()), static_cast<uint32_t>(word.size()), n});
  arena_.insert(arena_.end(), word.begin(), word.end());
  slots_[place] = {static_cast<uint32_t>(hash >> 32), static_cast<uint32_t>(words_.size())};
  return {};
}

Status WordCounts::add(std::string_view text, int64_t n) {
  n_words_ += n;
  const uint64_t hash = hash_bytes(text);
  if (!slots_.empty()) {
    const auto tag = static_cast<uint32_t>(hash >> 32);
    const size_t mask = slots_.size() - 1;
    for (size_t place = hash & mask; slots_[place].index != 0; place = (place + 1) & mask) {
      if (slots_[place].tag != tag) continue;
      Word& known = words_[slots_[place].index - 1];
      if (known.size != text.size() || std::memcmp(arena_.data() + known.begin, text.data(), text.size()) != 0)
        continue;
      known.count += n;
      return {};
    }
  }
  return insert(text, hash, n);
}

}  // namespace naru::text
