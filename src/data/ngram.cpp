// N-grams lie in one table an order: (node of the n-gram without its last token, last token) -> node. An n-gram's node
// is found by walking from its first token, so a table never compares more than a number.
#include "data/ngram.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/check.h"
#include "base/double_math.h"

namespace naru::data {
namespace {

constexpr int32_t kNone = -1;
constexpr int32_t kBegin = -1;  // the mark before the first token

// Open addressing over keys of (parent, token); nodes are numbered in the order in which they came.
class NodeTable {
 public:
  NodeTable() : slots_(1024, kNone) {}

  int32_t find(int32_t parent, int32_t token) const {
    const uint64_t key = key_of(parent, token);
    const int32_t node = slots_[slot_of(key)];
    return node;
  }
  int32_t find_or_add(int32_t parent, int32_t token) {
    const uint64_t key = key_of(parent, token);
    const size_t slot = slot_of(key);
    if (slots_[slot] != kNone) return slots_[slot];
    const auto node = static_cast<int32_t>(keys_.size());
    keys_.push_back(key);
    slots_[slot] = node;
    if (keys_.size() * 2 > slots_.size()) grow();
    return node;
  }
  int64_t size() const { return static_cast<int64_t>(keys_.size()); }
  int32_t parent(int64_t node) const { return static_cast<int32_t>(keys_[static_cast<size_t>(node)] >> 32); }

 private:
  static uint64_t key_of(int32_t parent, int32_t token) {
    return static_cast<uint64_t>(static_cast<uint32_t>(parent)) << 32 | static_cast<uint32_t>(token);
  }
  // The slot of the key, or the empty one where it would go.
  size_t slot_of(uint64_t key) const {
    uint64_t mixed = (key ^ key >> 32) * 0x9E3779B97F4A7C15u;
    mixed ^= mixed >> 29;
    const size_t mask = slots_.size() - 1;
    size_t slot = mixed & mask;
    while (slots_[slot] != kNone && keys_[static_cast<size_t>(slots_[slot])] != key) slot = (slot + 1) & mask;
    return slot;
  }
  void grow() {
    slots_.assign(slots_.size() * 2, kNone);
    for (size_t node = 0; node < keys_.size(); ++node) slots_[slot_of(keys_[node])] = static_cast<int32_t>(node);
  }

  std::vector<uint64_t> keys_;
  std::vector<int32_t> slots_;
};

// What follows one context: how many counts in all, and how many tokens with a count of 1, 2, 3 and more.
struct Followers {
  int64_t total = 0;
  std::array<int32_t, 3> n = {};
};

struct Order {
  NodeTable table;
  std::vector<uint32_t> counts;      // of the n-gram: how often (the highest order), behind how many tokens (others)
  std::vector<Followers> followers;  // of the n-gram as a context
  std::array<double, 3> discounts = {};

  int32_t node(int32_t parent, int32_t token) {
    const int32_t node = table.find_or_add(parent, token);
    if (static_cast<size_t>(node) == counts.size()) counts.push_back(0);
    return node;
  }
};

// Chen and Goodman's estimates from how many n-grams have a count of 1, 2, 3, 4; kept inside (0, count], also where
// the data is too regular for them.
std::array<double, 3> discounts_of(const std::vector<uint32_t>& counts) {
  std::array<double, 5> n = {};
  for (const uint32_t count : counts) {
    if (count >= 1 && count <= 4) n[count] += 1;
  }
  const double y = n[1] / (n[1] + 2 * n[2]);
  std::array<double, 3> discounts = {};
  for (int i = 1; i <= 3; ++i) {
    const double estimate = n[1] > 0 && n[i] > 0 ? i - (i + 1) * y * n[i + 1] / n[i] : 0.5 * i;
    discounts[static_cast<size_t>(i - 1)] = std::clamp(estimate, 0.05, 0.95 * i);
  }
  return discounts;
}

}  // namespace

struct NgramModel::State {
  int64_t vocab = 0;
  int64_t n_events = 0;
  std::array<Order, kNgramOrder + 1> orders;  // orders[n]: n-grams; orders[0] has one node, the empty context

  // The token `back` places before ids[at], or the mark.
  static int32_t token_before(std::span<const int32_t> ids, int64_t at, int64_t back) {
    return at >= back ? ids[static_cast<size_t>(at - back)] : kBegin;
  }
  // The node of the n tokens that end with ids[at], where it is known.
  int32_t find(std::span<const int32_t> ids, int64_t at, int64_t n) const {
    int32_t node = 0;
    for (int64_t i = 1; i <= n && node != kNone; ++i) {
      node = orders[static_cast<size_t>(i)].table.find(node, token_before(ids, at, n - i));
    }
    return node;
  }
  int32_t find_or_add(std::span<const int32_t> ids, int64_t at, int64_t n) {
    int32_t node = 0;
    for (int64_t i = 1; i <= n; ++i) node = orders[static_cast<size_t>(i)].node(node, token_before(ids, at, n - i));
    return node;
  }
  int64_t n_nodes() const {
    int64_t n = 0;
    for (const Order& order : orders) n += order.table.size();
    return n;
  }
};

NgramModel::NgramModel(int64_t vocab) : state_(std::make_unique<State>()) {
  NARU_CHECK(vocab >= 1, vocab);
  state_->vocab = vocab;
  state_->orders[0].node(0, 0);
}
NgramModel::NgramModel(NgramModel&&) noexcept = default;
NgramModel& NgramModel::operator=(NgramModel&&) noexcept = default;
NgramModel::~NgramModel() = default;

int64_t NgramModel::n_events() const {
  return state_->n_events;
}

int64_t NgramModel::n_nodes() const {
  return state_->n_nodes();
}

bool NgramModel::add(const Document& document) {
  State& s = *state_;
  constexpr int64_t kNewNodesMax = kNgramOrder * (kNgramOrder + 1) / 2;  // of one event
  if (s.n_nodes() + kNewNodesMax * std::ssize(document.ids) > kNgramNodesMax) return false;
  for (int64_t at = 1; at < std::ssize(document.ids); ++at) {
    if (document.loss[static_cast<size_t>(at)] == 0) continue;
    ++s.n_events;
    // The highest order counts events; a lower one counts the tokens that an n-gram was seen behind, so it gains one
    // when the next higher order sees its n-gram for the first time.
    bool is_new = true;
    for (int64_t n = kNgramOrder; n >= 1 && is_new; --n) {
      uint32_t& count =
          s.orders[static_cast<size_t>(n)].counts[static_cast<size_t>(s.find_or_add(document.ids, at, n))];
      is_new = count++ == 0;
    }
  }
  return true;
}

void NgramModel::finish() {
  for (size_t n = 1; n <= kNgramOrder; ++n) {
    Order& order = state_->orders[n];
    Order& contexts = state_->orders[n - 1];
    contexts.followers.assign(static_cast<size_t>(contexts.table.size()), {});
    order.discounts = discounts_of(order.counts);
    for (int64_t node = 0; node < order.table.size(); ++node) {
      const uint32_t count = order.counts[static_cast<size_t>(node)];
      if (count == 0) continue;  // known as a context only
      Followers& followers = contexts.followers[static_cast<size_t>(order.table.parent(node))];
      followers.total += count;
      ++followers.n[std::min<uint32_t>(count, 3) - 1];
    }
  }
}

double NgramModel::probability(std::span<const int32_t> ids, int64_t at) const {
  const State& s = *state_;
  double p = 1.0 / static_cast<double>(s.vocab);
  for (int64_t n = 1; n <= kNgramOrder; ++n) {
    const int32_t context = s.find(ids, at - 1, n - 1);
    if (context == kNone) break;
    const Order& order = s.orders[static_cast<size_t>(n)];
    const Followers& followers = s.orders[static_cast<size_t>(n - 1)].followers[static_cast<size_t>(context)];
    if (followers.total == 0) break;  // nor has a longer one followers
    const auto total = static_cast<double>(followers.total);
    double spread = 0;  // what the discounts took from the tokens seen, for the shorter context to deal out
    for (size_t i = 0; i < 3; ++i) spread += order.discounts[i] * followers.n[i];
    double own = 0;
    const int32_t node = order.table.find(context, ids[static_cast<size_t>(at)]);
    if (const uint32_t count = node == kNone ? 0 : order.counts[static_cast<size_t>(node)]; count > 0) {
      own = static_cast<double>(count) - order.discounts[std::min<uint32_t>(count, 3) - 1];
    }
    p = own / total + spread / total * p;
  }
  return p;
}

NgramBaseline ngram_baseline(const BatchStream& train, const BatchStream& validation, int64_t vocab) {
  NgramBaseline baseline;
  baseline.documents = train.n_documents();
  NgramModel model(vocab);
  while (baseline.documents_counted < baseline.documents && model.add(train.document(baseline.documents_counted))) {
    ++baseline.documents_counted;
  }
  model.finish();
  baseline.n_events = model.n_events();
  baseline.n_nodes = model.n_nodes();
  double sum = 0;
  for (int64_t i = 0; i < validation.n_documents(); ++i) {
    const Document& document = validation.document(i);
    for (int64_t at = 1; at < std::ssize(document.ids); ++at) {
      if (document.loss[static_cast<size_t>(at)] == 0) continue;
      sum -= log_double(model.probability(document.ids, at));
      ++baseline.n_targets;
    }
  }
  baseline.nll = baseline.n_targets > 0 ? sum / static_cast<double>(baseline.n_targets) : 0;
  return baseline;
}

}  // namespace naru::data
