// See merge_learner.h.
#include "text/merge_learner.h"

#include <algorithm>
#include <array>
#include <limits>

#include <fmt/format.h>

#include "base/check.h"
#include "base/memory.h"
#include "text/byte_level.h"

namespace naru::text {
namespace {

// Order of a heap whose front is merged next.
constexpr auto later_candidate = [](const auto& a, const auto& b) {
  return a.count != b.count ? a.count < b.count : a.pair > b.pair;
};

}  // namespace

MergeLearner::MergeLearner(MergeLearnerOptions options, MemoryBudget* budget)
    : options_(std::move(options)), budget_(budget), pairs_(budget) {
  NARU_CHECK(options_.vocab_size - options_.first_id >= 256 && options_.pair_count_min >= 1, options_.vocab_size,
             options_.first_id, options_.pair_count_min);
  NARU_CHECK(options_.token_bytes_max >= 2, options_.token_bytes_max);
  for (const uint8_t byte : bytes_by_char()) add_token(std::string(1, static_cast<char>(byte)));
}

Error MergeLearner::refusal() const {
  return {Code::kResourceExhausted,
          fmt::format("training a tokenizer: learning token {} of {}: its tables would take {}, the budget is {}; give "
                      "less text or more memory",
                      options_.first_id + static_cast<int64_t>(tokens_.size()) + 1, options_.vocab_size,
                      format_bytes(budget_->wanted()), format_bytes(budget_->bytes_max()))};
}

int32_t MergeLearner::add_token(std::string bytes) {
  lengths_.push_back(static_cast<uint32_t>(bytes.size()));
  tokens_.push_back(std::move(bytes));
  return options_.first_id + static_cast<int32_t>(tokens_.size()) - 1;
}

int64_t MergeLearner::weight_at(uint32_t place) const {
  const uint32_t weight = slots_[place].weight;
  if (weight != 0) return weight;
  const auto after = std::upper_bound(heavy_.begin(), heavy_.end(), place,
                                      [](uint32_t p, const auto& word) { return p < word.first; });
  return std::prev(after)->second;
}

Status MergeLearner::take_words(const WordCounts& words) {
  const auto n_words = static_cast<size_t>(words.size());
  const size_t n_slots = static_cast<size_t>(words.distinct_bytes()) + n_words + 1;
  if (!budget_->reserve_more(slots_, n_slots)) return refusal();
  std::array<int32_t, 256> id_of_byte{};
  for (size_t i = 0; i < 256; ++i) {
    id_of_byte[static_cast<unsigned char>(tokens_[i][0])] = options_.first_id + static_cast<int32_t>(i);
  }
  slots_.push_back({kBoundary, 0});
  for (size_t i = 0; i < n_words; ++i) {
    const int64_t count = words.count(static_cast<int64_t>(i));
    const bool is_heavy = count > std::numeric_limits<uint32_t>::max();
    if (is_heavy) heavy_.emplace_back(static_cast<uint32_t>(slots_.size()), count);
    for (const char byte : words.word(static_cast<int64_t>(i))) {
      slots_.push_back({id_of_byte[static_cast<unsigned char>(byte)], is_heavy ? 0 : static_cast<uint32_t>(count)});
    }
    slots_.push_back({kBoundary, 0});
  }
  return {};
}

Status MergeLearner::count_byte_pairs() {
  constexpr size_t kPairs = 256 * 256;
  std::vector<int64_t> counts(kPairs);
  std::vector<uint32_t> begins(kPairs + 1);
  const auto index_at = [this](size_t place) {
    return static_cast<size_t>(slots_[place].id - options_.first_id) * 256 +
           static_cast<size_t>(slots_[place + 1].id - options_.first_id);
  };
  const auto for_each_pair = [this](const auto& visit) {
    for (size_t place = 1; place + 1 < slots_.size(); ++place) {
      if (slots_[place].id != kBoundary && slots_[place + 1].id != kBoundary) visit(place);
    }
  };
  size_t n_places = 0;
  for_each_pair([&](size_t place) {
    counts[index_at(place)] += weight_at(static_cast<uint32_t>(place));
    ++begins[index_at(place) + 1];
    ++n_places;
  });
  const auto n_pairs =
      static_cast<size_t>(std::count_if(counts.begin(), counts.end(), [](int64_t n) { return n > 0; }));
  if (!budget_->reserve_more(places_, n_places) || !pairs_.reserve_more(n_pairs)) return refusal();
  places_.resize(n_places);
  for (size_t i = 0; i < kPairs; ++i) begins[i + 1] += begins[i];
  std::vector<uint32_t> next(begins.begin(), begins.end() - 1);
  for_each_pair([&](size_t place) { places_[next[index_at(place)]++] = static_cast<uint32_t>(place); });
  for (size_t i = 0; i < kPairs; ++i) {
    if (begins[i + 1] == begins[i]) continue;
    const uint64_t pair =
        pair_of(options_.first_id + static_cast<int32_t>(i / 256), options_.first_id + static_cast<int32_t>(i % 256));
    pairs_.find_or_add(pair)->count = counts[i];
    NARU_TRY(push(pair, begins[i], begins[i + 1] - begins[i]));
  }
  return {};
}

// The pair's count must be right already.
Status MergeLearner::push(uint64_t pair, uint32_t begin, uint32_t n) {
  const int64_t count = pairs_.find(pair)->count;
  if (count < options_.pair_count_min) return {};  // counts only fall
  if (!budget_->reserve_more(heap_, 1)) return refusal();
  heap_.push_back({count, pair, begin, n});
  std::push_heap(heap_.begin(), heap_.end(), later_candidate);
  return {};
}

Status MergeLearner::learn(const WordCounts& words, const Progress& progress) {
  NARU_TRY(take_words(words));
  NARU_TRY(count_byte_pairs());
  sides_.resize(2 * static_cast<size_t>(options_.vocab_size - options_.first_id));
  const int64_t n_wanted = options_.vocab_size - options_.first_id;
  while (static_cast<int64_t>(tokens_.size()) < n_wanted && !heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), later_candidate);
    Candidate top = heap_.back();
    heap_.pop_back();
    const int64_t count = pairs_.find(top.pair)->count;
    if (count < options_.pair_count_min) continue;
    if (top.count != count) {
      top.count = count;
      heap_.push_back(top);
      std::push_heap(heap_.begin(), heap_.end(), later_candidate);
      continue;
    }
    NARU_TRY(merge(top));
    if (progress) NARU_TRY(progress(static_cast<int64_t>(tokens_.size()), n_wanted));
  }
  return {};
}

bool MergeLearner::may_form(int32_t left, int32_t right) const {
  return int64_t{length(left)} + length(right) <= options_.token_bytes_max;
}

Status MergeLearner::merge(const Candidate& top) {
  formats::Merge merge;
  merge.left = static_cast<int32_t>(top.pair >> 32);
  merge.right = static_cast<int32_t>(static_cast<uint32_t>(top.pair));
  const auto bytes_of = [this](int32_t id) { return tokens_[static_cast<size_t>(id - options_.first_id)]; };
  std::string bytes = bytes_of(merge.left) + bytes_of(merge.right);
  if (options_.forbidden.contains(bytes)) return {};
  if (!budget_->take(static_cast<int64_t>(bytes.size() + sizeof(std::string)))) return refusal();
  merge.result = add_token(std::move(bytes));
  merges_.push_back(merge);
  const uint32_t left_bytes = length(merge.left);
  for (uint32_t i = 0; i < top.n; ++i) {
    const uint32_t place = places_[top.begin + i];
    // Is it still there? An id in another than a first slot cannot be taken for one: see merge_at.
    if (slots_[place].id != merge.left || slots_[place + left_bytes].id != merge.right) continue;
    if (!budget_->reserve_more(formed_, 2)) return refusal();
    merge_at(merge, place);
  }
  NARU_TRY(apply_changes(merge));
  return push_formed(merge);
}

// Slots of the token that forms: its id in the first and the last; kInside where its right part began (else a place
// where that part began a pair would still look like it). An inner slot that was a part's last one keeps the part's id;
// no place of a pair that begins with that id is there, since such a slot once began a token of one byte only.
void MergeLearner::merge_at(const formats::Merge& merge, uint32_t place) {
  const uint32_t middle = place + length(merge.left);
  const uint32_t end = middle + length(merge.right);
  const int64_t weight = weight_at(place);
  const int32_t before = slots_[place - 1].id, after = slots_[end].id;
  if (before != kBoundary) note(before, false, weight, place - length(before), may_form(before, merge.result));
  if (after != kBoundary) note(after, true, weight, place, may_form(merge.result, after));
  slots_[place].id = merge.result;
  slots_[middle].id = kInside;
  slots_[end - 1].id = merge.result;
}

// One place where a merge has this neighbour; `place` is where the pair with it begins.
void MergeLearner::note(int32_t neighbour, bool is_right, int64_t weight, uint32_t place, bool forms) {
  const uint32_t index = 2 * static_cast<uint32_t>(neighbour - options_.first_id) + (is_right ? 1 : 0);
  Side& side = sides_[index];
  if (side.weight == 0) touched_.push_back(index);
  side.weight += weight;
  if (!forms) return;
  ++side.n;
  formed_.push_back({index, place});
}

// Counts of the pairs that formed and of those that went away. The two can be one: of "abab", (b, a) and then (ab, a)
// go away again beside (ab, ab).
Status MergeLearner::apply_changes(const formats::Merge& merge) {
  if (!pairs_.reserve_more(touched_.size())) return refusal();
  const auto id_of = [this](uint32_t side) { return options_.first_id + static_cast<int32_t>(side / 2); };
  for (const uint32_t side : touched_) {
    if (sides_[side].n == 0) continue;
    const int32_t id = id_of(side);
    pairs_.find_or_add(side % 2 == 0 ? pair_of(id, merge.result) : pair_of(merge.result, id))->count +=
        sides_[side].weight;
  }
  for (const uint32_t side : touched_) {
    const int32_t id = id_of(side);
    // Pairs too long to form are in no table.
    PairCount* gone = pairs_.find(side % 2 == 0 ? pair_of(id, merge.left) : pair_of(merge.right, id));
    if (gone != nullptr) gone->count -= sides_[side].weight;
  }
  return {};
}

// The places of each pair that formed, ascending, side by side in places_; and a candidate for each.
Status MergeLearner::push_formed(const formats::Merge& merge) {
  if (!budget_->reserve_more(places_, formed_.size())) return refusal();
  auto begin = static_cast<uint32_t>(places_.size());
  places_.resize(places_.size() + formed_.size());
  for (const uint32_t side : touched_) {
    sides_[side].begin = begin;
    begin += sides_[side].n;
  }
  for (const Formed& formed : formed_) places_[sides_[formed.side].begin++] = formed.place;
  formed_.clear();
  for (const uint32_t side : touched_) {
    const Side done = sides_[side];
    sides_[side] = {};
    if (done.n == 0) continue;
    const int32_t id = options_.first_id + static_cast<int32_t>(side / 2);
    NARU_TRY(push(side % 2 == 0 ? pair_of(id, merge.result) : pair_of(merge.result, id), done.begin - done.n, done.n));
  }
  touched_.clear();
  return {};
}

}  // namespace naru::text
