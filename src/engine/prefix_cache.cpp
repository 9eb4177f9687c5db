#include "engine/prefix_cache.h"

#include <algorithm>

namespace naru::engine {

PrefixCache::~PrefixCache() {
  while (!used_.empty()) remove(used_.back());  // leaves first: no deep recursion through unique_ptr
}

PrefixCache::Run PrefixCache::run_at(std::span<const int32_t> ids, int64_t page_index) {
  Run run;
  const auto part = ids.subspan(static_cast<size_t>(page_index * contract::kCachePage), run.size());
  std::copy(part.begin(), part.end(), run.begin());
  return run;
}

void PrefixCache::extend(uint64_t scope, std::span<const int32_t> ids, int64_t pages_max, std::vector<int32_t>& pages) {
  const auto root = scopes_.find(scope);
  if (root == scopes_.end()) return;
  const auto n_held = static_cast<int64_t>(pages.size());
  const Children* children = &root->second;
  Node* last = nullptr;
  for (int64_t i = 0; i < pages_max; ++i) {
    const auto found = children->find(run_at(ids, i));
    if (found == children->end()) break;
    last = found->second.get();
    children = &last->children;
    if (i < n_held) continue;
    pool_.add_reference(last->page);
    pages.push_back(last->page);
  }
  touch(last);
}

void PrefixCache::insert(uint64_t scope, std::span<const int32_t> ids, int64_t n_full, std::vector<int32_t>& pages) {
  if (n_full == 0) return;
  Children* children = &scopes_[scope];
  Node* parent = nullptr;
  for (int64_t i = 0; i < n_full; ++i) {
    int32_t& page = pages[static_cast<size_t>(i)];
    const auto [self, is_new] = children->try_emplace(run_at(ids, i));
    if (is_new) {
      self->second = std::make_unique<Node>();
      Node* node = self->second.get();
      node->siblings = children;
      node->self = self;
      node->parent = parent;
      node->scope = scope;
      node->page = page;
      node->used = used_.insert(used_.end(), node);
      pool_.add_reference(page);
      pool_.set_cached(page, true);
    } else if (self->second->page != page) {
      pool_.add_reference(self->second->page);
      pool_.release(page);
      page = self->second->page;
    }
    parent = self->second.get();
    children = &parent->children;
  }
  touch(parent);
}

void PrefixCache::touch(Node* node) {
  for (; node != nullptr; node = node->parent) used_.splice(used_.begin(), used_, node->used);
}

void PrefixCache::remove(Node* node) {
  NARU_CHECK(node->children.empty(), node->page);
  pool_.set_cached(node->page, false);
  pool_.release(node->page);
  used_.erase(node->used);
  Children* siblings = node->siblings;
  const uint64_t scope = node->scope;
  const bool is_first_run = node->parent == nullptr;
  siblings->erase(node->self);
  if (is_first_run && siblings->empty()) scopes_.erase(scope);
}

bool PrefixCache::evict_one() {
  for (auto it = used_.rbegin(); it != used_.rend(); ++it) {
    Node* node = *it;
    if (!node->children.empty() || pool_.references(node->page) > 1) continue;
    remove(node);
    ++n_evictions_;
    return true;
  }
  return false;
}

}  // namespace naru::engine
