#include "engine/session.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"
#include "engine/engine_state.h"

namespace naru::engine {

Snapshot::Snapshot(Snapshot&& other) noexcept
    : state_(std::exchange(other.state_, nullptr)),
      scope_(other.scope_),
      ids_(std::move(other.ids_)),
      pages_(std::move(other.pages_)) {}

Snapshot& Snapshot::operator=(Snapshot&& other) noexcept {
  if (this == &other) return *this;
  release();
  state_ = std::exchange(other.state_, nullptr);
  scope_ = other.scope_;
  ids_ = std::move(other.ids_);
  pages_ = std::move(other.pages_);
  return *this;
}

Snapshot::~Snapshot() {
  release();
}

void Snapshot::release() {
  if (state_ == nullptr) return;
  for (const int32_t page : pages_) state_->pool->release(page);
  --state_->n_sessions;
  state_ = nullptr;
}

Session::~Session() {
  truncate(0);
  --state_->n_sessions;
}

void Session::truncate(int64_t n) {
  NARU_CHECK(n >= 0 && n <= length(), n, length());
  ids_.resize(static_cast<size_t>(n));
  const int64_t n_kept = ceil_div(n, contract::kCachePage);
  while (n_pages() > n_kept) {
    state_->pool->release(pages_.back());
    pages_.pop_back();
  }
  n_shared_ = std::min(n_shared_, n / contract::kCachePage);
}

void Session::settle(int64_t n) {
  truncate(n);
  state_->share_pages(*this, n / contract::kCachePage);
}

Snapshot Session::snapshot() const {
  Snapshot snapshot(state_);
  ++state_->n_sessions;
  snapshot.scope_ = scope_;
  snapshot.ids_ = ids_;
  snapshot.pages_ = pages_;
  for (const int32_t page : pages_) state_->pool->add_reference(page);
  return snapshot;
}

void Session::restore(const Snapshot& snapshot) {
  NARU_CHECK(snapshot.state_ == state_ && snapshot.scope_ == scope_);
  for (const int32_t page : snapshot.pages_) state_->pool->add_reference(page);
  truncate(0);
  ids_ = snapshot.ids_;
  pages_ = snapshot.pages_;
}

int64_t Session::adopt_prefix(std::span<const int32_t> ids) {
  NARU_CHECK(ids.size() >= ids_.size() && std::equal(ids_.begin(), ids_.end(), ids.begin()), ids.size(), length());
  if (!state_->prefixes || ids.empty() || length() % contract::kCachePage != 0) return 0;
  if (ids_.empty()) state_->stats.prefix_query_tokens += static_cast<int64_t>(ids.size());
  const int64_t begin = length();
  const int64_t pages_max = (static_cast<int64_t>(ids.size()) - 1) / contract::kCachePage;
  if (n_pages() >= pages_max) return 0;
  state_->prefixes->extend(scope_, ids, pages_max, pages_);
  n_shared_ = n_pages();
  const auto end = static_cast<size_t>(n_pages() * contract::kCachePage);
  ids_.insert(ids_.end(), ids.begin() + begin, ids.begin() + static_cast<int64_t>(end));
  state_->stats.prefix_hit_tokens += length() - begin;
  return length() - begin;
}

int32_t EngineState::take_page() {
  int32_t page = pool->allocate();
  while (page < 0 && prefixes && prefixes->evict_one()) page = pool->allocate();
  return page;
}

int64_t EngineState::pages_needed(const Session& session, int64_t n_tokens) const {
  if (n_tokens == 0) return 0;
  const int64_t n_new = ceil_div(session.length() + n_tokens, contract::kCachePage) - session.n_pages();
  const bool is_copied = session.length() % contract::kCachePage != 0 && pool->references(session.pages_.back()) > 1;
  return n_new + (is_copied ? 1 : 0);
}

Status EngineState::reserve(Session& session, int64_t n_tokens) {
  const auto out_of_pages = [&] {
    return Error{Code::kResourceExhausted,
                 fmt::format("growing a sequence of {} tokens by {}: all {} pages of the cache are in use; end other "
                             "sessions, or open the model with more sessions or context",
                             session.length(), n_tokens, pool->n_pages())};
  };
  const int64_t n_pages = ceil_div(session.length() + n_tokens, contract::kCachePage);
  if (session.length() % contract::kCachePage != 0 && pool->references(session.pages_.back()) > 1) {
    while (pool->n_free() == 0) {
      if (!prefixes || !prefixes->evict_one()) return out_of_pages();
    }
    NARU_ASSIGN(const int32_t copy, pool->copy(session.pages_.back()));
    pool->release(session.pages_.back());
    session.pages_.back() = copy;
    ++stats.n_pages_copied;
  }
  while (session.n_pages() < n_pages) {
    const int32_t page = take_page();
    if (page < 0) return out_of_pages();
    session.pages_.push_back(page);
  }
  return {};
}

void EngineState::commit(Session& session, std::span<const int32_t> ids, int64_t n_sure) {
  session.ids_.insert(session.ids_.end(), ids.begin(), ids.end());
  share_pages(session, std::min(n_sure, session.length()) / contract::kCachePage);
}

void EngineState::share_pages(Session& session, int64_t n_full) {
  if (!prefixes || n_full <= session.n_shared_) return;
  prefixes->insert(session.scope_, session.ids_, n_full, session.pages_);
  session.n_shared_ = n_full;
}

}  // namespace naru::engine
