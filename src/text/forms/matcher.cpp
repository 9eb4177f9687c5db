#include "text/forms/matcher.h"

#include <algorithm>
#include <string_view>

namespace naru::text {
namespace {

uint64_t mixed(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15;
  return hash ^ hash >> 29;
}

}  // namespace

FormMatcher::FormMatcher(std::shared_ptr<const Grammar> grammar)
    : grammar_(std::move(grammar)), n_classes_(grammar_->n_classes()), found_(4 * kMatcherLooksMax) {
  forget();
}

void FormMatcher::forget() {
  frames_.assign(1, Frame{0, 0, 0});
  frame_ids_.clear();
  places_.clear();
  state_ids_.clear();
  states_.assign(1, Entry{0, 0, 0, false, 0, kDead});
  next_.assign(n_classes_, Next{kDead, 0, 0});
  bytes_ = 0;
}

void FormMatcher::begin_walk() {
  if (++walk_ != 0) return;
  for (Next& next : next_) next.walk = 0;
  walk_ = 1;
}

uint32_t FormMatcher::frame_of(NodeId back, uint32_t parent, uint16_t depth) {
  std::vector<uint32_t>& same = frame_ids_[mixed(mixed(depth, back), parent)];
  for (const uint32_t id : same) {
    if (frames_[id].back == back && frames_[id].parent == parent) return id;
  }
  frames_.push_back({back, parent, depth});
  bytes_ += sizeof(Frame) + 64;
  same.push_back(static_cast<uint32_t>(frames_.size() - 1));
  return same.back();
}

// False also where there are too many.
bool FormMatcher::is_new(Place place) {
  const size_t mask = found_.size() - 1;
  for (size_t at = mixed(place.node, place.frame) & mask;; at = (at + 1) & mask) {
    Slot& slot = found_[at];
    if (slot.round != round_) {
      if (n_found_ == kMatcherLooksMax) return false;
      slot = {round_, place};
      ++n_found_;
      return true;
    }
    if (slot.place == place) return false;
  }
}

void FormMatcher::close(Place first) {
  open_.assign(1, first);
  while (!open_.empty()) {
    const Place place = open_.back();
    open_.pop_back();
    ++n_looked_at_;
    const uint16_t depth = frames_[place.frame].depth;
    const Grammar::Node& node = grammar_->node(place.node);
    if (depth + node.need > kFormDepthMax) continue;  // from here nothing comes to an end any more
    if (!is_new(place)) continue;
    if (kept_.size() < kMatcherPlacesMax && !grammar_->ranges(place.node).empty()) kept_.push_back(place);
    if (node.is_final) {
      if (place.frame == kNoFrame) {
        may_end_ = true;
      } else {
        open_.push_back({frames_[place.frame].back, frames_[place.frame].parent});
      }
    }
    // The first is looked at first.
    const auto calls = grammar_->calls(place.node);
    for (size_t i = calls.size(); i-- > 0;) {
      const FormRule& rule = grammar_->rule(calls[i].rule);
      const auto inside = static_cast<uint16_t>(depth + (rule.is_container ? 1 : 0));
      if (inside + grammar_->node(rule.start).need > kFormDepthMax) continue;
      if (depth + grammar_->node(calls[i].target).need > kFormDepthMax) continue;
      open_.push_back({rule.start, frame_of(calls[i].target, place.frame, inside)});
    }
    const auto jumps = grammar_->jumps(place.node);
    for (size_t i = jumps.size(); i-- > 0;) open_.push_back({jumps[i], place.frame});
  }
}

void FormMatcher::weigh(Entry& entry) const {
  uint8_t most = 0;
  int n_plain = 0, n_others = 0;
  size_t n_ranges = 0;
  for (uint32_t i = 0; i < entry.n; ++i) {
    const NodeId id = places_[entry.begin + i].node;
    const Grammar::Node& node = grammar_->node(id);
    n_ranges += grammar_->ranges(id).size();
    most = std::max(most, node.plain_left);
    n_plain += node.plain_left > 0 ? 1 : 0;
    n_others += node.plain_left == 0 && !node.is_aside ? 1 : 0;
  }
  entry.n_ranges = static_cast<uint32_t>(n_ranges);
  // Beside other places, which might take more of them, a bound says nothing.
  const bool is_exact = n_plain == 1 && n_others == 0;
  entry.plain_left = is_exact || most == kPlainUnbounded ? most : uint8_t{0};
}

FormMatcher::State FormMatcher::intern() {
  n_found_ = 0;
  ++round_;
  const bool may_end = std::exchange(may_end_, false);
  if (kept_.empty() && !may_end) return kDead;
  uint64_t hash = may_end ? 1 : 2;
  for (const Place& place : kept_) hash = mixed(mixed(hash, place.node), place.frame);
  std::vector<State>& same = state_ids_[hash];
  for (const State id : same) {
    const Entry& entry = states_[id];
    if (entry.may_end == may_end && entry.n == kept_.size() &&
        std::equal(kept_.begin(), kept_.end(), places_.begin() + entry.begin)) {
      kept_.clear();
      return id;
    }
  }
  const auto id = static_cast<State>(states_.size());
  states_.push_back({static_cast<uint32_t>(places_.size()), static_cast<uint32_t>(kept_.size()), 0, may_end, 0, kDead});
  places_.insert(places_.end(), kept_.begin(), kept_.end());
  weigh(states_.back());
  next_.resize(next_.size() + n_classes_, Next{kUnknown, 0, 0});
  bytes_ += sizeof(Entry) + 64 + kept_.size() * sizeof(Place) + n_classes_ * sizeof(Next);
  same.push_back(id);
  kept_.clear();
  return id;
}

FormMatcher::State FormMatcher::begin(RuleId root) {
  close({grammar_->rule(root).start, kNoFrame});
  return intern();
}

FormMatcher::State FormMatcher::make_step(State from, FormSymbol symbol) {
  const Entry entry = states_[from];
  n_looked_at_ = 0;
  for (uint32_t i = 0; i < entry.n; ++i) {
    const Place place = places_[entry.begin + i];
    for (const FormRange& range : grammar_->ranges(place.node)) {
      if (range.low <= symbol && symbol <= range.high) close({range.target, place.frame});
    }
  }
  const State to = intern();
  // A state that it leads to takes memory as well, which takes time.
  const size_t effort = entry.n + entry.n_ranges / 4 + n_looked_at_ + (to != kDead ? n_classes_ / 8 : 0);
  const size_t units = std::min<size_t>((effort + kEffortUnit - 1) / kEffortUnit, UINT16_MAX);
  next_[from * n_classes_ + grammar_->class_of(symbol)] = {to, static_cast<uint16_t>(units), 0};
  return to;
}

FormMatcher::State FormMatcher::step(State from, std::string_view bytes) {
  for (size_t i = 0; i < bytes.size() && from != kDead; ++i) {
    from = step(from, FormSymbol{static_cast<unsigned char>(bytes[i])});
  }
  return from;
}

FormMatcher::State FormMatcher::twin(State state) {
  if (state == kDead || states_[state].twin != kDead) return states_[state].twin;
  const Entry entry = states_[state];
  bool is_other = false;
  for (uint32_t i = 0; i < entry.n; ++i) {
    Place place = places_[entry.begin + i];
    const Frame frame = frames_[place.frame];
    const NodeId twin = grammar_->node(place.node).twin;
    // Inside of a character that a call reads, what counts it is where the call goes on.
    const NodeId back = place.frame != kNoFrame ? grammar_->node(frame.back).twin : frame.back;
    is_other = is_other || twin != place.node || back != frame.back;
    place.node = twin;
    if (back != frame.back) place.frame = frame_of(back, frame.parent, frame.depth);
    kept_.push_back(place);
  }
  may_end_ = entry.may_end;
  if (!is_other) kept_.clear();
  const State twin = is_other ? intern() : state;
  may_end_ = false;
  states_[state].twin = twin;
  return twin;
}

void FormMatcher::save(State state, Saved& saved) const {
  saved.clear();
  if (state == kDead) return;
  const Entry& entry = states_[state];
  saved.push_back(entry.may_end ? 1 : 0);
  for (uint32_t i = 0; i < entry.n; ++i) {
    const Place& place = places_[entry.begin + i];
    saved.push_back(place.node);
    const size_t count_at = saved.size();
    saved.push_back(0);
    for (uint32_t frame = place.frame; frame != kNoFrame; frame = frames_[frame].parent) {
      saved.push_back(frames_[frame].back);
      saved.push_back(frames_[frame].depth);
      ++saved[count_at];
    }
  }
}

FormMatcher::State FormMatcher::restore(std::span<const uint32_t> saved) {
  if (saved.empty()) return kDead;
  may_end_ = saved[0] != 0;
  for (size_t i = 1; i < saved.size();) {
    const NodeId node = saved[i];
    const size_t n = saved[i + 1];
    i += 2;
    uint32_t frame = kNoFrame;
    for (size_t j = n; j-- > 0;) {
      frame = frame_of(saved[i + 2 * j], frame, static_cast<uint16_t>(saved[i + 2 * j + 1]));
    }
    i += 2 * n;
    kept_.push_back({node, frame});
  }
  return intern();
}

}  // namespace naru::text
